"""How far counts may lie from what is expected of them: mean, variance, and the negative binomial of both."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy  # not scipy.stats, which it loads at first use: each program would take half as long again to start
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DISPERSION_PRIOR_WEIGHT = 50.0  # squared expected events
TINY = 1e-9  # what stands for 0 where it divides


@dataclass(frozen=True, slots=True)
class Band:
    """Mean and variance of the count of each judged bucket, float64 (n, b); the history behind it in days."""

    mean: Floats
    variance: Floats
    history_days: Floats

    def tail(self, counts: NDArray[np.int32]) -> Floats:
        """Return P(count >= observed) under a negative binomial; 1 where the count is not above the mean."""
        p = np.ones(self.mean.shape)
        high = counts > self.mean
        if high.any():
            size, q = _parameters(self.mean[high], self.variance[high])
            p[high] = scipy.stats.nbinom.sf(counts[high] - 1, size, q)
        return p

    def lower_tail(self, counts: NDArray[np.int32]) -> Floats:
        """Return P(count <= observed); 1 where the count is not below the mean."""
        p = np.ones(self.mean.shape)
        low = counts < self.mean
        if low.any():
            size, q = _parameters(self.mean[low], self.variance[low])
            p[low] = scipy.stats.nbinom.cdf(counts[low], size, q)
        return p

    def quantile(self, probability: float) -> Floats:
        """Return the count that is not exceeded with that probability, (n, b)."""
        size, q = _parameters(self.mean, self.variance)
        return np.asarray(scipy.stats.nbinom.ppf(probability, size, q), dtype=np.float64)

    def part(self, rows: slice, buckets: slice) -> Self:
        """Return the band of these rows and buckets alone."""
        return type(self)(self.mean[rows, buckets], self.variance[rows, buckets], self.history_days[rows, buckets])


def _parameters(mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    mean = np.maximum(mean, TINY)
    size = mean**2 / np.maximum(variance - mean, TINY * mean)
    return size, size / (size + mean)


def around(
    mean: Floats, excess: Floats, session: Floats, seen: Floats, history_days: Floats, *, spread: Floats | None = None
) -> Band:
    """Return the band around a mean: `mean (1 + session) + excess mean^2`, and the uncertainty of the mean itself.

    That is `mean (1 + spread mean) / seen`: over-dispersed by `spread`, or else `excess`, and known from `seen` such
    buckets. Mean and session are in events, and all are (n, b) or broadcast to it.
    """
    own = excess if spread is None else spread
    variance = mean * (1 + session) + excess * mean**2 + mean * (1 + own * mean) / seen
    return Band(mean, variance, history_days)


def over_dispersion(counts: Floats, mean: Floats, prior: float) -> Floats:
    """Return the over-dispersion of counts (n, t) by moments, shrunk to the prior, (n,).

    Of buckets that are not known, count and mean are 0.

    Entities that act rarely but in bursts have little weight against the prior, and yet are far from Poisson: the
    estimate is at least the raw one less its standard error.
    """
    squares = np.maximum(np.einsum("ij,ij->i", mean, mean), TINY)
    total = mean.sum(axis=1)
    off = counts - mean
    raw = (np.einsum("ij,ij->i", off, off) - total) / squares
    error = np.sqrt(2 * squares + total) / squares
    shrunk = (np.maximum(raw, 0.0) * squares + prior * DISPERSION_PRIOR_WEIGHT) / (squares + DISPERSION_PRIOR_WEIGHT)
    return np.asarray(np.maximum(shrunk, raw - error))
