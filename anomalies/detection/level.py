"""The level of a series: how much it does of what its hours usually hold, lately, and since it changed for good.

Counts and means are events of each hour, (n, t), oldest first; over-dispersions and mean days are (n,).
"""

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import outlier
from anomalies.detection.band import TINY

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEVEL_PRIOR_EVENTS = 30.0
# With 48 hours F1 was lower by .002 (Poisson) to .006 (strong drift), with 24 by up to .022 (contaminated).
LEVEL_HOURS = 72

# A level that moved for good: at least twice (or half) the usual one, in hours that hold most of what was expected.
# Of 80 series each whose level tripled for good (`method.changes`), 1.00 to 1.08 anomalies a series were raised where
# it never rests and 1.01 to 1.13 where it keeps office hours, with over-dispersions of 0, 0.05 and 0.2; of those that
# fell silent, 1.00 and 1.06. None was missed, and of spikes on the new level 159 of 160 were found (99 at 0.2). The
# further ones: nights of a weekend that begin the change more than a day before Monday tells, and single hours of a
# week later. Before what settles was told as one (`deviation`), it were 1.00 to 1.43, 1.13 to 1.38, 1.20 and 1.36.
SHIFT_RATIO = 2.0
SHIFT_HOUR_RATIO = 1.5  # of a single hour that counts as moved
SHIFT_SHARE = 0.7
SHIFT_EVENTS = 10.0  # expected at least, to speak of a level,
SHIFT_DAY_SHARE = 0.5  # and at least so much of a mean day's events: a weekend says nothing of the week
SHIFT_SD = 2.0  # by which the level surely exceeds `SHIFT_HOUR_RATIO`
LEAST_LEVEL = 1e-3  # of the silent
SHIFT_DAYS = 2  # from which it is the usual one in both directions; before, either level is usual


def sums_before(values: Floats, hours: int) -> Floats:
    """Return the sum of the hours before each, (n, t)."""
    total = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=total[:, 1:])
    sums = total[:, :-1].copy()
    sums[:, hours:] -= total[:, : max(0, values.shape[1] - hours)]
    return sums


def rolling_level(counts: Floats, mean: Floats) -> Floats:
    """Return the level before each hour from the 72 hours before it, (n, t)."""
    seen, expected = sums_before(counts, LEVEL_HOURS), sums_before(mean, LEVEL_HOURS)
    return (seen + LEVEL_PRIOR_EVENTS) / (expected + LEVEL_PRIOR_EVENTS)


def mean_day(usual: Floats, known: Floats) -> Floats:
    """Return the events expected in a mean day since the first event, (n,)."""
    return np.asarray(24 * usual.sum(axis=1) / np.maximum(known.sum(axis=1), 24.0))


