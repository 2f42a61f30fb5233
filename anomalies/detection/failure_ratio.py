"""Failure ratio: which share of its requests an entity usually fails, how steadily, and how improbable more is.

k of n requests failed. Ratios are 0..1; steadiness kappa, in requests, is that of a beta-binomial with the parameters
`ratio kappa` and `(1 - ratio) kappa`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from anomalies.detection.history import DAY, History
from anomalies.detection.lateness import SETTLED_DAYS
from anomalies.detection.screening import Mask

Floats = NDArray[np.float64]
Counted = NDArray[np.integer[Any]]

TENANT_PRIOR_RATIO = 0.05  # refused, before anything is known
TENANT_PRIOR_REQUESTS = 100.0
OWN_PRIOR_REQUESTS = 50.0  # weight of the tenant's ratio in an entity's own
CONCENTRATION_PRIOR_HOURS = 50.0
LEAST_CONCENTRATION, MOST_CONCENTRATION = 5.0, 500.0  # kappa is kept between them
WILSON_Z = 1.96


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a ratio too high, and what the usual one is learned from."""

    alpha: float  # chance of so many failures, below which it is
    min_requests: int
    min_failures: int
    min_excess: float  # by which the ratio surely exceeds the usual one
    concentration: float  # steadiness of an unknown ratio, in requests
    history_days: float

    def enough(self, n: Counted, k: Counted) -> Mask:
        """Return where there are requests and failures enough to speak of a ratio."""
        return np.asarray((n >= self.min_requests) & (k >= self.min_failures))

    def possible(self, n: Counted, k: Counted) -> Mask:
        """Return where the ratio may be too high: for whom nothing ever fails it surely exceeds what is usual."""
        return self.enough(n, k) & self.exceeded(n, k)

    def exceeded(self, n: Counted, k: Counted, ratio: Floats | float = 0.0) -> Mask:
        """Return where k/n surely exceeds the usual ratio by `min_excess`: so does the lower bound of its interval."""
        return np.asarray(_wilson(n, k) > ratio + self.min_excess)


def tail(n: Counted, k: Counted, ratio: Floats, kappa: Floats) -> Floats:
    """Return P(failures >= k) of n requests under a beta-binomial; all (n,), or alike."""
    return np.asarray(scipy.stats.betabinom.sf(k - 1, n, ratio * kappa, (1 - ratio) * kappa))


def quantile(probability: float, n: Counted | int, ratio: Floats | float, kappa: Floats | float) -> Floats:
    """Return the number of failures of n requests that is not exceeded with that probability."""
    return np.asarray(scipy.stats.betabinom.ppf(probability, n, ratio * kappa, (1 - ratio) * kappa))


def usual(history: History, rows: NDArray[np.intp], day: float, limits: Limits) -> tuple[Floats, Floats]:
    """Return the usual ratio of failures before that day, and its steadiness kappa, both (len(rows),).

    The ratio is shrunk to that of the tenant; the steadiness, from the intra-class variance of the hours, to
    `concentration`. `day` is the day's begin in seconds since the epoch.

    Source: Williams (1975), Biometrics 31(4), for the beta-binomial.
    """
    last = history.hours.index(day)
    past = slice(max(0, last - round(limits.history_days * 24)), last)
    before = max(0, history.tenant.index(day - SETTLED_DAYS * DAY))
    lately = slice(max(0, before - round(limits.history_days * 24)), before)
    tenant = (history.tenant.failures[0, lately].sum() + TENANT_PRIOR_RATIO * TENANT_PRIOR_REQUESTS) / (
        history.tenant.requests[0, lately].sum() + TENANT_PRIOR_REQUESTS
    )
    n = history.hours.requests[rows, past].astype(np.float64)
    k = history.hours.failures[rows, past].astype(np.float64)
    requests, failures = n.sum(axis=1), k.sum(axis=1)
    own = (failures + OWN_PRIOR_REQUESTS * tenant) / (requests + OWN_PRIOR_REQUESTS)

    # Intra-class correlation by moments over the hours with at least two requests.
    informative = n >= 2
    hours = informative.sum(axis=1)
    n_in = np.where(informative, n, 0.0)
    pairs = (n_in * (n_in - 1)).sum(axis=1)
    spread = np.where(informative, (k - n * own[:, None]) ** 2 - n * (own * (1 - own))[:, None], 0.0).sum(axis=1)
    correlation = np.clip(spread / np.maximum(pairs * own * (1 - own), 1e-9), 0.0, 1.0)
    prior = 1 / (limits.concentration + 1)
    correlation = (hours * correlation + CONCENTRATION_PRIOR_HOURS * prior) / (hours + CONCENTRATION_PRIOR_HOURS)
    return own, np.clip(1 / np.maximum(correlation, 1e-6) - 1, LEAST_CONCENTRATION, MOST_CONCENTRATION)


def _wilson(n: Counted, k: Counted) -> Floats:
    """Return the lower bound of the 95 % interval of k/n; 0 where n is 0.

    Source: Wilson (1927), JASA 22.
    """
    trials = np.maximum(n, 1).astype(np.float64)  # of 32 bits their square would overflow
    ratio = k / trials
    z2 = WILSON_Z**2
    centre = ratio + z2 / (2 * trials)
    margin = WILSON_Z * np.sqrt(ratio * (1 - ratio) / trials + z2 / (4 * trials**2))
    return np.asarray((centre - margin) / (1 + z2 / trials))
