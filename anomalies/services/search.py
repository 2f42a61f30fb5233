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
    beginning of another: 10.0.0.1 finds 10.0.0.1.example.com and not 10.0.0.17; 2001:db8:: is one. A type is found by
    the words of its label.
    """
    return Q(document__words=WordQuery(Value(" & ".join(_one_of(word) for word in text.split()))))


def _one_of(word: str) -> str:
    """What holds the word: itself, all its parts where it is a path, or the type with such a label."""
    if not word.endswith("::"):
        with contextlib.suppress(ValueError):
            address = _spelled(ipaddress.ip_address(word))
            return f"({_quoted(address)} | {_quoted(f'{address}.')}:*)"
    found = [f"{_quoted(word)}:*"]
    parts = [part for part in _BETWEEN_PARTS.split(word) if part]
    if parts and parts != [word]:
        found.append(f"({' & '.join(map(_quoted, parts))}:*)")  # all but the last are whole
    sought = word.casefold()
    for type_, detector in DETECTORS.items():
        if any(said.startswith(sought) for said in detector.label.casefold().split()):
            found.append(_quoted(type_))
    return f"({' | '.join(found)})"


def _spelled(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The address as PostgreSQL writes it: the last part of some of version 6 as one of version 4."""
    number = int(address)
    if address.version == 6 and number >> 32 in (0, 0xFFFF) and number >> 16:
        return f"::{'ffff:' if number >> 32 else ''}{ipaddress.IPv4Address(number & 0xFFFFFFFF)}"
    return str(address)


def _quoted(word: str) -> str:
    doubled = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"
