"""How a series' own history is fitted: a profile of its days, its weekdays, its level and its over-dispersion.

The mean of hour t is `mu = S[slot] * D[weekday] * R * L`: S is a profile over 48 slots (hour of the local day, times
work or free day), D a factor by weekday, R a level that the series moved to for good, L the level of the last 72 hours.
Past outliers weigh less, so that yesterday's attack is not tomorrow's normal.

Source: Farrington et al. (1996), JRSS A 159(3); Noufaily et al. (2013), Statistics in Medicine 32(7).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import outlier
from anomalies.detection.band import TINY, over_dispersion
from anomalies.detection.level import moved_level, rolling_level

Floats = NDArray[np.float64]

SLOT_PRIOR_HOURS = 0.5  # weight of the series' level in each slot of the profile
# Hours seen in a slot at which its neighbours count half as much as at none. Of fourfold hours of agents with sharp
# office hours (400 an hour, over-dispersion 0.1), 0.59 are found where 0.52 were with neighbours that always count.
NEIGHBOUR_HOURS = 4.0
WEEKDAY_PRIOR_EVENTS = 20.0


@dataclass(frozen=True, slots=True)
class Clock:
    """The hours of a stretch of time on one calendar."""

    slots: NDArray[np.int64]  # (t,)
    weekdays: NDArray[np.int64]  # (t,)
    in_slot: Floats  # (t, 48), 1 where the hour is in the slot
    on_weekday: Floats  # (t, 7)

    @classmethod
    def of(cls, hour_of_week: NDArray[np.int16], free: NDArray[np.bool_]) -> Self:
        """Return the clock of hours of the week, 0 is Monday 00:00 local time, and of free days; both (t,)."""
        slots = hour_of_week.astype(np.int64) % 24 + 24 * free
        weekdays = hour_of_week.astype(np.int64) // 24
        return cls(slots, weekdays, np.eye(48)[slots], np.eye(7)[weekdays])


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted to n series over h hours, oldest first; in events an hour unless it says otherwise."""

    known: Floats  # (n, h) 1 from the hour of the first event on
    profile: Floats  # (n, 48)
    own_profile: Floats  # (n, 48) without its neighbours' part
    weekday: Floats  # (n, 7) factors
    slot_weight: Floats  # (n, 48) hours behind each value of the profile
    dispersion: Floats  # (n,)
    usual: Floats  # (n, h) mean of each past hour, but for the level of its last 72 hours
    level: Floats  # (n, h) that level
    moved: Floats  # (n,) the level that it moved to, 1 if it did not
    moved_days: NDArray[np.int64]  # (n,) since when

    @classmethod
    def of(cls, counts: Floats, known: Floats, clock: Clock, prior_dispersion: float) -> Self:
        """Fit profile, weekdays, level and over-dispersion to (n, h) hours of whole days; `known` is 0 or 1."""
        n, h = counts.shape
        hour = np.arange(h)
        weight, exposure = known, known
        dispersion = np.full(n, prior_dispersion)
        burst = outlier.usual_burst(counts)
        moved, days = np.ones(n), np.zeros(n, dtype=np.int64)
        for number in range(outlier.ROUNDS):
            weighted = weight * counts
            level = weighted.sum(axis=1) / np.maximum(exposure.sum(axis=1), TINY)
            seen = exposure @ clock.in_slot
            slot_weight = _smooth(seen, seen) + SLOT_PRIOR_HOURS
            sums, prior_sum = weighted @ clock.in_slot, SLOT_PRIOR_HOURS * level[:, None]
            profile = (_smooth(sums, seen) + prior_sum) / slot_weight
            seasonal = profile[:, clock.slots]
            weekday = (weighted @ clock.on_weekday + WEEKDAY_PRIOR_EVENTS) / (
                (exposure * seasonal) @ clock.on_weekday + WEEKDAY_PRIOR_EVENTS
            )
            usual = known * seasonal * weekday[:, clock.weekdays]
            if number:  # before, outliers weigh as much as all else
                moved, days = moved_level(counts, usual, known, dispersion)
            scale = np.where(hour >= h - 24 * days[:, None], moved[:, None], 1.0) if days.any() else np.ones((1, 1))
            usual = usual * scale
            lately = rolling_level(outlier.winsorised(counts, usual, dispersion), usual)
            mean = usual * lately
            dispersion = over_dispersion(outlier.capped(counts, mean, burst), mean, prior_dispersion)
            weight = known * outlier.weight(counts, mean, dispersion)
            exposure = weight * scale
        own_profile = (sums + prior_sum) / (seen + SLOT_PRIOR_HOURS)
        return cls(known, profile, own_profile, weekday, slot_weight, dispersion, usual, lately, moved, days)


def _smooth(sums: Floats, own: Floats) -> Floats:
    """Add to each slot what its two neighbours say, less the more hours `own` the slot itself has seen; (n, 48)."""
    days = sums.reshape(-1, 2, 24)
    neighbours = np.roll(days, 1, axis=2) + np.roll(days, -1, axis=2)
    share = 0.5 * NEIGHBOUR_HOURS / (NEIGHBOUR_HOURS + own)
    return np.asarray(sums + share * neighbours.reshape(sums.shape))
