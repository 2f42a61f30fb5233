"""How long the list of anomalies takes beside its least: one query and the template of its 50 rows.

The bare reference is the query of that page as SQL by its index, and the product's own template of a row: nobody is
logged in, nothing is counted, and there are no filters to show. Browsers tell their time zone, and get the rows at
once; what they ask for by themselves then, or when a filter is opened, is measured on lines of its own.
"""

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import django_htmx
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group, User
from django.http import QueryDict
from django.template.loader import get_template
from django.test import Client

from anomalies.models import Anomaly
from anomalies.web.listing.listing import SORTS, Listing
from anomalies.web.listing.row import Row
from anomalies.web.paging import beyond
from tests.benchmarks import rows
from tests.benchmarks.turns import Seconds, alone, compared

_NEWEST = (
    "SELECT * FROM anomalies_anomaly WHERE merged_into_id IS NULL AND {} ORDER BY detected_at DESC, id DESC LIMIT 50"
)
# Nine tenths down the list, and where that leaves less than a page, a page before its end: each page is of 50 rows.
_FAR = """
SELECT * FROM anomalies_anomaly WHERE merged_into_id IS NULL AND {0} ORDER BY detected_at DESC, id DESC
OFFSET (
    SELECT greatest(least(count(*) * 9 / 10, count(*) - 51), 0)
    FROM anomalies_anomaly WHERE merged_into_id IS NULL AND {0}
)
LIMIT 1
"""
_PANEL: dict[str, Any] = {"headers": {"HX-Request": "true", "HX-Target": "panel"}}
_SAYS = "id IN (SELECT anomaly_id FROM anomalies_searchdocument WHERE words @@ '{}')"
_REVIEWED = "status = 'open' AND suppression_id IS NULL AND snoozed_until IS NULL AND state <> 'withdrawn'"


class Filter(NamedTuple):
    """What the address says, and the same as a condition in SQL."""

    query: str
    where: str


FILTERS = {
    "no filter": Filter("", "true"),
    "open": Filter("status=open", _REVIEWED),
    "high and open": Filter("severity=high&status=open", f"severity = 3 AND {_REVIEWED}"),
    "resolved": Filter("status=resolved", "status = 'resolved'"),
    "two severities": Filter("severity=high&severity=low", "severity IN (3, 1)"),
    "one type": Filter("type=rate_spike", "type = 'rate_spike'"),
    "two types": Filter("type=rate_spike&type=rate_drop", "type IN ('rate_spike', 'rate_drop')"),
    "one agent": Filter("agent=ag_17", "agent_id = 'ag_17'"),
    "one user": Filter("user=user_23", "principal_id = 'user_23'"),
    "one user, resolved": Filter("user=user_23&status=resolved", "principal_id = 'user_23' AND status = 'resolved'"),
    "integration": Filter("integration=drive", "integration = 'drive'"),
    "rare integration": Filter("integration=fax", "integration = 'fax'"),
    "resource type": Filter("resource_type=bucket", "resource_type = 'bucket'"),
    "all of them": Filter(
        "type=rate_spike&severity=low&status=acknowledged&resource_type=document",
        "type = 'rate_spike' AND severity = 1 AND status = 'acknowledged' AND resource_type = 'document'",
    ),
    "search, rare": Filter("q=payroll", _SAYS.format("''payroll'':*")),
    "search, common": Filter("q=requests", _SAYS.format("''requests'':*")),
    "search, two words": Filter(
        "q=projects/17+user", _SAYS.format("(''projects/17'':* | ''projects'' & ''17'':*) & ''user'':*")
    ),
}


