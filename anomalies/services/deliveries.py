"""Telling channels what was announced: each message once for each channel, until it is delivered or given up."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from anomalies.detection.registry import DETECTORS
from anomalies.models import Channel, Delivery, DeliveryAttempt, OutboxMessage
from anomalies.notifications.kind import Outcome
from anomalies.notifications.message import Message
from anomalies.services import changes, channels, digests, pacing, routing
from anomalies.services.actor import Actor
from anomalies.services.stream import MESSAGES_AT_ONCE, Position, messages_after

FIRST_PAUSE = timedelta(seconds=10)  # before the second attempt; each further one is twice as long
LONGEST_PAUSE = timedelta(hours=1)
TRIED_FOR = timedelta(days=1)
FIRST_HOLD = timedelta(seconds=5)  # of a channel that does not answer: its other messages wait as well
LONGEST_HOLD = timedelta(minutes=1)
LEASE = timedelta(seconds=30)  # beyond the time an attempt may take; then it is lost, with the worker that made it
OUTCOME_LENGTH = 500


class NotReplayableError(Exception):
    """A delivery that cannot be sent again; its text is for the person who asked."""


def fan_out(*, at: datetime) -> int:
    """Note for each channel what it is to be told of what was announced since, and return how much that is."""
    made = 0
    for channel_id in Channel.objects.filter(enabled=True).order_by("id").values_list("pk", flat=True):
        more = True
        while more:
            count, more = _fan_out(channel_id, at)
            made += count
    return made


def deliver_due(*, clock: Callable[[], datetime], until: datetime) -> int:
    """Tell channels in turn what is due until nothing is or it is that late, and return how many attempts were made.

    Several may do so at once. Who dies after sending leaves a message that is sent again, under the same id.
    """
    made = 0
    progress = True
    while progress:
        progress = False
        for channel_id in _callable(clock()):
            if clock() >= until:
                return made
            delivery = _claim(channel_id, clock())
            if delivery:
                _deliver(delivery, clock)
                made, progress = made + 1, True
    return made


def are_overdue(*, since: datetime) -> bool:
    """Say whether something could have been sent then that nobody has tried to send to this day."""
    return any(_due(channel, since).exists() for channel in Channel.objects.filter(pk__in=_callable(since)))


@transaction.atomic
def replay(delivery: Delivery, *, by: Actor, at: datetime) -> None:
    """Send once more, under the same id, what was delivered or given up, and what was sent with it.

    Raises NotReplayableError.
    """
    sent = digests.together(delivery).select_for_update(of=("self",)).select_related("channel", "message")
    row = next(one for one in sent if one.pk == delivery.pk)  # all are locked, in one order
    if row.status in Delivery.UNFINISHED:
        raise NotReplayableError("It is waiting to be sent already.")
    if not row.channel.enabled:
        gone = "was deleted" if row.channel.deleted_at else "is off; switch it on first"
        raise NotReplayableError(f"{row.channel.name} {gone}.")
    digests.together(row).update(
        status=Delivery.Status.PENDING, attempts=0, next_attempt_at=at, give_up_at=at + TRIED_FOR, finished_at=None
    )
    changes.record("delivery", row.public_id, "replayed", by=by, at=at, name=f"{row.channel.name}: {row.message.type}")


@transaction.atomic
def _fan_out(channel_id: int, at: datetime) -> tuple[int, bool]:
    """Do so for one channel and some messages; say whether there may be more."""
    free = Channel.objects.select_for_update(skip_locked=True)
    channel = free.filter(pk=channel_id, enabled=True).first()
    if channel is None:  # another worker is at it
        return 0, False
    messages = messages_after(Position(channel.cursor_transaction, channel.cursor_number))
    if not messages:
        return 0, False
    told = Delivery.objects.bulk_create(
        [
            Delivery(
                message=message,
                channel=channel,
                anomaly_id=message.anomaly_id,
                next_attempt_at=at,
                give_up_at=at + TRIED_FOR,
                created_at=Now(),
            )
            for message in routing.passing(channel, messages)
        ]
    )
    last = Position.of(messages[-1])
    Channel.objects.filter(pk=channel.pk).update(cursor_transaction=last.transaction, cursor_number=last.number)
    return len(told), len(messages) == MESSAGES_AT_ONCE


def _callable(at: datetime) -> list[int]:
    """Return the channels that may be called now and are to be told something."""
    free = Channel.objects.filter(Q(held_until__isnull=True) | Q(held_until__lte=at), enabled=True)
    due = Delivery.objects.unfinished().filter(channel=OuterRef("pk"), next_attempt_at__lte=at)
    return list(free.filter(Exists(due)).order_by("id").values_list("pk", flat=True))


def _due(channel: Channel, at: datetime) -> QuerySet[Delivery]:
    """Return what may be sent then, and that nobody is sending."""
    unfinished = Delivery.objects.unfinished().filter(channel=channel)
    with_it = unfinished.filter(digest=OuterRef("digest"), pk__lt=OuterRef("pk")).exclude(digest="")
    earlier = unfinished.filter(anomaly=OuterRef("anomaly"), pk__lt=OuterRef("pk"))
    due = unfinished.filter(
        Q(channel__held_until__isnull=True) | Q(channel__held_until__lte=at),
        next_attempt_at__lte=at,
        channel__enabled=True,
    ).exclude(Exists(earlier) | Exists(with_it))
    return due.filter(pacing.sendable(channel, at))


@transaction.atomic
def _claim(channel_id: int, at: datetime) -> Delivery | None:
    """Return what is due first, and let nobody else send it until its time is over.

    What was announced earlier of the same anomaly comes first, however long that takes. Of a digest it is the first of
    what is sent together, and stands for all of it.
    """
    channel = Channel.objects.get(pk=channel_id)
    digests.gather(channel, at=at, tried_for=TRIED_FOR)
    delivery = (
        _due(channel, at)
        .select_related("channel", "message")
        .select_for_update(skip_locked=True, of=("self",))
        .order_by("next_attempt_at", "id")
        .first()
    )
    if delivery:
        longest = timedelta(seconds=2 * delivery.channel.timeout_seconds)  # a token may be asked for first
        if not delivery.attempts:  # it may have waited for its turn for longer than it is tried for
            delivery.give_up_at = max(delivery.give_up_at, at + TRIED_FOR)
        delivery.attempts, delivery.next_attempt_at = delivery.attempts + 1, at + longest + LEASE
        _share(delivery, "attempts", "next_attempt_at", "give_up_at")
    return delivery


def _deliver(delivery: Delivery, clock: Callable[[], datetime]) -> None:
    at = clock()
    told = digests.digest_of(delivery, _message) if delivery.digest else _message(delivery)
    outcome = channels.tell(delivery.channel, told, at=at)
    _settle(delivery, outcome, begun_at=at, at=clock())


def _message(delivery: Delivery) -> Message:
    message: OutboxMessage = delivery.message
    detector = DETECTORS.get(message.payload.get("type", ""))
    return Message(
        id=delivery.public_id,
        type=message.type,
        at=message.created_at,
        anomaly=message.payload,
        anomaly_url=channels.url_of(message.payload["id"]),
        type_label=detector.label if detector else "",
    )


@transaction.atomic
def _settle(delivery: Delivery, outcome: Outcome, *, begun_at: datetime, at: datetime) -> None:
    """Keep what came of an attempt, and say when the next one is due, if any."""
    DeliveryAttempt.objects.create(
        delivery=delivery,
        at=begun_at,
        ok=outcome.delivered,
        words=outcome.words[:OUTCOME_LENGTH],
        outcome=outcome.as_json(),
    )
    _hold(delivery.channel, outcome, at)
    row = Delivery.objects.select_for_update().get(pk=delivery.pk)
    if row.status not in Delivery.UNFINISHED:
        return
    if outcome.delivered:
        row.status, row.finished_at = Delivery.Status.DELIVERED, at
    elif row.next_attempt_at != delivery.next_attempt_at:
        return  # it took so long that another worker is at it
    elif at >= row.give_up_at:
        row.status, row.finished_at = Delivery.Status.DEAD, at
    else:
        row.status = Delivery.Status.FAILED
        row.next_attempt_at = min(at + _pause(row.attempts, outcome), row.give_up_at)
    row.outcome = outcome.words[:OUTCOME_LENGTH]
    _share(row, "status", "finished_at", "next_attempt_at", "outcome")


def _share(delivery: Delivery, *fields: str) -> None:
    """Save these fields of it, and of what is sent with it."""
    digests.together(delivery).update(**{name: getattr(delivery, name) for name in fields})


def _pause(attempts: int, outcome: Outcome) -> timedelta:
    """Return for how long to leave it alone: longer each time, and not all messages of one outage at once."""
    doubled: timedelta = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    asked = timedelta(seconds=outcome.exchange.retry_after_seconds)
    return max(doubled * random.uniform(0.5, 1.0), min(asked, LONGEST_PAUSE))  # noqa: S311  no secret


def _hold(channel: Channel, outcome: Outcome, at: datetime) -> None:
    """Leave a channel alone that does not answer: one attempt tells as much as one for each message that waits."""
    status = outcome.exchange.status
    if status is None or status >= 500 or status == 429:
        doubled = min(FIRST_HOLD * 2 ** min(channel.failures, 20), LONGEST_HOLD)
        pause = doubled * random.uniform(0.5, 1.0)  # noqa: S311  no secret
        Channel.objects.filter(pk=channel.pk).update(failures=F("failures") + 1, held_until=at + pause)
    elif channel.failures:
        Channel.objects.filter(pk=channel.pk).update(failures=0, held_until=None)
