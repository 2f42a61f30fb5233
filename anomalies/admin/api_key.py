"""API keys: made, shown once, revoked."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from anomalies.admin.base import actor_of
from anomalies.models import ApiKey
from anomalies.services import api_keys


class _ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(choices=ApiKey.Scope.choices, widget=forms.CheckboxSelectMultiple)

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "expires_at")

    def clean_expires_at(self) -> datetime | None:
        at: datetime | None = self.cleaned_data["expires_at"]
        if at and at <= timezone.now():
            raise forms.ValidationError("It is past.")
        return at


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """A key cannot be changed, only revoked; its text is in the answer to its making and nowhere else."""

    form = _ApiKeyForm
    list_display = ("name", "start", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "start")
    ordering = ("-created_at", "-id")
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        if obj is None:
            return ("name", "scopes", "expires_at")
        return ("name", "start", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("anomalies.change_apikey")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        wanted = form.cleaned_data
        key, plain = api_keys.create(
            name=wanted["name"], scopes=wanted["scopes"], expires_at=wanted["expires_at"], by=actor_of(request)
        )
        obj.pk = key.pk
        obj.refresh_from_db()
        request.new_api_key = plain  # type: ignore[attr-defined]  # for response_add of this very request

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"API key {obj.name}",
            "opts": self.opts,
            "key": obj,
            "plain": request.new_api_key,  # type: ignore[attr-defined]  # of save_model
        }
        response = TemplateResponse(request, "admin/anomalies/api_key_made.html", context)
        add_never_cache_headers(response)
        return response

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
