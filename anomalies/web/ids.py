"""Ids of agents and users in paths: whoever named them may have used slashes, dots, spaces or any script."""

import re

_DOTS = re.compile(r"(?:(?<=/)|^)(~*)(\.{1,2})(?=/|$)")
_ESCAPED = re.compile(r"(?:(?<=/)|^)~(~*\.{1,2})(?=/|$)")


class IdConverter:
    """Takes any text, slashes and line breaks included.

    Browsers resolve parts that are `.` or `..`, however they are encoded: in the path these begin with a tilde, and
    those that do already with one more.
    """

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        return _ESCAPED.sub(r"\1", value)

    def to_url(self, value: str) -> str:
        return _DOTS.sub(r"~\1\2", value)
