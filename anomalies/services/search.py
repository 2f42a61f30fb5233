"""Which anomalies a text that somebody typed is about."""

import contextlib
import ipaddress
import re

from django.contrib.postgres.search import SearchQuery
from django.db.models import Q, Value

from anomalies.detection.registry import DETECTORS
from anomalies.models.words import OUTER_SIGNS

_BETWEEN_PARTS = re.compile(f"[{re.escape(OUTER_SIGNS)}]+")


class WordQuery(SearchQuery):
    """A query as PostgreSQL writes them, of words that are there as they are."""

    template = "lower(%(expressions)s)::tsquery"


def found_by(text: str) -> Q:
    """The condition on anomalies that hold all words of a text, or whose whole address it is.

    Each word counts from its beginning: `bill proj/17` finds ag_billing, proj/170. A type is found by the words of its
    label.
    """
    found = Q(words=WordQuery(Value(" & ".join(_one_of(word) for word in text.split()))))
    with contextlib.suppress(ValueError):  # not a whole address
        found |= Q(ip=str(ipaddress.ip_address(text)))
    return found


def _one_of(word: str) -> str:
    """What holds the word: itself, all its parts where it is a path, or the type with such a label."""
    found = [f"{_quoted(word)}:*"]
    parts = [part for part in _BETWEEN_PARTS.split(word) if part]
    if parts and parts != [word]:
        found.append(f"({' & '.join(map(_quoted, parts))}:*)")  # all but the last are whole
    sought = word.casefold()
    for type_, detector in DETECTORS.items():
        if any(said.startswith(sought) for said in detector.label.casefold().split()):
            found.append(_quoted(type_))
    return f"({' | '.join(found)})"


def _quoted(word: str) -> str:
    doubled = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"
