"""API keys: made, shown once, rotated, revoked."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.formats import localize

from anomalies.admin.base import WhetherFilter, actor_of
from anomalies.models import ApiKey
from anomalies.services import api_keys

_GIVEN = ("name", "scopes", "expires_at", "requests_per_minute")


class _ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(choices=ApiKey.Scope.choices, widget=forms.CheckboxSelectMultiple)
    requests_per_minute = forms.IntegerField(
        label="Calls a minute",
        required=False,
        min_value=0,
        max_value=api_keys.MAX_REQUESTS_PER_MINUTE,
        help_text="Empty: as many as the settings say; 0: without limit",
    )

    class Meta:
        model = ApiKey
        fields = _GIVEN

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if ApiKey.objects.called(name).exists():
            raise forms.ValidationError("A key of this name exists already.")
        return name

    def clean_expires_at(self) -> datetime | None:
        at: datetime | None = self.cleaned_data["expires_at"]
        if at and at <= timezone.now():
            raise forms.ValidationError("It is past.")
        return at


class _RotationForm(forms.Form):
    overlap_hours = forms.IntegerField(
        label="Overlap, hours",
        min_value=0,
        max_value=api_keys.MAX_OVERLAP_HOURS,
        initial=0,
        help_text="For how long the old key lets in beside the new one; 0: no longer",
    )


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """A key cannot be changed, only rotated and revoked; its text is in the answer to its making and nowhere else."""

    form = _ApiKeyForm
    change_form_template = "admin/anomalies/api_key_change_form.html"
    list_display = ("name", "start", "scopes", "state", "calls_a_minute", "created_at", "last_used_at", "expires_at")
    list_filter = (("revoked_at", WhetherFilter), ("replaced_at", WhetherFilter))
    search_fields = ("name", "start")
    ordering = ("-created_at", "-id")
    actions = ("rotate", "revoke")

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        """Whether it lets in, and until when if another has taken its place."""
        if key.revoked_at:
            return "revoked"
        if key.expires_at and key.expires_at <= timezone.now():
            return "replaced" if key.replaced_at else "expired"
        return f"replaced, lets in until {localize(key.expires_at)}" if key.replaced_at else "lets in"

    @admin.display(description="calls a minute")
    def calls_a_minute(self, key: ApiKey) -> str:
        most = api_keys.limit_of(key)
        return f"{most:,}" if most else "without limit"

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        if obj is None:
            return _GIVEN
        times = ("created_at", "last_used_at", "expires_at", "replaced_at", "revoked_at")
        return ("name", "start", "scopes", "state", "calls_a_minute", *times)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return () if obj is None else self.get_fields(request, obj)

    def get_urls(self) -> list[URLPattern]:
        rotation = path(
            "<int:pk>/rotate/", self.admin_site.admin_view(self.rotation_view), name="anomalies_apikey_rotate"
        )
        return [rotation, *super().get_urls()]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("anomalies.change_apikey")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        key, plain = api_keys.create(**{name: form.cleaned_data[name] for name in _GIVEN}, by=actor_of(request))
        obj.pk = key.pk
        obj.refresh_from_db()
        request.new_api_key = plain  # type: ignore[attr-defined]  # for response_add of this very request

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        return self._shown_once(request, obj, request.new_api_key)  # type: ignore[attr-defined]  # of save_model

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["can_rotate"] = self.has_revoke_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def rotation_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for how long the old key still lets in, and show the new one."""
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        key = get_object_or_404(ApiKey, pk=pk)
        form = _RotationForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                new, plain = api_keys.rotate(
                    key, at=timezone.now(), overlap_hours=form.cleaned_data["overlap_hours"], by=actor_of(request)
                )
            except api_keys.ApiKeyError as error:
                form.add_error(None, str(error))
            else:
                self.log_change(request, key, f"Rotated: {new.start} takes its place.")
                return self._shown_once(request, new, plain)
        title = f"Rotate API key {key}"
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "key": key, "form": form}
        return TemplateResponse(request, "admin/anomalies/api_key_rotate.html", context)

    def _shown_once(self, request: HttpRequest, key: ApiKey, plain: str) -> HttpResponse:
        title = f"API key {key}"
        context = {
            **self.admin_site.each_context(request), "title": title, "opts": self.opts, "key": key, "plain": plain,
        }  # fmt: skip
        response = TemplateResponse(request, "admin/anomalies/api_key_made.html", context)
        add_never_cache_headers(response)
        return response

    @admin.action(description="Rotate the selected API key", permissions=["revoke"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        keys = list(queryset[:2])
        if len(keys) == 1:
            return redirect("admin:anomalies_apikey_rotate", keys[0].pk)
        self.message_user(request, "Select one key: each new one is shown once, on a page of its own.", messages.ERROR)
        return None

    @admin.action(description="Revoke selected API keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        done = 0
        for key in queryset:
            try:
                api_keys.revoke(key, at=timezone.now(), by=actor_of(request))
            except api_keys.ApiKeyError as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                self.log_change(request, key, "Revoked.")
                done += 1
        if done:
            self.message_user(request, f"{done:,} revoked.", messages.SUCCESS)
