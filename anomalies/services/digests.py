"""Many messages in one: which deliveries are sent together, and what their digest says."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse

from anomalies.models import Channel, Delivery
from anomalies.models.public_id import new_digest_id
from anomalies.notifications.message import Digest, Message
from anomalies.services import pacing

MOST = 500  # messages of a digest; what waits beyond them is the next one, at once


def gather(channel: Channel, *, at: datetime, tried_for: timedelta) -> None:
    """Let what waits for a digest that is due be sent together from now on, whoever sends it and however often.

    What was announced of an anomaly of which something earlier is being sent waits for that, and then for the next one.
    """
    if channel.pace == Channel.Pace.AT_ONCE or not _waiting(channel, at).exists():
        return
    locked = Channel.objects.select_for_update(skip_locked=True).filter(pk=channel.pk).first()
    if locked and _waiting(locked, at).exists():  # else another worker has just gathered them
        first = _ready(locked).order_by("pk").values("pk")[:MOST]
        found = Delivery.objects.filter(pk__in=first)
        found.update(digest=new_digest_id(), next_attempt_at=at, give_up_at=at + tried_for)


def together(delivery: Delivery) -> QuerySet[Delivery]:
    """Return what is sent with it, in its order, and itself."""
    if delivery.digest:
        return Delivery.objects.filter(digest=delivery.digest).order_by("pk")
    return Delivery.objects.filter(pk=delivery.pk)


def digest_of(delivery: Delivery, message_of: Callable[[Delivery], Message]) -> Digest:
    """Return what is said of all that is sent with it."""
    messages = [message_of(one) for one in together(delivery).select_related("message")]
    return Digest(
        id=delivery.digest,
        at=max(message.at for message in messages),
        messages=messages,
        url=f"{settings.ANOMALIES_PUBLIC_URL.rstrip('/')}{reverse('channel_list')}?digest={delivery.digest}",
    )


def _ready(channel: Channel) -> QuerySet[Delivery]:
    unfinished = Delivery.objects.unfinished().filter(channel=channel)
    begun = unfinished.exclude(pacing.FRESH).filter(anomaly=OuterRef("anomaly"))
    return unfinished.filter(pacing.FRESH).exclude(Exists(begun))


def _waiting(channel: Channel, at: datetime) -> QuerySet[Delivery]:
    """Return what has waited for a digest that is due: since before it was, and not in quiet hours."""
    slot = pacing.last_slot(channel, at)
    if slot is None or pacing.quiet_until(channel, at):
        return Delivery.objects.none()
    return _ready(channel).filter(next_attempt_at__lt=slot)
