"""Agents, their users and grants, and what is done unasked to an agent that spikes."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from anomalies.admin.base import (
    BoundedPaginator,
    InnerAdmin,
    ReadOnlyAdmin,
    ToldChangesAdmin,
    WhetherFilter,
    actor_of,
    in_words,
    link_to,
    linked,
)
from anomalies.detection.registry import DETECTORS
from anomalies.models import Agent, AgentPrincipal, Grant, Principal, ResponsePolicy
from anomalies.services import access, access_requests, actions, detectors, working_hours
from anomalies.services.working_hours import WEEKDAYS, WorkingHoursError


class _AgentForm(forms.ModelForm):
    """Working hours a weekday, holidays a line: nobody types JSON."""

    monday, tuesday, wednesday, thursday, friday, saturday, sunday = (
        forms.CharField(required=False, max_length=20, help_text="Such as 9-17; empty: not at work." if not n else "")
        for n in range(7)
    )
    holidays_listed = forms.CharField(
        label="Holidays",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="A date a line: 2026-12-25",
    )

    class Meta:
        model = Agent
        fields = ("name", "description", "group", "time_zone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for number, weekday in enumerate(WEEKDAYS):
            first, last = (self.instance.working_hours or {}).get(str(number), (None, None))
            self.initial[weekday] = "" if first is None else f"{first}-{last}"
        self.initial["holidays_listed"] = "\n".join(self.instance.holidays)

    def clean(self) -> dict[str, Any]:
        hours: dict[str, list[int]] = {}
        for number, weekday in enumerate(WEEKDAYS):
            if text := self.cleaned_data.get(weekday):
                try:
                    hours[str(number)] = working_hours.hours_of(text)
                except WorkingHoursError as error:
                    self.add_error(weekday, str(error))
        self.cleaned_data["working_hours"] = hours or None
        self.cleaned_data["holidays"] = (self.cleaned_data.get("holidays_listed") or "").replace(",", " ").split()
        self._check("holidays_listed", holidays=self.cleaned_data["holidays"])
        if "time_zone" in self.cleaned_data:
            self._check("time_zone", time_zone=self.cleaned_data["time_zone"])
        return self.cleaned_data

    def _check(self, field: str, **given: Any) -> None:
        try:
            working_hours.check(**{"time_zone": "UTC", "working_hours": None, "holidays": [], **given})
        except WorkingHoursError as error:
            self.add_error(field, str(error))


@admin.register(Agent)
class AgentAdmin(ToldChangesAdmin):
    form = _AgentForm
    paginator = BoundedPaginator
    show_full_result_count = False
    change_list_template = "admin/anomalies/bounded_change_list.html"
    list_display = ("public_id", "name", "group", "status", "time_zone", "first_seen", "last_seen")
    list_filter = ("status", ("deleted_at", WhetherFilter))
    search_fields = ("public_id", "name", "group__exact")
    ordering = ("public_id",)
    actions = None
    fieldsets = (
        (None, {"fields": ("public_id", "name", "description", "group", "status", "scopes_shown")}),
        (
            "At work",
            {
                "fields": ("time_zone", *WEEKDAYS, "holidays_listed"),
                "description": "Hours in the agent's own zone. All days empty: learned from what it does.",
            },
        ),
        ("Detectors", {"fields": ("learning", "overrides", "actions_counted")}),
        (
            "Since",
            {"fields": ("first_seen", "last_seen", "registered_at", "registered_by", "updated_at", "updated_by")},
        ),
    )
    readonly_fields = (
        "public_id",
        "status",
        "scopes_shown",
        "learning",
        "overrides",
        "actions_counted",
        "first_seen",
        "last_seen",
        "registered_at",
        "registered_by",
        "updated_at",
        "updated_by",
    )

    @admin.display(description="scopes")
    def scopes_shown(self, agent: Agent) -> SafeString:
        return in_words(agent.scopes)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # they come with their events, or register

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        if self.has_change_permission(request, obj):
            return self.fieldsets
        first, _, *others = self.fieldsets
        return (first, ("At work", {"fields": ("time_zone", "working_hours", "holidays")}), *others)

    @admin.display(description="still learning")
    def learning(self, agent: Agent) -> SafeString | str:
        """Which detectors do not judge it in full yet, why, and until when."""
        states = detectors.learning_of(agent, at=timezone.now())
        listed = format_html_join("", "<li>{}: {}.</li>", ((state.detector.label, str(state)) for state in states))
        return format_html("<ul>{}</ul>", listed) if states else "nothing: each detector judges it in full"

    @admin.display(description="actions counted")
    def actions_counted(self, agent: Agent) -> str:
        """How many of its actions are looked at one by one."""
        return actions.counted(agent)

    @admin.display(description="overrides")
    def overrides(self, agent: Agent) -> SafeString | str:
        """By which detectors it is judged otherwise than others."""
        rows = [row for row in agent.detector_overrides.order_by("type") if row.type in DETECTORS]
        listed = ((link_to(row), DETECTORS[row.type].label, "" if row.enabled else " (off)") for row in rows)
        return format_html_join(", ", '<a href="{}">{}</a>{}', listed) or "none"

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        by, at, wanted = actor_of(request), timezone.now(), form.cleaned_data
        given = {name: wanted[name] for name in ("name", "description", "group")}
        access.update_agent(obj, by=by, at=at, **given)
        working_hours.change(
            obj,
            time_zone=wanted["time_zone"],
            working_hours=wanted["working_hours"],
            holidays=wanted["holidays"],
            by=by,
            at=at,
        )


@admin.register(Principal)
class PrincipalAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "name", "email", "first_seen", "last_seen")
    search_fields = ("public_id", "name", "email")
    ordering = ("public_id",)


@admin.register(AgentPrincipal)
class AgentPrincipalAdmin(InnerAdmin):
    list_display = ("agent_id", "principal_id", "first_seen", "last_seen")
    search_fields = ("agent_id__exact", "principal_id__exact")
    search_help_text = "The whole id of an agent or a user"
    ordering = ("-id",)


@admin.register(Grant)
class GrantAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "agent_id", "principal_id", "what", "request", "status", "issued_at", "expires_at")
    list_select_related = ("request",)
    list_filter = ("status", ("request", WhetherFilter))
    search_fields = ("public_id__exact", "agent_id__exact", "principal_id__exact", "request_id__exact")
    search_help_text = "The whole id of a grant, an agent, a user or an access request"
    ordering = ("-id",)
    actions = ("revoke",)
    fieldsets = (
        (None, {"fields": ("public_id", "status", "agent", "principal", "parent")}),
        ("Access", {"fields": ("scopes_shown", "units_shown", "request_shown", "flow_shown", "grantee_shown")}),
        (
            "Since and until",
            {"fields": ("issued_at", "issued_by", "expires_at", "revoked_at", "revoked_by", "ended_by_event")},
        ),
    )

    @admin.display(description="access")
    def what(self, grant: Grant) -> str:
        return access_requests.listed(grant.units) if grant.units else ", ".join(grant.scopes)

    @admin.display(description="scopes")
    def scopes_shown(self, grant: Grant) -> SafeString:
        return in_words(grant.scopes)

    @admin.display(description="units")
    def units_shown(self, grant: Grant) -> SafeString:
        return in_words(grant.units)

    @admin.display(description="access request")
    def request_shown(self, grant: Grant) -> SafeString | str:
        return linked(grant.request)

    @admin.display(description="access flow")
    def flow_shown(self, grant: Grant) -> SafeString | str:
        return linked(grant.request.flow if grant.request else None)

    @admin.display(description="grantee")
    def grantee_shown(self, grant: Grant) -> SafeString:
        return in_words(grant.request.grantee if grant.request else {})

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("anomalies.change_grant")

    @admin.action(description="Revoke selected grants", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Grant]) -> None:
        done = 0
        for grant in queryset:
            try:
                access.revoke_grant(grant, by=actor_of(request), at=timezone.now())
            except access.GrantNotActiveError as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                self.log_change(request, grant, "Revoked.")
                done += 1
        if done:
            self.message_user(request, f"{done:,} revoked.", messages.SUCCESS)


@admin.register(ResponsePolicy)
class ResponsePolicyAdmin(ToldChangesAdmin):
    list_display = ("mode", "updated_at", "updated_by")
    readonly_fields = ("updated_at", "updated_by")
    actions = None

    def get_fields(self, request: HttpRequest, obj: ResponsePolicy | None = None) -> Any:
        return ("mode", *self.readonly_fields) if obj else ("mode",)  # a new one was changed by nobody yet

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not ResponsePolicy.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ResponsePolicy, form: Any, change: bool) -> None:
        access.set_response_mode(obj.mode, by=actor_of(request), at=timezone.now())
        obj.refresh_from_db()
