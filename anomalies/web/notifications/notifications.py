"""The pages of notifications: channels, one channel with its form and test, and what was sent."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db.models import Count, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from anomalies.models import Channel, Delivery, DeliveryAttempt
from anomalies.notifications.registry import KINDS
from anomalies.notifications.setting import Setting
from anomalies.services import channels, deliveries, digests, pacing, routing
from anomalies.services.channels import ChannelError, UnfitChannelError
from anomalies.services.deliveries import NotReplayableError
from anomalies.web.access import requires
from anomalies.web.answer import actor_of
from anomalies.web.frame import page
from anomalies.web.notifications.channel_form import ChannelForm
from anomalies.web.paging import page_of
from anomalies.web.request import Request
from anomalies.web.toast import Toast, keep
from anomalies.web.zone import in_own_zone, told_time

SEE, ADD = "anomalies.view_channel", "anomalies.add_channel"
CHANGE, DELETE = "anomalies.change_channel", "anomalies.delete_channel"
PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Line:
    """A channel as the list says it."""

    channel: Channel
    last: Delivery | None
    failures: int
    quiet: bool

    @property
    def kind(self) -> str:
        return KINDS[self.channel.kind].label

    @property
    def state(self) -> str:
        if not self.channel.enabled:
            return "Off"
        if self.channel.failures:
            return "Does not answer"
        return "Quiet" if self.quiet else "On"


def _lines(now: datetime) -> list[Line]:
    of_it = Delivery.objects.filter(channel=OuterRef("pk"))
    failed = DeliveryAttempt.objects.filter(delivery__channel=OuterRef("pk"), ok=False, at__gte=now - timedelta(days=1))
    counted = failed.order_by().values("delivery__channel").annotate(n=Count("pk")).values("n")
    rows = Channel.objects.kept().annotate(
        last_id=Subquery(of_it.order_by("-id").values("pk")[:1]),
        failed_lately=Coalesce(Subquery(counted, output_field=IntegerField()), 0),
    )
    found: list[Any] = list(rows.order_by("name"))  # each with those two
    last: dict[int, Delivery] = Delivery.objects.in_bulk([row.last_id for row in found if row.last_id])
    return [
        Line(row, last.get(row.last_id), row.failed_lately, pacing.quiet_until(row, now) is not None) for row in found
    ]


@require_safe
@requires(SEE)
@in_own_zone
def channel_list(request: Request) -> HttpResponse:
    known = {channel.public_id: channel.name for channel in Channel.objects.order_by("name", "id")}
    wanted = {name: request.GET.get(name, "") for name in ("status", "channel", "digest", "older", "newer")}
    complaints = [f"There is no filter “{name[:40]}”." for name in request.GET if name not in wanted]
    for name, all_known in (("status", Delivery.Status.values), ("channel", [*known])):
        if wanted[name] and wanted[name] not in all_known:
            complaints.append(f"{name.capitalize()}: there is no “{wanted[name][:40]}”.")
            wanted[name] = ""
    rows = Delivery.objects.select_related("channel", "message", "anomaly")
    if wanted["status"]:
        rows = rows.filter(status=wanted["status"])
    if wanted["channel"]:
        rows = rows.filter(channel__public_id=wanted["channel"])
    if wanted["digest"]:
        rows = rows.filter(digest=wanted["digest"].replace("\x00", ""))
    at = {
        name: Delivery.objects.filter(public_id=wanted[name].replace("\x00", "")).first()
        for name in ("older", "newer")
        if wanted[name]
    }
    shown = page_of(rows, ("-id",), size=PAGE_SIZE, after=at.get("older"), before=at.get("newer"))
    context = {
        "lines": _lines(timezone.now()),
        "deliveries": [(row, _named(row.message.type)) for row in shown.rows],
        "older": shown.next_from,
        "newer": shown.previous_from,
        "kept": urlencode({name: wanted[name] for name in ("status", "channel", "digest") if wanted[name]}),
        "wanted": wanted,
        "statuses": Delivery.Status.choices,
        "channels": known,
        "complaints": complaints,
        "can_add": request.user.has_perm(ADD),
    }
    return page(request, "anomalies/channel_list.html", context)


@require_safe
@requires(ADD)
@in_own_zone
def channel_kinds(request: Request) -> HttpResponse:
    """Which kinds of channels there are, to make one of."""
    return page(request, "anomalies/channel_kinds.html", {"kinds": KINDS.values()})


@require_http_methods(["GET", "HEAD", "POST"])
@requires(ADD)
@in_own_zone
def channel_new(request: Request, name: str) -> HttpResponse:
    kind = KINDS.get(name)
    if kind is None:
        raise Http404
    if request.method != "POST":
        return _form_page(request, None, ChannelForm(kind))
    form = ChannelForm(kind, typed=request.POST)
    if form.is_valid():
        try:
            made = channels.create(name, form.wanted, by=actor_of(request), at=timezone.now())
        except UnfitChannelError as error:
            form.refuse(error.errors)
        else:
            keep(request, Toast("success", "Saved. Nothing is sent of what was announced before. Test it now."))
            return redirect("channel_page", made.public_id)
    return _form_page(request, None, form, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(SEE)
@in_own_zone
def channel_page(request: Request, public_id: str) -> HttpResponse:
    channel = _called(public_id)
    if request.method != "POST":
        return _form_page(request, channel, ChannelForm(KINDS[channel.kind], channel))
    if not request.user.has_perm(CHANGE):
        raise PermissionDenied
    form = ChannelForm(KINDS[channel.kind], channel, request.POST)
    if form.is_valid():
        seen_at = form.cleaned_data["seen_at"]
        try:
            channels.change(channel, form.wanted, seen_at=seen_at, by=actor_of(request), at=timezone.now())
        except UnfitChannelError as error:
            form.refuse(error.errors)
        except ChannelError as error:
            form.add_error(None, str(error))
        else:
            keep(request, Toast("success", "Saved."))
            return redirect("channel_page", public_id)
    return _form_page(request, channel, form, status=422)


@require_POST
@requires(CHANGE)
def channel_test(request: Request, public_id: str) -> HttpResponse:
    outcome = channels.test(_called(public_id), by=actor_of(request), at=timezone.now())
    keep(request, Toast("success" if outcome.delivered else "error", f"Test: {outcome.words}."))
    return redirect("channel_page", public_id)


@require_POST
@requires(CHANGE)
def channel_switch(request: Request, public_id: str) -> HttpResponse:
    on = request.POST.get("on") == "1"
    try:
        channels.switch(_called(public_id), on=on, by=actor_of(request), at=timezone.now())
    except ChannelError as error:
        keep(request, Toast("warning", str(error)))
    else:
        keep(request, Toast("success", "On: it is told what is announced from now on." if on else "Off."))
    return redirect("channel_page", public_id)


@require_POST
@requires(DELETE)
def channel_delete(request: Request, public_id: str) -> HttpResponse:
    channel = _called(public_id)
    try:
        channels.delete(channel, by=actor_of(request), at=timezone.now())
    except ChannelError as error:
        keep(request, Toast("warning", str(error)))
    else:
        keep(request, Toast("success", f"Deleted {channel.name} and its secrets. What it was told stays on record."))
    return redirect("channel_list")


@require_safe
@requires(SEE)
@in_own_zone
def delivery_page(request: Request, public_id: str) -> HttpResponse:
    delivery = _delivery_called(public_id)
    context = {
        "delivery": delivery,
        "message": _named(delivery.message.type),
        "tries": DeliveryAttempt.objects.filter(delivery__in=digests.together(delivery)).order_by("-id"),
        "with_it": digests.together(delivery).count() - 1,
        "turn": _turn(delivery.channel),
        "can_replay": request.user.has_perm(CHANGE) and delivery.status not in Delivery.UNFINISHED,
    }
    return page(request, "anomalies/delivery_page.html", context)


@require_POST
@requires(CHANGE)
def delivery_replay(request: Request, public_id: str) -> HttpResponse:
    delivery = _delivery_called(public_id)
    try:
        deliveries.replay(delivery, by=actor_of(request), at=timezone.now())
    except NotReplayableError as error:
        keep(request, Toast("warning", str(error)))
    else:
        keep(request, Toast("success", f"It is sent again under the same id: {_when(delivery.channel)}."))
    return redirect("delivery_page", public_id)


def _called(public_id: str) -> Channel:
    found = Channel.objects.kept().filter(public_id=public_id).first()
    if found is None:
        raise Http404
    return found


def _delivery_called(public_id: str) -> Delivery:
    rows = Delivery.objects.select_related("channel", "message", "anomaly")
    found = rows.filter(public_id=public_id).first()
    if found is None:
        raise Http404
    return found


def _named(message_type: str) -> str:
    """What people call a message; of a type that is no more, the type."""
    return routing.MESSAGE_TYPES.get(message_type, message_type)


@dataclass(frozen=True, slots=True)
class Turn:
    """When a channel is told what waits for it."""

    quiet_until: datetime | None
    at: datetime | None  # None: at once
    waiting: int


def _turn(channel: Channel) -> Turn:
    now = timezone.now()
    return Turn(
        quiet_until=pacing.quiet_until(channel, now),
        at=pacing.next_turn(channel, now),
        waiting=channel.deliveries.unfinished().filter(pacing.FRESH).count(),
    )


def _when(channel: Channel) -> str:
    until = pacing.quiet_until(channel, timezone.now())
    return f"once its quiet hours end, {told_time(until)}" if until else "within seconds"


def _settings_of(channel: Channel) -> list[tuple[Setting, str]]:
    """What it is set to, for who may not change it: without secrets."""
    shown = channels.shown(channel)
    plain = [one for one in KINDS[channel.kind].settings if not one.secret and shown[one.name] not in ("", one.default)]
    return [(one, one.choices.get(shown[one.name], shown[one.name])) for one in plain]


def _form_page(request: Request, channel: Channel | None, form: ChannelForm, *, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {
        "channel": channel,
        "form": form,
        "kind": form.kind,
        "settings": _settings_of(channel) if channel else [],
        "messages": [_named(one) for one in channel.message_types] if channel else [],
        "test": channel.test_outcome if channel else None,
        "turn": _turn(channel) if channel else None,
        "can_change": request.user.has_perm(CHANGE if channel else ADD),
        "can_delete": request.user.has_perm(DELETE),
    }
    return page(request, "anomalies/channel_page.html", context, status=status)