def moved_level(counts: Floats, usual: Floats, known: Floats, dispersion: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the level that each series moved to and has kept, 1 if it did not, and for how many days; both (n,).

    The hours are those of whole days; `known` is 1 from the hour of the first event on.

    Of all stretches of whole days that end with the last one, that is the likeliest in which most hours, by what was
    expected of them, lie on one side, surely far off, the newest ones too.
    """
    n = len(counts)
    level, days = np.ones(n), np.zeros(n, dtype=np.int64)
    if not counts.shape[1]:
        return level, days

    def since(values: Floats) -> Floats:
        """Sum of each day and all later ones, the shortest stretch first."""
        return np.cumsum(values.reshape(len(values), -1, 24).sum(axis=2)[:, ::-1], axis=1)

    seen, expected = since(counts), since(usual)
    ratio = seen / np.maximum(expected, TINY)
    a_day = mean_day(usual, known)[:, None]
    busy = np.maximum(np.minimum(SHIFT_EVENTS, SHIFT_DAY_SHARE * a_day), TINY)
    newest = np.argmax(expected >= busy, axis=1)
    far = _far(ratio, up=True) | _far(ratio, up=False)
    enough = expected >= np.maximum(SHIFT_EVENTS, SHIFT_DAY_SHARE * a_day)
    rows = np.flatnonzero((far & enough).any(axis=1))
    if not len(rows):
        return level, days
    n = len(rows)
    counts, usual, dispersion, newest = counts[rows], usual[rows], dispersion[rows], newest[rows]
    seen, expected, ratio, enough = seen[rows], expected[rows], ratio[rows], enough[rows]
    noise = SHIFT_SD * np.sqrt(seen + 1 + dispersion[:, None] * ratio**2 * since(usual**2))
    likelier = seen * np.log(np.maximum(ratio, TINY)) - (seen - expected)
    best = np.zeros(n)
    for up in (True, False):
        share = since(usual * _moved_hours(counts, usual, up=up)) / np.maximum(expected, TINY)
        holds = _far(ratio, up=up) & _surely_off(seen, expected, noise, up=up) & (share >= SHIFT_SHARE) & enough
        holds &= (share[np.arange(n), newest] >= SHIFT_SHARE)[:, None]
        gain = np.where(holds, likelier, 0.0)
        longest = np.argmax(gain, axis=1)
        better = gain[np.arange(n), longest] > best
        best = np.where(better, gain[np.arange(n), longest], best)
        level[rows[better]] = ratio[np.arange(n), longest][better]
        days[rows[better]] = longest[better] + 1
    return np.maximum(level, LEAST_LEVEL), days


def levels_of_hours(counts: Floats, usual: Floats, dispersion: Floats, a_day: Floats) -> tuple[Floats, Floats]:
    """Return the level of the last 24 hours, and the level that they moved to within a day; both (n, 24).

    The last is 1 unless the 24 hours before show a new level: then it is that of the last 12. Before these 24 hours
    are the `LEVEL_HOURS` that their level comes from; `a_day` is what a mean day holds.
    """
    level = rolling_level(outlier.winsorised(counts, usual, dispersion), usual)[:, -24:]

    seen, expected = sums_before(counts, 24)[:, -24:], sums_before(usual, 24)[:, -24:]
    ratio = seen / np.maximum(expected, TINY)
    enough = expected >= np.maximum(SHIFT_EVENTS, SHIFT_DAY_SHARE * a_day)[:, None]
    moved = np.ones(level.shape)
    if not (enough & (_far(ratio, up=True) | _far(ratio, up=False))).any():
        return level, moved
    noise = SHIFT_SD * np.sqrt(seen + 1 + dispersion[:, None] * ratio**2 * sums_before(usual**2, 24)[:, -24:])
    half_seen, half_expected = sums_before(counts, 12)[:, -24:], sums_before(usual, 12)[:, -24:]
    now = np.where(half_expected >= SHIFT_EVENTS, half_seen / np.maximum(half_expected, TINY), ratio)
    for up in (True, False):
        side = _moved_hours(counts, usual, up=up)
        share = sums_before(usual * side, 24)[:, -24:] / np.maximum(expected, TINY)
        holds = _far(ratio, up=up) & _far(now, up=up) & _surely_off(seen, expected, noise, up=up)
        moved = np.where(holds & enough & (share >= SHIFT_SHARE), now, moved)
    return level, moved


def _far(ratio: Floats, *, up: bool) -> Mask:
    """Return where a level is at least twice, or half, the usual one."""
    return ratio >= SHIFT_RATIO if up else ratio <= 1 / SHIFT_RATIO


def _surely_off(seen: Floats, expected: Floats, noise: Floats, *, up: bool) -> Mask:
    """Return where even less, or more, by the noise would be off by what a single hour must be."""
    return seen - noise > SHIFT_HOUR_RATIO * expected if up else SHIFT_HOUR_RATIO * (seen + noise) < expected


def _moved_hours(counts: Floats, usual: Floats, *, up: bool) -> Mask:
    """Return which hours lie on that side of what is usual."""
    return counts >= SHIFT_HOUR_RATIO * usual if up else SHIFT_HOUR_RATIO * counts <= usual
