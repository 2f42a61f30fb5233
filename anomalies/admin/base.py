"""What the pages of the admin site share."""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection, models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from anomalies.models import Severity
from anomalies.services.actor import Actor

_ESTIMATED_ROWS = """
SELECT sum(greatest(reltuples, 0)) FROM pg_class
WHERE oid = %s::regclass OR oid IN (SELECT relid FROM pg_partition_tree(%s))
"""
MOST_COUNTED = 10_000  # rows; an exact count of millions takes seconds


class BoundedPaginator(Paginator):
    """Counts and leafs through the first rows only. The page says so (`bounded_change_list.html`)."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        assert isinstance(rows, models.QuerySet)
        return min(rows.order_by()[: MOST_COUNTED + 1].count(), MOST_COUNTED)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows to look at: who may view them may do no more. For tables that may grow large."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    change_list_template = "admin/anomalies/bounded_change_list.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        about = {"most_counted": MOST_COUNTED, "rows_estimated": estimated_rows(self.model)}
        return super().changelist_view(request, {**about, **(extra_context or {})})


class SeverityFilter(admin.SimpleListFilter):
    """The worst first."""

    title = "severity"
    parameter_name = "severity__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), label) for value, label in reversed(Severity.choices)]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        value = self.value() or ""
        return queryset.filter(severity=int(value)) if value in [str(known) for known in Severity.values] else queryset


class WhetherFilter(admin.EmptyFieldListFilter):
    """Whether a field says anything: `By ended: All, No, Yes`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = str(self.title).removesuffix(" at")

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": str(choice["display"]).replace("Not empty", "Yes").replace("Empty", "No")}


class InnerAdmin(ReadOnlyAdmin):
    """Rows that only explain others: off the front page, and reached by their address."""

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        return {}


def estimated_rows(model: type[models.Model]) -> int:
    """Return how many rows the table has, as far as PostgreSQL knows without counting."""
    with connection.cursor() as cursor:
        cursor.execute(_ESTIMATED_ROWS, [model._meta.db_table] * 2)
        return int(cursor.fetchone()[0])


def actor_of(request: HttpRequest) -> Actor:
    assert request.user.is_authenticated  # the admin site lets nobody else in
    return Actor(name=request.user.get_username(), user=request.user)


def link_to(row: models.Model) -> str:
    """The address of a row's page."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def linked(row: models.Model | None) -> SafeString | str:
    """The row by its name, with a link to its page."""
    return format_html('<a href="{}">{}</a>', link_to(row), row) if row else "none"


def in_words(content: Any) -> SafeString:
    """What a JSON field says, a line for each of several: `permission read, resource orders`; what is empty is not."""
    several = content if isinstance(content, list) and any(isinstance(one, dict) for one in content) else [content]
    return format_html_join(mark_safe("<br>"), "{}", ((_in_a_line(one) or "none",) for one in several or ["none"]))


def _in_a_line(content: Any) -> str:
    if isinstance(content, dict):
        told = ((name.replace("_", " "), _in_a_line(value)) for name, value in content.items())
        return ", ".join(f"{name} {value}" for name, value in told if value)
    if isinstance(content, list):
        return ", ".join(filter(None, map(_in_a_line, content)))
    return "" if content in (None, "") else _told(content)


def pretty(content: Any) -> SafeString:
    """JSON as people read it."""
    return format_html('<pre class="json">{}</pre>', json.dumps(content, indent=2, ensure_ascii=False))


class ToldChangesAdmin(admin.ModelAdmin):
    """Django's history says what changed, from which value to which."""

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> list[dict[str, dict[str, Any]]]:
        if add or not form.changed_data:
            return super().construct_change_message(request, form, formsets, add)
        changes = [
            f"{form.fields[name].label or name}: {_told(form.initial.get(name))} → {_told(form.cleaned_data[name])}"
            for name in form.changed_data
        ]
        return [{"changed": {"fields": changes}}]


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value in ("", None) else str(value)
