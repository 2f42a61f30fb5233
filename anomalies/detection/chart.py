"""What a person should see of a series: what was observed, and what was to be expected."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import baseline
from anomalies.detection.band import Band
from anomalies.detection.history import DAY, HOUR, Counts, History
from anomalies.detection.prior import PRIOR, YOUNG_DAYS, Prior

Floats = NDArray[np.float64]
BAND = 0.9999  # of all cases lie below its upper edge, and as many above its lower one


@dataclass(frozen=True, slots=True)
class Chart:
    """Buckets of one series, oldest first; all arrays are (t,)."""

    unit: str
    width: int  # seconds
    starts: Floats  # seconds since the epoch
    observed: NDArray[np.int32]
    expected: Floats
    lower: Floats
    upper: Floats


def judged_buckets(history: History, width: int) -> tuple[Counts, NDArray[np.intp]]:
    """Return the counts by the hour, or else by 5 minutes, and the numbers of the buckets of its judged days, (m,).

    Of the only entity of a history; `width` is in seconds.
    """
    counts = history.hours if width == history.hours.width else history.fives
    judged = np.flatnonzero((counts.starts >= history.judge_from[0] // DAY * DAY) & (counts.starts < history.until))
    return counts, judged


def of_requests(
    history: History,
    width: int,
    *,
    prior: Prior = PRIOR,
    young_days: float = YOUNG_DAYS,
    fit_days: float = baseline.FIT_DAYS,
) -> Chart:
    """Return the requests of the last series of a history, from `judge_from` on, with their baseline.

    By the day only where the history suffices to expect something of each day; else by the hour.
    """
    last = len(history.entities) - 1
    row = np.array([last], dtype=np.intp)
    bands = baseline.of_days(history, prior=prior, young_days=young_days, fit_days=fit_days, rows=row, quiet_days=True)
    days = bands.whole_days(row)
    if width == DAY and days.mean.all():
        return _by_day(history, bands, days, last)
    counts = {count.width: count for count in (history.hours, history.fives, history.minutes)}.get(width, history.hours)
    band = bands.hours(row) if counts.width == HOUR else bands.fine(counts.width, row)
    offset = counts.index(bands.start)
    observed = counts.requests[last, max(offset, 0) : offset + band.mean.shape[1]]
    band = band.part(slice(0, 1), slice(max(-offset, 0), max(-offset, 0) + len(observed)))
    offset = max(offset, 0)
    return Chart(
        unit="requests",
        width=counts.width,
        starts=counts.starts[offset : offset + len(observed)],
        observed=observed,
        expected=band.mean[0],
        lower=band.quantile(1 - BAND)[0],
        upper=band.quantile(BAND)[0],
    )


def _by_day(history: History, bands: baseline.Bands, band: Band, row: int) -> Chart:
    first = history.hours.index(bands.start)
    hourly = history.hours.requests[row, first : first + 24 * bands.days]
    return Chart(
        unit="requests",
        width=DAY,
        starts=bands.start + DAY * np.arange(bands.days, dtype=np.float64),
        observed=hourly.reshape(-1, 24).sum(axis=1, dtype=np.int32),
        expected=band.mean[0],
        lower=band.quantile(1 - BAND)[0],
        upper=band.quantile(BAND)[0],
    )
