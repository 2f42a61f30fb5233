"""Which anomalies a text that somebody typed is about."""

import contextlib
import ipaddress
import re

from django.contrib.postgres.search import SearchQuery
from django.db.models import Q, Value

from anomalies.detection.registry import DETECTORS
from anomalies.models.search_document import OUTER_SIGNS

_BETWEEN_PARTS = re.compile(f"[{re.escape(OUTER_SIGNS)}]+")


class WordQuery(SearchQuery):
    """A query as PostgreSQL writes them, of words that are there as they are."""

    template = "lower(%(expressions)s)::tsquery"


def found_by(text: str) -> Q:
    """The condition on anomalies that hold all words of a text.

    Each word counts from its beginning: `bill proj/17` finds ag_billing, proj/170. An address that is whole is no
    beginning: 10.0.0.1 does not find 10.0.0.17. A type is found by the words of its label.
    """
    return Q(document__words=WordQuery(Value(" & ".join(_one_of(word) for word in text.split()))))


def _address(text: str) -> str:
    """Return an address as PostgreSQL writes it. Raises ValueError."""
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return f"::ffff:{mapped}" if mapped else str(address)


def _one_of(word: str) -> str:
    """What holds the word: itself, all its parts where it is a path, or the type with such a label."""
    with contextlib.suppress(ValueError):
        return _quoted(_address(word))
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
