"""Access requests for tables of detectors, in days after `build.START`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from anomalies.detection.detector import Detector
from anomalies.detection.finding import Finding
from anomalies.detection.history import DAY, HOUR, History
from anomalies.detection.request import AccessRequest, Decision, Requester, Unit
from tests.detection import build

ORDERS = Unit("postgres-eu", "orders", "database", "read")
TODAY = 29.0  # the day that is judged


def request(id_: str = "1", day: float = TODAY, *units: Unit, **fields: Any) -> AccessRequest:
    time = build.START + day * DAY
    known_at = fields.pop("known_at", time)
    values = {"id": f"req_{id_}", "name": f"AR-{id_}", "time": time, "known_at": known_at, "flow": "flow_1"}
    return AccessRequest(**{**values, "units": units or (ORDERS,), **fields})


def decided(day: float, *, approved: bool, by: str = "Olga Novak", by_person: bool = True) -> Decision:
    return Decision(build.START + day * DAY, approved, by, by_person)


def history(
    requests: Sequence[AccessRequest],
    *,
    first_seen: float = -400.0,
    times: Sequence[float] | None = None,
    judge_days: int = 1,
    until: float | None = None,
) -> History:
    """One user with these requests; `first_seen` and `times` are in days after START."""
    known = [one.known_at for one in requests] if times is None else [build.START + day * DAY for day in times]
    asked = Requester(
        first_seen=build.START + first_seen * DAY,
        times=np.sort(np.array(known)),
        requests=sorted(requests, key=lambda one: (one.time, one.id)),
    )
    return build.history(
        np.zeros(24 * 30, dtype=int),
        kind="principal",
        entities=["ana"],
        judge_days=judge_days,
        until=until,
        asked={"ana": asked, "nobody": asked},
    )


def found(detector: Detector, *requests: AccessRequest, config: Any = None, **about: Any) -> list[Finding]:
    return detector.detect(history(requests, **about), config or detector.config())


def every(minutes: float, count: int, *units: Unit, day: float = TODAY, start: int = 0) -> list[AccessRequest]:
    """Requests at regular intervals; each of one unit in turn."""
    each = units or (ORDERS,)
    return [request(str(start + n), day + n * minutes * 60 / DAY, each[n % len(each)]) for n in range(count)]


__all__ = ["DAY", "HOUR", "ORDERS", "TODAY", "decided", "every", "found", "history", "request"]
