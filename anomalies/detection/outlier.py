"""Outliers: what counts of a series are far from usual, so that yesterday's attack is not tomorrow's normal.

Counts, means and weights are (n, t), events of each bucket of n series; over-dispersions are (n,).
"""

import numpy as np
from numpy.typing import NDArray

from anomalies.detection.band import TINY

Floats = NDArray[np.float64]

ROUNDS = 3  # of fitting, in each of which outliers weigh less by the fit before
WINSOR_SD = 3.0
OUTLIER_RESIDUAL = 2.58
# Quantile of active buckets. With 0.98, up to 1.2e-4 of over-dispersed hours had p < 1e-5; with this, up to 6e-5.
USUAL_BURST = 0.995


def winsorised(counts: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Cap counts at `WINSOR_SD` standard deviations above their mean."""
    sd = np.sqrt(mean * (1 + dispersion[:, None] * mean))
    return np.asarray(np.minimum(counts, mean + WINSOR_SD * sd))


def usual_burst(counts: Floats) -> Floats:
    """Return the entity's own busiest active bucket, but for the few that are busier yet, (n,)."""
    if not counts.shape[1]:
        return np.zeros(len(counts))
    ordered = np.sort(counts, axis=1)
    active = np.count_nonzero(ordered, axis=1)
    rank = ordered.shape[1] - active + np.floor(USUAL_BURST * np.maximum(active - 1, 0)).astype(np.intp)
    return np.asarray(ordered[np.arange(len(ordered)), np.minimum(rank, ordered.shape[1] - 1)], dtype=np.float64)


def capped(counts: Floats, mean: Floats, burst: Floats) -> Floats:
    """Cap counts at the usual burst, so that one attack is not part of what is usual."""
    return np.asarray(np.minimum(counts, np.maximum(burst[:, None], mean)))


def weight(counts: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Return 1, or r^-2 where the Anscombe residual r exceeds `OUTLIER_RESIDUAL`, (n, t)."""
    weights = np.ones(counts.shape)
    safe = np.maximum(mean, TINY)
    # r <= (y - mu) / sd, so that only what is far off needs its roots.
    sd = np.sqrt(safe * (1 + dispersion[:, None] * safe))
    far = np.nonzero(counts - safe > OUTLIER_RESIDUAL * sd)
    y, mu = counts[far], safe[far]
    residual = 1.5 * (y ** (2 / 3) - mu ** (2 / 3)) / (mu ** (1 / 6) * np.sqrt(1 + dispersion[far[0]] * mu))
    weights[far] = np.where(residual <= OUTLIER_RESIDUAL, 1.0, np.maximum(residual, 1.0) ** -2)
    return weights
