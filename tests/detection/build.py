"""Histories for detectors, built from hourly counts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anomalies.detection.history import DAY, HOUR, Attempts, Calendar, Counts, History, Meeting
from anomalies.detection.request import Requester

START = 1_767_571_200.0  # Monday 2026-01-05 00:00 UTC


def history(
    hourly: ArrayLike,
    *,
    failures: ArrayLike | None = None,
    judge_days: int = 1,
    kind: str = "agent",
    entities: Sequence[str] | None = None,
    first_time: float = START,
    until: float | None = None,
    meetings: Sequence[Meeting] = (),
    attempts: Mapping[str, Attempts] | None = None,
    working_hours: tuple[int, int] | None = None,
    asked: Mapping[str, Requester] | None = None,
) -> History:
    """Entities with those counts by the hour from `START` on, (n, t) or (t,), of which the last days are judged.

    The events of an hour are spread over its slots of 5 minutes, and of 1, one by one.
    """
    requests = np.atleast_2d(np.asarray(hourly, dtype=np.int32))
    failed = np.zeros_like(requests) if failures is None else np.atleast_2d(np.asarray(failures, dtype=np.int32))
    n, t = requests.shape
    assert t % 24 == 0, "whole days"
    hours = Counts(START, HOUR, requests, failed)
    end = START + HOUR * t
    week = np.broadcast_to(np.arange(t) % 168, (n, t)).astype(np.int16)
    at_work = np.zeros((n, t), dtype=np.bool_)
    if working_hours:
        at_work = (week % 24 >= working_hours[0]) & (week % 24 < working_hours[1]) & (week // 24 < 5)
    everybody = requests.sum(axis=0, keepdims=True), failed.sum(axis=0, keepdims=True)
    return History(
        kind=kind,
        entities=tuple(entities or (f"ag_{number}" for number in range(n))),
        actions=("",) * n,
        until=end if until is None else until,
        judge_from=np.full(n, end - judge_days * DAY),
        first_time=np.full(n, first_time),
        hours=hours,
        fives=Counts(START, 300, spread(requests, 12), spread(failed, 12)),
        minutes=Counts(START, 60, spread(requests, 60), spread(failed, 60)),
        calendar=Calendar(("UTC",) * n, week, week // 24 >= 5, np.full(n, working_hours is not None), at_work),
        tenant=Counts(START, HOUR, everybody[0], everybody[1]),
        meetings=tuple(meetings),
        attempts=attempts or {},
        requests=asked or {},
    )


def spread(hourly: NDArray[np.int32], parts: int) -> NDArray[np.int32]:
    """Spread (n, t) hourly counts over (n, parts t) slots, one event after the other."""
    slots = np.arange(parts)
    return np.asarray((hourly[:, :, None] + parts - 1 - slots) // parts, dtype=np.int32).reshape(len(hourly), -1)


def office(days: int, *, level: float = 40.0, dispersion: float = 0.05, seed: int = 1, n: int = 1) -> NDArray[Any]:
    """Counts (n, 24 days) of agents busy from 8 to 18 on weekdays; negative binomial, Poisson at dispersion 0."""
    rng = np.random.default_rng(seed)
    hour = np.arange(24 * days)
    busy = np.where((hour % 24 >= 8) & (hour % 24 < 18) & (hour // 24 % 7 < 5), 1.0, 0.05)
    mean = np.broadcast_to(level * busy, (n, 24 * days))
    rate = rng.gamma(1 / dispersion, mean * dispersion) if dispersion else mean
    return rng.poisson(rate)


def attempts(*rows: tuple[float, bool, str]) -> Attempts:
    """Attempts from (seconds after START, failed, partner)."""
    return Attempts(
        times=np.array([START + seconds for seconds, _, _ in rows]),
        failed=np.array([failed for _, failed, _ in rows], dtype=np.bool_),
        partners=np.array([partner for _, _, partner in rows]),
    )
