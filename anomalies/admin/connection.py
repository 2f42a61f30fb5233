"""Integration connections: how each integration is told to take access back, and a test of it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.safestring import SafeString

from anomalies.admin.base import actor_of, pretty
from anomalies.models import Connection
from anomalies.notifications.http import Exchange
from anomalies.services import connections


class _ConnectionForm(forms.ModelForm):
    """Headers a line; the secret is taken and never shown again."""

    headers_listed = forms.CharField(
        label="Headers",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="A header a line, such as X-Team: security. They can be read here: a secret has its own field.",
    )
    secret = forms.CharField(
        required=False,
        max_length=1000,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Sent as Authorization: Bearer. Encrypted, and never shown again. Empty: as it is.",
    )
    forget_secret = forms.BooleanField(required=False, help_text="Send no Authorization any more.")

    class Meta:
        model = Connection
        fields = ("integration", "url", "method", "timeout_seconds", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["headers_listed"] = "\n".join(f"{k}: {v}" for k, v in self.instance.headers.items())

    def clean_timeout_seconds(self) -> int:
        seconds: int = self.cleaned_data["timeout_seconds"]
        if not 1 <= seconds <= 60:
            raise forms.ValidationError("From 1 to 60 seconds.")
        return seconds

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        headers = {}
        for line in (given.get("headers_listed") or "").splitlines():
            if line.strip():
                name, colon, value = line.partition(":")
                if not colon:
                    self.add_error("headers_listed", f"“{line[:40]}” has no colon after its name.")
                headers[name.strip()] = value.strip()
        given["headers"] = headers
        if given.get("secret") and given.get("forget_secret"):
            self.add_error("forget_secret", "Enter a new secret, or forget the one there is.")
        kept = bool(self.instance.secret_encrypted) and not given.get("forget_secret")
        wanted = {"url": given.get("url", ""), "headers": headers, "secret": given.get("secret") or ("kept" * kept)}
        for field, text in connections.errors_of(wanted).items():
            name = "headers_listed" if field == "headers" else field
            if name not in self.errors:
                self.add_error(name, text)
        return given


@admin.register(Connection)
class ConnectionAdmin(admin.ModelAdmin):
    form = _ConnectionForm
    change_form_template = "admin/anomalies/connection_change_form.html"
    list_display = ("__str__", "url", "method", "enabled", "tested", "updated_at", "updated_by")
    list_filter = ("enabled",)
    search_fields = ("integration", "url")
    ordering = ("integration",)
    actions = None
    fieldsets = (
        (None, {"fields": ("integration", "enabled")}),
        ("Is called to revoke access", {"fields": ("method", "url", "headers_listed", "timeout_seconds")}),
        ("Secret", {"fields": ("has_secret", "secret", "forget_secret")}),
        ("Last test", {"fields": ("tested_at", "tested", "exchange")}),
        ("Since", {"fields": ("updated_at", "updated_by")}),
    )
    readonly_fields = ("has_secret", "tested_at", "tested", "exchange", "updated_at", "updated_by")

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:-1]  # a new one was changed by nobody yet

    def has_delete_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        return False  # it is switched off; what it was asked names it

    @admin.display(description="a secret is set", boolean=True)
    def has_secret(self, connection: Connection) -> bool:
        return bool(connection.secret_encrypted)

    @admin.display(description="outcome")
    def tested(self, connection: Connection) -> str:
        return Exchange(**connection.test_exchange).outcome if connection.test_exchange else "not tested"

    @admin.display(description="request and answer")
    def exchange(self, connection: Connection) -> SafeString | str:
        return pretty(connection.test_exchange) if connection.test_exchange else "Save it, then test it below."

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        given = form.cleaned_data
        secret = "" if given["forget_secret"] else given["secret"] or None
        before = Connection.objects.get(pk=obj.pk) if change else Connection()
        wanted = {name: given[name] for name in connections.FIELDS}
        connections.keep(before, wanted, secret=secret, by=actor_of(request), at=timezone.now())
        obj.pk = before.pk
        obj.refresh_from_db()

    def response_change(self, request: HttpRequest, obj: Connection) -> HttpResponse:
        if "_test" not in request.POST:
            return super().response_change(request, obj)
        exchange = connections.test(obj, by=actor_of(request), at=timezone.now())
        level = messages.SUCCESS if exchange.ok else messages.WARNING
        self.message_user(request, f"Saved, and tested: {exchange.outcome}.", level)
        return HttpResponseRedirect(request.get_full_path())
