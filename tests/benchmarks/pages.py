"""How long the list of anomalies takes beside its least: one query and the template of its 50 rows.

The bare reference is the query of that page as SQL by the same index, and the product's own template of a row: nobody
is logged in, nothing is counted, and there are no filters to show.
"""

from collections.abc import Callable
from datetime import timedelta

from django.contrib.auth.models import Group, User
from django.template.loader import get_template
from django.test import Client

from anomalies.models import Anomaly
from anomalies.web.row import Row
from tests.benchmarks import rows
from tests.benchmarks.turns import Seconds, compared

_NEWEST = "SELECT * FROM anomalies_anomaly WHERE merged_into_id IS NULL AND {} ORDER BY {} LIMIT 50"
_BY_TIME = "detected_at DESC, id DESC"
_BY_SEVERITY = "severity DESC, detected_at DESC, id DESC"


def list_of(anomalies: int = 1_000_000, *, rounds: int = 9) -> dict[str, Seconds]:
    """Return how long each of some pages of the list takes, by what it shows."""
    rows.actors(1000, days=1)
    rows.anomalies(anomalies)
    deep = Anomaly.objects.get(fingerprint=f"bench-{anomalies * 9 // 10}")
    severe = Anomaly.objects.filter(severity=2).order_by("-detected_at")[anomalies // 6]
    user = User.objects.create_user("benchmark")
    user.groups.add(Group.objects.get(name="viewer"))
    client = Client()
    client.force_login(user)
    before, low = f"detected_at < '{deep.detected_at.isoformat()}'", f"detected_at < '{severe.detected_at.isoformat()}'"
    since = (rows.TODAY - timedelta(days=7)).isoformat()
    pages = {
        "first page": ("", "true", _BY_TIME),
        "deep page": (f"older={deep.public_id}", before, _BY_TIME),
        "open": ("status=open", "status = 'open' AND suppression_id IS NULL", _BY_TIME),
        "high and open": ("severity=high&status=open", "severity = 3 AND status = 'open'", _BY_TIME),
        "one type, deep": (f"type=rate_spike&older={deep.public_id}", f"type = 'rate_spike' AND {before}", _BY_TIME),
        "one agent": ("agent=ag_17", "agent_id = 'ag_17'", _BY_TIME),
        "7 days": ("last=7&unit=days", f"detected_at >= '{since}'", _BY_TIME),
        "by severity, deep": (f"sort=-severity&older={severe.public_id}", f"severity = 2 AND {low}", _BY_SEVERITY),
        "search": ("q=projects/17", "resource ILIKE '%%projects/17%%'", _BY_TIME),
    }

    template = get_template("anomalies/anomaly_list.html#row")
    shown: dict[str, int] = {}

    def ours(query: str) -> Callable[[], None]:
        def get() -> None:
            answer = client.get(f"/?{query}")
            assert answer.status_code == 200, answer.status_code
            shown["ours"] = answer.content.count(b'<tr id="row-')
            assert b"Not all of this address" not in answer.content

        return get

    def bare(where: str, order: str) -> Callable[[], None]:
        def get() -> None:
            found = Anomaly.objects.raw(_NEWEST.format(where, order), [])
            shown["bare"] = len([template.render({"row": Row(one)}) for one in found])

        return get

    taken = {}
    try:
        for name, (query, where, order) in pages.items():
            taken[name] = compared(ours(query), bare(where, order), rounds=rounds)
            assert shown["ours"] == shown["bare"] > 0, (name, shown)
        return taken
    finally:
        user.delete()
        rows.empty()
