"""What a person should see of a series: what was observed, and what was to be expected."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import baseline
from anomalies.detection.history import History

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


def of_requests(
    history: History,
    width: int,
    *,
    prior: baseline.Prior = baseline.PRIOR,
    young_days: float = baseline.YOUNG_DAYS,
    fit_days: float = baseline.FIT_DAYS,
) -> Chart:
    """Return the requests of the only entity of a history, from `judge_from` on, with their baseline."""
    bands = baseline.of_days(history, prior=prior, young_days=young_days, fit_days=fit_days, quiet_days=True)
    counts = history.hours if width == history.hours.width else history.fives
    offset = counts.index(bands.start)
    band = bands.by_width[counts.width].row(0)
    observed = counts.requests[0, offset : offset + band.mean.shape[1]]
    return Chart(
        unit="requests",
        width=counts.width,
        starts=counts.starts[offset : offset + band.mean.shape[1]],
        observed=observed,
        expected=band.mean[0],
        lower=band.quantile(1 - BAND)[0],
        upper=band.quantile(BAND)[0],
    )
