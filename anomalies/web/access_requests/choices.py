"""What the filters of access requests offer, each choice with how many requests it would show beside the others."""

from collections import Counter
from dataclasses import dataclass

from django.core.exceptions import EmptyResultSet
from django.db import connection

from anomalies.models import AccessFlow, AccessRequest
from anomalies.services import access_requests
from anomalies.web.access_requests.listing import NEWEST_FIRST, RequestListing
from anomalies.web.facets import MOST_ROWS, Counts, count_values

MOST_CHOICES = 200
LATELY = 500  # requests whose integrations are offered

# By the name that is shown: else its id, else its type.
_INTEGRATIONS = """
SELECT coalesce(nullif(unit->>'integration', ''), nullif(unit->>'integration_id', ''), unit->>'integration_type'),
       count(DISTINCT matching.id)
FROM ({rows}) AS matching (id, units) CROSS JOIN LATERAL jsonb_array_elements(matching.units) AS unit
GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Choice:
    word: str
    label: str
    chosen: bool
    count: str  # empty: not counted yet


@dataclass(frozen=True, slots=True)
class Filter:
    name: str
    label: str
    choices: list[Choice]


def filters_of(listing: RequestListing, *, counted: bool) -> list[Filter]:
    """Return the filters by status, integration and access flow, with their counts or, as these take long, without."""
    flows = list(AccessFlow.objects.order_by("name", "public_id")[:MOST_CHOICES])
    if listing.flow and listing.flow not in {flow.public_id for flow in flows}:
        flows += AccessFlow.objects.filter(public_id=listing.flow)
    offered = {
        "status": {status.value: status.label for status in AccessRequest.Status},
        "integration": {name: name for name in _integrations(listing)},
        "flow": {flow.public_id: str(flow) for flow in flows},
    }
    labels = {"status": "status", "integration": "integration", "flow": "access flow"}
    found = []
    for name, words in offered.items():
        counts = counts_of(listing, name) if counted else None
        chosen = getattr(listing, name)
        choices = [
            Choice(word, label, word == chosen, counts.said(name, word) if counts else "")
            for word, label in words.items()
        ]
        found.append(Filter(name, labels[name], choices))
    return found


def counts_of(listing: RequestListing, name: str) -> Counts:
    """Return how often each value of a filter occurs among the newest 10,000 that pass the other filters."""
    rows = listing.matching(without=name).order_by(*NEWEST_FIRST)
    if name != "integration":
        return count_values(rows, [name])
    try:
        sql, params = rows.values_list("id", "units")[: MOST_ROWS + 1].query.sql_with_params()
    except EmptyResultSet:  # a condition that no row can meet
        return Counts({name: Counter()})
    with connection.cursor() as cursor:
        cursor.execute(_INTEGRATIONS.format(rows=sql), params)
        counts = Counter(dict(cursor.fetchall()))
    return Counts({name: counts}, capped=rows[MOST_ROWS : MOST_ROWS + 1].exists())


def _integrations(listing: RequestListing) -> list[str]:
    lately = AccessRequest.objects.order_by(*NEWEST_FIRST).values_list("units", flat=True)[:LATELY]
    named = {access_requests.integration_of(unit) for units in lately for unit in units}
    return sorted((named | {listing.integration}) - {""})[: MOST_CHOICES + 1]
