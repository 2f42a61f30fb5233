"""Login profile: what is known of a user's logins on a day, by those of the 30 days before."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from anomalies.detection import travel
from anomalies.detection.history import HOUR, Login, Origin, Past
from anomalies.detection.travel import Place, Trip

Floats = NDArray[np.float64]

HISTORY_DAYS = 30  # of logins that a login is held against
SHRINKAGE = 5.0  # weight of what is usual of all users, in days or squared counts, against the user's own days
BUSY_HOUR = 1 / 3  # of a day's networks may fall into one hour


@dataclass(frozen=True, slots=True)
class Usual:
    """What a day is like until the user's own days say more."""

    mean: float  # of what is counted, a day
    dispersion: float  # variance mean + dispersion * mean^2

    def tail(self, k: int, by_day: Sequence[float], alpha: float) -> tuple[float, float, float]:
        """Return the chance of k or more in a day by the days before, their mean, and what `alpha` of days exceed.

        Negative binomial: over-dispersed by moments, shrunk, and wider the fewer days are known.
        """
        days = len(by_day)
        mean = (sum(by_day) + SHRINKAGE * self.mean) / (days + SHRINKAGE)
        excess = sum((count - mean) ** 2 - mean for count in by_day)
        dispersion = (max(excess, 0.0) + SHRINKAGE * self.dispersion) / (days * mean**2 + SHRINKAGE)
        shape = 1 / (dispersion + 1 / (days + SHRINKAGE))
        p = shape / (shape + mean)
        return float(scipy.stats.nbinom.sf(k - 1, shape, p)), mean, float(scipy.stats.nbinom.isf(alpha, shape, p))


FURTHER_NETWORKS = Usual(mean=0.5, dispersion=0.5)  # beyond the first
# Who forgot a password fails several times at once. Eight failures of who never fails: 1 in 10^8.
FAILED_LOGINS = Usual(mean=0.5, dispersion=2.0)


