"""What each type says: the line of the list, and why."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from anomalies.detection.detector import Detector
from anomalies.detection.finding import MEDIUM, Finding
from anomalies.detection.history import DAY, HOUR, Login, Meeting, Origin, Past, Rule
from anomalies.detection.registry import DETECTORS
from anomalies.detection.request import Unit
from tests.detection import build, requests
from tests.detection.requests import TODAY

TEN = -14  # 10:00 of the last day
LAST_DAY = build.START + 28 * DAY


def _rate_spike() -> Finding:
    counts = np.full((1, 24 * 29), 4)
    counts[0, TEN] = 80
    return _found("rate_spike", build.history(counts))


def _rate_drop() -> Finding:
    counts = np.full((1, 24 * 29), 120)
    counts[0, TEN] = 0
    return _found("rate_drop", build.history(counts))


def _refusals() -> Finding:
    counts = np.full((1, 24 * 29), 50)
    failures = np.full((1, 24 * 29), 2)
    failures[0, TEN] = 31
    return _found("high_failure_rate", build.history(counts, failures=failures))


def _guessing() -> Finding:
    attempts = build.attempts(
        *[(28 * DAY + 10.0 * n, True, f"user_{n % 12}") for n in range(24)], (28 * DAY + 260.0, False, "user_3")
    )
    ip = "192.0.2.7"
    history = build.history(np.zeros(24 * 29), kind="address", entities=[ip], attempts={ip: attempts})
    return _found("high_failure_rate", history)


def _new_principal() -> Finding:
    meeting = Meeting("ag_0", "user_9", LAST_DAY + 9 * HOUR, False, True, False, 0.0)
    return _found("new_principal", build.history(np.full((1, 24 * 29), 4), meetings=[meeting]))


def _off_hours() -> Finding:
    hour = np.arange(24 * 30)
    counts = np.where((hour % 24 >= 9) & (hour % 24 < 17) & (hour // 24 % 7 < 5), 30, 0)
    counts[-22:-20] = 20
    return _found("off_hours_activity", build.history(counts))


def _travel() -> Finding:
    office, away = (40.4168, -3.7038), (21.0278, 105.8342)
    day = int(LAST_DAY // DAY)

    def login(hour: float, country: str, city: str, place: tuple[float, float], device: str) -> Login:
        return Login(LAST_DAY + hour * HOUR, True, "192.0.2.1", "192.0.2.0", country, city, place, device)

    logins = [login(9, "ES", "Madrid", office, "Firefox"), login(9.5, "VN", "Hanoi", away, "curl")]
    past = Past(
        first_day=day - 28,
        origins=[
            Origin(at, at * DAY + 8 * HOUR, at * DAY + 13 * HOUR, 2, True, "192.0.2.1", "192.0.2.0", "ES", office,
                   "Firefox")
            for at in range(day - 28, day)
        ],
        countries={"ES": (day - 28) * DAY + 8 * HOUR, "VN": logins[1].time},
        common={},
    )  # fmt: skip
    history = build.history(np.zeros(24 * 29), kind="principal", entities=["ana"])
    return _found("suspicious_login", replace(history, logins={"ana": logins}, pasts={"ana": past}))


def _automation() -> Finding:
    return _found("access_automation", requests.history(requests.every(6, 15)))


def _high_risk() -> Finding:
    unit = Unit("aws", "prod-exports", "bucket", "Bucket Admin")
    return _found("request_high_risk_access", requests.history([requests.request("1", TODAY, unit)]))


def _approved() -> Finding:
    rejected = requests.request("1", TODAY - 1, decisions=(requests.decided(TODAY - 0.5, approved=False, by="Tom"),))
    approved = requests.request("2", TODAY - 0.2, decisions=(requests.decided(TODAY, approved=True, by="Olga"),))
    return _found("approved_after_rejected", requests.history([rejected, approved]))


def _inactive() -> Finding:
    return _found("inactive_user", requests.history([requests.request()], times=[TODAY - 212, TODAY]))


def _rule() -> Finding:
    times = LAST_DAY + np.array([100.0, 200.0, 300.0])
    rule = Rule("rule_1", "Night exports", MEDIUM, 300.0, 3, ("exports.read",), {"ag_0": times})
    return _found("custom_rule", replace(build.history(np.zeros(24 * 29)), rules=[rule]))


def _found(type_: str, history: object) -> Finding:
    detector = DETECTORS[type_]
    [finding] = detector.detect(history, detector.config())  # type: ignore[arg-type]
    return finding


TEXTS: list[tuple[Callable[[], Finding], str, str]] = [
    (
        _rate_spike,
        "80 requests in 1 hour, 4 expected",
        "At this hour on a Monday ag_0 makes 4 requests in 1 hour, and fewer than 15 in 9,999 of 10,000 "
        "cases. It made 80, 20 times as many; the chance of that is less than 1 in a billion.",
    ),
    (
        _rate_drop,
        "0 requests in 1 hour, 120 expected",
        "At this hour on a Monday ag_0 makes 120 requests in 1 hour, and more than 80 in 9,999 of 10,000 "
        "cases. It made 0; the chance of so few is less than 1 in a billion.",
    ),
    (
        _refusals,
        "62 % refused (31 of 50 in 1 hour), usually 4.0 %",
        "ag_0 made 50 requests in 1 hour; 31 were refused, 62 %. Usually 4.0 % are, and fewer than 10 of 50 "
        "in 9,999 of 10,000 cases; the chance of so many is less than 1 in a billion.",
    ),
    (
        _guessing,
        "Success for user_3 after 24 failures from 192.0.2.7 in 4 minutes",
        "192.0.2.7 failed 24 times in 4 minutes, for user_0, user_1, user_10 and 9 more. That breaks 3 rules:"
        " at least 20 failures in an hour; at least 10 users tried in 10 minutes; a success after at least 10"
        " failures in a row. Then it succeeded, for user_3.",
    ),
    (
        _new_principal,
        "user_9 for the first time, no new principal in 2,724 events before",
        "ag_0 acted for user_9 for the first time, from an address new to the agent. In the 28 days before it"
        " met no new principal in 2,724 events: a new one is to be expected in about 1 in 5,450 events.",
    ),
    (
        _off_hours,
        "40 actions between 02:00 and 04:00 on Tuesday (UTC), usually hardly any",
        "ag_0 acted 40 times between 02:00 and 04:00 on Tuesday (UTC), outside the hours it has kept so far: "
        "in 24 periods of 5 minutes, of the 84 in which it was active that night. Its history explains 2.8 of"
        " them; the chance of so many is less than 1 in a billion.",
    ),
    (
        _travel,
        "First login from Hanoi, VN, 10,040 km from Madrid, ES, 30 minutes later",
        "Signed in from Madrid, ES and 30 minutes later from Hanoi, VN, 10,040 km away, from a device never "
        "seen: faster than 900 km/h, and the two places were not used together before. Signed in from VN for "
        "the first time, from a device never seen; of 56 logins in 28 days, 0.88 % at most were as new.",
    ),
    (
        _automation,
        "10 similar requests in 1 hour to postgres-eu database, at regular intervals, 15 in 84 minutes",
        "ana made 15 similar requests to postgres-eu database, 10 of them within 1 hour, at regular intervals"
        " of 6 minutes, for the same each time and more than twice as many as the limit. From 5 in 1 hour on "
        "they count as made by code; in the 14 days before there were none. The gaps deviate by 0 % of their "
        "mean.",
    ),
    (
        _high_risk,
        "AR-1: Bucket Admin on prod-exports, elevated access to a sensitive resource",
        "ana asked for Bucket Admin on prod-exports. The resource prod-exports contains “prod” and the "
        "permission “Bucket Admin” contains “admin”. In the 30 days before, ana made no such request.",
    ),
    (
        _approved,
        "AR-2: read on orders approved, rejected 12 hours before",
        "AR-2 of ana was approved by Olga. 12 hours before, Tom had rejected a similar one, AR-1, for read on"
        " orders. People had rejected such requests once in the 90 days before the approval.",
    ),
    (
        _inactive,
        "AR-1: first request in 212 days",
        "ana asked for access for the first time in 212 days; a user counts as inactive from 90 days on. "
        "Nothing else was seen of ana in these 90 days.",
    ),
    (
        _rule,
        "3 events in 5 minutes, rule “Night exports” allows fewer than 3",
        "Rule “Night exports” calls 3 events or more within 5 minutes an anomaly, if they are about "
        "exports.read. ag_0 had 3 within 5 minutes, 3 in all. A person set this limit; it was not learned.",
    ),
]


@pytest.mark.parametrize(("make", "line", "why"), TEXTS)
def test_each_type_says_what_happened_and_why(make: Callable[[], Finding], line: str, why: str) -> None:
    finding = make()
    assert (finding.description, finding.evidence["why"]) == (line, why)


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=lambda detector: detector.type)
def test_sentences_end_with_one_full_stop(detector: Detector) -> None:
    whys = [why for make, _, why in TEXTS if make().type == detector.type]
    for text in [detector.meaning, *detector.may_indicate, *detector.recommended_actions, *whys]:
        assert re.search(r"[^.]\.$", text), text
        assert not re.search(r"\.\.|  |\b1 \w+s\b(?<!1 days)|\.[A-Z]", text), text
