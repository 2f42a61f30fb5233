"""Countries as this contract calls them: by name."""

from functools import cache
from importlib.resources import files


@cache
def _names() -> dict[str, str]:
    """The table of ISO 3166 that comes with the time zones."""
    table = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text("utf-8")
    return dict(line.split("\t", 1) for line in table.splitlines() if not line.startswith("#"))


def country_name(code: str) -> str:
    """Return `Malaysia` for `MY`, and a code that is none as it is."""
    return _names().get(code, code)