def list_of(client: Client, *, rounds: int = 19) -> Iterator[tuple[str, Seconds]]:
    """Yield how long each page of the list takes, by what it shows: filters, then orders, both also deep."""
    for name, (query, where) in FILTERS.items():
        yield name, _beside_bare(client, query, _NEWEST.format(where), (), rounds)
        if "rare" not in name:
            (far,) = Anomaly.objects.raw(_FAR.format(where))
            older = _NEWEST.format(f"{where} AND detected_at < '{far.detected_at.isoformat()}'")
            yield f"{name}, deep", _beside_bare(client, f"{query}&older={far.public_id}", older, (), rounds)
    since = (rows.TODAY - timedelta(days=7)).isoformat()
    week = _NEWEST.format(f"detected_at >= '{since}'")
    yield "7 days", _beside_bare(client, "last=7&unit=days", week, (), rounds)
    anomalies = Anomaly.objects.count()
    for sort in sorted(SORTS):
        listing = Listing(QueryDict(f"sort={sort}"), AnonymousUser())
        ordered = listing.matching().order_by(*listing.order)
        far = ordered[anomalies * 9 // 10]
        for name, query, shown in (
            (f"by {sort}", f"sort={sort}", ordered[:50]),
            (f"by {sort}, deep", f"sort={sort}&older={far.public_id}", ordered.filter(beyond(far, listing.order))[:50]),
        ):
            sql, params = shown.query.sql_with_params()
            yield name, _beside_bare(client, query, sql, params, rounds)
    yield "search, none", alone(partial(_get, client, "/?q=zzz"), rounds=rounds)  # no row, so nothing to be beside


def asked_after(client: Client, *, rounds: int = 9) -> Iterator[tuple[str, Seconds]]:
    """Yield how long it takes what a page asks for once it is shown."""
    one = Anomaly.objects.get(fingerprint=f"bench-{Anomaly.objects.count() // 2}").public_id
    addresses = {
        "counts": "/anomalies/counts/",
        "counts of a filter": "/anomalies/counts/?user=user_23&status=resolved",
        "counts of a search": "/anomalies/counts/?q=projects/17",
        "options of a known filter": "/filters/severity/",
        "options of agents": "/filters/agent/",
        "options of agents, beside a search": "/filters/agent/?q=projects/17",
        "options of users, beside three filters": "/filters/user/?type=rate_spike&severity=low&status=resolved",
        "how many are new": f"/anomalies/new/?since={one}",
    }
    for name, address in addresses.items():
        yield name, alone(partial(_get, client, address), rounds=rounds)


def details_of(client: Client, events: int = 10_000_000, *, rounds: int = 9) -> Iterator[tuple[str, Seconds]]:
    """Yield how long the details of an anomaly of a day take beside that many events, for each kind of entity."""
    days = timedelta(days=30)
    rows.events(events, agents=1000, start=rows.TODAY - days, span=days)
    for kind, entity in {"agent": "ag_17", "principal": "user_23", "address": "10.0.0.5"}.items():
        one = Anomaly.objects.filter(detected_at__gt=rows.TODAY - days / 2).order_by("id")[len(kind)]
        day = {"started_at": rows.TODAY - days / 2, "active_until": rows.TODAY - days / 2 + timedelta(days=1)}
        Anomaly.objects.filter(pk=one.pk).update(kind=kind, entity=entity, **day)
        yield f"panel of one {kind}", alone(partial(_get, client, f"/anomalies/{one}/", **_PANEL), rounds=rounds)
        yield f"page of one {kind}'s events", alone(partial(_get, client, f"/anomalies/{one}/events/"), rounds=rounds)


def first_page_bytes(client: Client) -> int:
    """Return how much a browser fetches for its first page: HTML, style sheet and scripts, compressed."""
    htmx = Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-2.min.js"
    static = [settings.BASE_DIR / "static" / name for name in ("app.css", "app.js")]
    parts = (_get(client, "/"), *(file.read_bytes() for file in (*static, htmx)))
    return sum(len(gzip.compress(part)) for part in parts)


@contextmanager
def seen_by_viewer(anomalies: int) -> Iterator[Client]:
    """So many anomalies, and the client of somebody who may see them, in a browser that runs scripts."""
    rows.actors(1000, days=30)
    rows.anomalies(anomalies)
    user = User.objects.create_user("benchmark")
    user.groups.add(Group.objects.get(name="viewer"))
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    client.cookies["local_zone"] = "UTC"
    try:
        yield client
    finally:
        user.delete()
        rows.empty()


def _get(client: Client, address: str, **headers: Any) -> bytes:
    answer = client.get(address, **headers)
    assert answer.status_code == 200, (address, answer.status_code)
    return bytes(answer.content)


def _beside_bare(client: Client, query: str, sql: str, params: Sequence[Any], rounds: int) -> Seconds:
    template = get_template("anomalies/anomaly_list.html#row")
    shown: dict[str, int] = {}

    def ours() -> None:
        content = _get(client, f"/?{query}")
        shown["ours"] = content.count(b'<tr id="row-')
        assert b"Not all of this address" not in content, query

    def bare() -> None:
        found = Anomaly.objects.raw(sql, params)
        shown["bare"] = len([template.render({"row": Row(one)}) for one in found])

    taken = compared(ours, bare, rounds=rounds)
    assert shown["ours"] == shown["bare"], (query, shown)
    return taken
