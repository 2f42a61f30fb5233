"""A month to look at: a simulated organisation, its history, and what keeps coming."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

import numpy as np
from django.db import transaction

from anomalies.ingest.record import EventRecord
from anomalies.ingest.simulated import Organisation
from anomalies.ingest.simulated.cast import Agent as SimulatedAgent
from anomalies.ingest.simulated.cast import Rhythm, principal_name
from anomalies.models import Agent, Anomaly, Batch, Principal, Source
from anomalies.services import evaluations, events, reviews, scans
from anomalies.services.actor import Actor
from anomalies.services.evaluations import Window

SOURCE_NAME = "simulated"
SEED = 7
DAYS = 30
LONGEST_GAP = timedelta(hours=1)  # of sleep after which nothing older is made up
DECIDED_SHARE = 0.75
ACKNOWLEDGED_SHARE = 0.15  # of those decided, without a verdict so far
EXPECTED_SHARE = 0.6  # of those that were no incident: benign; the others are false positives
UNDECIDED = timedelta(days=2)  # what is newer waits for its reviewer
REVIEWERS = ("maria.demo", "tom.demo")
TRUE, BENIGN, FALSE = Anomaly.Verdict.TRUE_POSITIVE, Anomaly.Verdict.BENIGN, Anomaly.Verdict.FALSE_POSITIVE
REASONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "rate_spike": {
        TRUE: ("Retry loop after a release, fixed.", "Its token was in use elsewhere, rotated."),
        BENIGN: ("Bulk import announced by its owner.",),
    },
    "rate_drop": {TRUE: ("Its scheduler had stopped, started again.",), BENIGN: ("Planned maintenance.",)},
    "high_failure_rate": {
        TRUE: ("Address blocked at the gateway.", "Expired token, renewed."),
        BENIGN: ("Password reset asked for.",),
    },
    "new_principal": {
        TRUE: ("The user knew nothing of it, grant revoked.",),
        BENIGN: ("New colleague, grant checked.", "Asked the user: they authorized it."),
    },
    "off_hours_activity": {
        TRUE: ("Nobody was at work, credentials rotated.",),
        BENIGN: ("Planned maintenance.", "Colleague travelling."),
    },
    "suspicious_login": {TRUE: ("Sessions ended, password reset.",), BENIGN: ("Colleague travelling, called them.",)},
    "request_high_risk_access": {TRUE: ("Revoked, asked for less.",), BENIGN: ("On call, agreed with the owner.",)},
    "approved_after_rejected": {
        TRUE: ("The second approver knew of no rejection, revoked.",),
        BENIGN: ("Both approvers asked: the need was new.",),
    },
    "inactive_user": {TRUE: ("Contractor who had left, account closed.",), BENIGN: ("Back from leave.",)},
    "access_automation": {
        TRUE: ("Script with a personal account, stopped.",),
        BENIGN: ("Script of the platform team, to use a service account.",),
    },
}

Progress = Callable[[str, int, int], None]  # what is done, how much, of how much


def is_empty() -> bool:
    """Return whether no event was ever stored."""
    return not Batch.objects.filter(accepted__gt=0).exists()


def fill(*, now: datetime, progress: Progress | None = None) -> None:
    """Store the month that ends now, look at it as if a scan had run each minute, and decide about what is older.

    The month is stored as a whole or not at all.
    """
    organisation = _organisation(now)
    start = now - timedelta(days=DAYS)
    with transaction.atomic():
        _register(organisation, at=start)
        coming: Iterator[EventRecord] = itertools.chain(
            organisation.before(start, now), organisation.events(start, now)
        )
        if progress:
            coming = _watched(coming, start, progress)
        for _ in events.store_in_batches(coming, source_name=SOURCE_NAME, format="native", received_at=now):
            pass
    scans.replay(now=now, progress=progress)
    _review(organisation, start=start, now=now)


def trickle(*, now: datetime) -> None:
    """Store what the organisation did since its newest event, of the last hour at most. A second call adds nothing."""
    source = Source.objects.filter(name=SOURCE_NAME, watermark__isnull=False).first()
    if source is None:
        return
    assert source.watermark is not None  # filtered above
    filled_at = Batch.objects.filter(source=source).order_by("id").values_list("received_at", flat=True)[0]
    after = source.watermark + timedelta(microseconds=1)  # all events of one millisecond are stored together
    coming = _organisation(filled_at).events(max(after, now - LONGEST_GAP), now)
    events.store(coming, source_name=SOURCE_NAME, format="native", received_at=now)


def _organisation(filled_at: datetime) -> Organisation:
    return Organisation(seed=SEED, finale=filled_at)


def _watched(coming: Iterator[EventRecord], start: datetime, progress: Progress) -> Iterator[EventRecord]:
    days = 0
    progress("Storing a simulated month, day", days, DAYS)
    for event in coming:
        yield event
        if (event.time - start).days > days:
            days = (event.time - start).days
            progress("Storing a simulated month, day", days, DAYS)
    progress("Storing a simulated month, day", DAYS, DAYS)


def _register(organisation: Organisation, *, at: datetime) -> None:
    """Make the agents and users with what their events do not tell."""
    Agent.objects.bulk_create(
        [
            Agent(
                public_id=agent.id,
                name=agent.name,
                description=agent.description,
                scopes=[f"{agent.integration}:use"],
                time_zone=agent.place.zone,
                working_hours=_working_hours(agent),
                registered_at=at,
                registered_by=REVIEWERS[0],
            )
            for agent in organisation.agents
        ],
        ignore_conflicts=True,
    )
    Principal.objects.bulk_create(
        [
            Principal(
                public_id=public_id,
                name=principal_name(number),
                email=f"{public_id.removeprefix('user_')}@example.com",
            )
            for number, public_id in enumerate(organisation.principals)
        ],
        ignore_conflicts=True,
    )


def _working_hours(agent: SimulatedAgent) -> dict[str, list[int]] | None:
    """Set for some agents of the office; those of the others are left to be learned."""
    if agent.rhythm != Rhythm.OFFICE or agent.number % 3:
        return None
    return {str(weekday): [7, 19] for weekday in range(5)}


def _review(organisation: Organisation, *, start: datetime, now: datetime) -> None:
    """Decide about most of what is older, some hours after it was detected; the newest are left to be decided.

    What belongs to an incident of the simulation is found to be true, so that precision is what it is.
    """
    rng = np.random.default_rng(SEED)
    incidents = organisation.incidents(start, now)
    windows = [Window(**{**one.window(), "start": one.start, "end": one.end}) for one in incidents]
    no_incident = {anomaly.pk for anomaly in evaluations.evaluate(windows).false}
    for anomaly in Anomaly.objects.needs_review().filter(detected_at__lt=now - UNDECIDED).order_by("detected_at", "id"):
        decided, reviewer, acknowledged, expected, reason, hours = rng.random(6)
        if decided >= DECIDED_SHARE:
            continue
        by = Actor(name=REVIEWERS[int(reviewer * len(REVIEWERS))])
        at = anomaly.detected_at + timedelta(hours=0.1 + 6 * hours)
        if acknowledged < ACKNOWLEDGED_SHARE:
            reviews.acknowledge(anomaly, by=by, at=at)
            continue
        verdict = TRUE if anomaly.pk not in no_incident else BENIGN if expected < EXPECTED_SHARE else FALSE
        reasons = REASONS.get(anomaly.type, {}).get(verdict, ("",))
        reviews.resolve(anomaly, verdict=verdict, reason=reasons[int(reason * len(reasons))], by=by, at=at)