class LoginProfile:
    """What a day's logins are held against: those of the 30 days before. Days are counted since the epoch.

    Source: Freeman et al. (2016), NDSS, for rarity.
    """

    def __init__(self, past: Past, day: int) -> None:
        self.day = day
        self.past = past
        mine = [one for one in past.origins if day - HISTORY_DAYS <= one.day < day]
        self.succeeded = [one for one in mine if one.succeeded]
        self.failed = [one for one in mine if not one.succeeded]
        self.logins = sum(one.logins for one in self.succeeded)
        self.days = min(day - past.first_day, HISTORY_DAYS)
        self._stays: dict[tuple[Place, float], tuple[Floats, Floats]] = {}

    @cached_property
    def _devices(self) -> dict[str, float]:
        """Since when each device is known, of those used in 30 days or today."""
        known: dict[str, float] = {}
        for one in self.past.origins:
            if one.succeeded and self.day - HISTORY_DAYS <= one.day <= self.day:
                known[one.device] = min(one.first_time, known.get(one.device, math.inf))
        return known

    def knows(self, device: str, time: float) -> bool:
        """Return whether the user came with that device before that time."""
        return self._devices.get(device, math.inf) < time

    @cached_property
    def _located(self) -> tuple[Floats, Floats]:
        """Of located origins of 30 days and today: places in degrees, (n, 2); first and last times and days, (n, 3)."""
        located = [
            (*one.place, one.first_time, one.last_time, one.day)
            for one in self.past.origins
            if one.succeeded and one.place and self.day - HISTORY_DAYS <= one.day <= self.day
        ]
        table = np.array(located, dtype=np.float64).reshape(-1, 5)
        return table[:, :2], table[:, 2:]

    def stays(self, place: Place, within_km: float) -> tuple[Floats, Floats]:
        """Return first and last times of the days at a place before today, and first times of today, each sorted.

        Today's last are left out: what comes later must not change what is said of now.
        """
        if (place, within_km) not in self._stays:
            places, times = self._located
            times = times[travel.distances(place, places) <= within_km]
            today = times[:, 2] == self.day
            self._stays[place, within_km] = np.sort(times[~today, :2], axis=None), np.sort(times[today, 0])
        return self._stays[place, within_km]

    def together(self, one: Place, other: Place, time: float, limits: travel.Limits) -> bool:
        """Return whether both places were used before that time, and sooner after each other than anybody travels."""
        here, there = (np.concatenate(self.stays(place, limits.distance_km / 2)) for place in (one, other))
        here, there = np.sort(here[here < time]), np.sort(there[there < time])
        if not len(here) or not len(there):
            return False
        after = np.searchsorted(there, here)
        gaps = np.minimum(
            np.abs(there[np.minimum(after, len(there) - 1)] - here), np.abs(here - there[np.maximum(after - 1, 0)])
        )
        return limits.impossible(one, other, float(gaps.min())) is not None

    def trip(self, before: Login | None, login: Login, limits: travel.Limits) -> Trip | None:
        """Return what lies between two logins if nobody travels so, and the places were not seen together before."""
        if before is None or before.place is None or login.place is None:
            return None
        speed = limits.impossible(before.place, login.place, login.time - before.time)
        if speed is None or self.together(before.place, login.place, before.time, limits):
            return None
        return Trip(before, travel.distance(before.place, login.place), speed)

    @cached_property
    def _counts(self) -> tuple[Counter[tuple[Any, ...]], Counter[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
        """Logins of each value within what it lies in, the same by day, and distinct values."""
        total: Counter[tuple[Any, ...]] = Counter()
        by_day: Counter[tuple[Any, ...]] = Counter()
        distinct: Counter[tuple[Any, ...]] = Counter()
        for one in self.succeeded:
            for within, value in _values(one):
                distinct[within] += (within, value) not in total
                total[within, value] += one.logins
                total[within] += one.logins
                by_day[one.day, within, value] += one.logins
        return total, by_day, distinct

    def rarity(self, login: Login | Origin, *, but_day: int | None = None) -> float:
        """Return the smoothed log-rarity of where a login comes from, as if there were no logins on `but_day`.

        A value seen c times in n logins has (c + 0.5)/(n + 1); one never seen, as probable as new ones were so far.
        """
        total, by_day, distinct = self._counts
        rarity = 0.0
        for within, value in _values(login):
            n = total[within]
            count = total[within, value] - (by_day[but_day, within, value] if but_day is not None else 0)
            if n:
                seen = count if count > 0 else max(distinct[within] - 1, 0)
                rarity -= math.log10(min((seen + 0.5) / (n + 1), 1.0))
        return rarity

    @cached_property
    def _ranked(self) -> tuple[Floats, NDArray[np.int64]]:
        """The rarities of the user's logins when they were, ascending, and how many are at least as rare."""
        rarities = np.array([self.rarity(one, but_day=one.day) for one in self.succeeded])
        order = np.argsort(rarities, kind="stable")
        counts = np.array([one.logins for one in self.succeeded], dtype=np.int64)[order]
        return rarities[order], np.append(np.cumsum(counts[::-1])[::-1], 0)

    def rank(self, login: Login) -> float:
        """Return the share of the user's logins that were at least as rare when they were, with half a login more."""
        rarities, at_least = self._ranked
        as_rare = int(at_least[np.searchsorted(rarities, self.rarity(login) - 1e-9)])
        return (as_rare + 0.5) / (self.logins + 1)

    @cached_property
    def further_networks(self) -> list[float]:
        """How many networks beyond the first an hour of each day with logins can have had.

        Those of its busiest hour as far as that is known; but a good part of the day's at least.
        """
        spans: dict[int, dict[str, tuple[float, float]]] = defaultdict(dict)
        for one in self.succeeded:
            first, last = spans[one.day].get(one.network, (one.first_time, one.last_time))
            spans[one.day][one.network] = min(first, one.first_time), max(last, one.last_time)
        busiest = []
        for of_day in spans.values():
            firsts = np.array([first for first, _ in of_day.values()])
            lasts = np.array([last for _, last in of_day.values()])
            # The hour that ends with each first login: a network that was used before and after counts as used.
            within = (firsts[None, :] <= firsts[:, None]) & (lasts[None, :] > firsts[:, None] - HOUR)
            busiest.append(max(float(within.sum(axis=1).max() - 1), (len(firsts) - 1) * BUSY_HOUR))
        return busiest

    @cached_property
    def failures_a_day(self) -> list[int]:
        """How many logins failed on each day, those without any among them."""
        failed: dict[int, int] = defaultdict(int)
        for one in self.failed:
            failed[one.day] += one.logins
        return [failed[day] for day in range(self.day - self.days, self.day)]


def _values(one: Login | Origin) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Each value of where a login comes from, after what it lies in."""
    return (
        (("country",), one.country),
        (("network", one.country), one.network),
        (("address", one.network), one.ip),
        (("device",), one.device),
    )
