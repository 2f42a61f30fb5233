"""Priors: what is expected of an entity without a history, by its tenant and its group."""

from dataclasses import dataclass, replace

import numpy as np

from anomalies.detection import outlier
from anomalies.detection.history import DAY, HOUR, Counts, Peers
from anomalies.detection.lateness import SETTLED_DAYS

SESSION_PRIOR_EVENTS = 50.0
# Of the silent: without it a few events after months of silence would be impossible rather than rare.
LEAST_EVENTS_PER_HOUR = 0.01

# The tenant's own level informs a newcomer's prior, by what is settled.
TENANT_DAYS = 28
LEAST_TENANT_DAYS = 7
# What the members of its group did in these days informs it more, the more of them there are: so many of whom much is
# known weigh as much as the tenant, and of one who is known for so many hours half of what it is worth is known.
# Of newcomers of groups of 10 (`method.newcomers`, seeds 1 to 3, 600 of them, 300 spikes of 10 to 20 times),
# F1 is .271 with 11 false alarms by the tenant alone, .471 and none with 1, .455 with 2, .399 with 4; of groups of 2,
# .245 and 9, .490 and none, .396 and 1, .309 and 2. With 0.5 F1 is higher yet (.495, .566), but where members differ
# e-fold it has 5 false alarms instead of 4.
GROUP_PRIOR_MEMBERS = 1.0
GROUP_PRIOR_HOURS = 72.0
LEAST_PRIOR_SHARE = 0.25  # of the configured prior, that a quiet tenant leaves of it


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected of an entity without a history.

    Its mean is Gamma(shape) around `events_per_hour`: 120 and 1/2 let it do some 250 in 5 minutes. Its variance is
    `mu (1 + session) + dispersion mu^2`: of an entity that hardly ever acts, a few events at once are one session, not
    a spike. The session's part fades as `SESSION_PRIOR_EVENTS / (SESSION_PRIOR_EVENTS + events known)`.
    """

    events_per_hour: float
    shape: float
    dispersion: float
    session: float  # events


PRIOR = Prior(events_per_hour=120.0, shape=0.5, dispersion=0.2, session=5.0)
YOUNG_DAYS, MOST_YOUNG_DAYS = 3.0, 30


def of_tenant(tenant: Counts, day: float, prior: Prior) -> Prior:
    """Return the prior of a newcomer on a UTC day: `prior`, but no more events than everybody together makes.

    `tenant` is by the hour; `day` is the day's begin in seconds since the epoch.
    """
    lately = tenant.requests[0, _settled(tenant.start, tenant.requests.shape[1], day)]
    active = np.flatnonzero(lately)
    if not len(active) or len(lately) - active[0] < 24 * LEAST_TENANT_DAYS:
        return prior
    everybody = float(lately[active[0] :].mean())
    most = max(everybody, LEAST_PRIOR_SHARE * prior.events_per_hour)
    return replace(prior, events_per_hour=min(prior.events_per_hour, most))


def of_group(peers: Peers, day: float, prior: Prior) -> Prior:
    """Return the prior of a newcomer in a group: `prior`, drawn to what members did in any hour of their settled days.

    Mean and squared variation are those of all their hours but for the few that are busier than the usual burst, and
    are drawn the further the more members are known, and the longer.
    """
    lately = _settled(peers.start, peers.requests.shape[1], day)
    starts = peers.start + HOUR * np.arange(lately.start, lately.stop)
    known = starts[None, :] + HOUR > peers.first_time[:, None]
    members = int(known.any(axis=1).sum())
    if not members:
        return prior
    counts = peers.requests[:, lately][known].astype(np.float64)
    counts = np.minimum(counts, outlier.usual_burst(counts[None, :])[0])
    mean = max(float(counts.mean()), LEAST_EVENTS_PER_HOUR)
    variation = max((float((counts**2).mean()) - mean) / mean**2 - 1.0, 0.0)
    much = members * len(counts) / (len(counts) + members * GROUP_PRIOR_HOURS)
    share = much / (much + GROUP_PRIOR_MEMBERS)
    return replace(
        prior,
        events_per_hour=mean**share * prior.events_per_hour ** (1 - share),
        shape=1.0 / (share * variation + (1 - share) / prior.shape),
    )


def _settled(start: float, hours: int, day: float) -> slice:
    """Return which of so many hours from `start` on are of the last `TENANT_DAYS` that are settled on that day.

    Only what late events can't change any more counts, so that the order of arrival is no matter.
    """
    last = max(0, min(int((day - SETTLED_DAYS * DAY - start) // HOUR), hours))
    return slice(max(0, last - 24 * TENANT_DAYS), last)
