"""Decisions about many anomalies: what was chosen, what became of each, and the way back."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from anomalies.admin.base import ReadOnlyAdmin, actor_of, in_words, link_to
from anomalies.models import Anomaly, BulkReview
from anomalies.services import bulk, reviews

RESULTS_AT_ONCE = 100
Action = Callable[[admin.ModelAdmin, HttpRequest, QuerySet[Anomaly]], HttpResponse | None]


def deciding(name: str, description: str, action: str, **arguments: str) -> Action:
    """Return an action of the list of anomalies: those picked are decided at once, all that match once confirmed.

    What is assigned goes to who asks.
    """

    def act(_: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Anomaly]) -> HttpResponse | None:
        by, at = actor_of(request), timezone.now()
        try:
            review = bulk.prepare(
                action=action,
                arguments={"assignee": by.name} if action == "assign" else arguments,
                note="",
                anomaly_ids=list(queryset.values_list("pk", flat=True)),
                query=request.GET.urlencode(),
                by=by,
                at=at,
            )
            if request.POST.get("select_across") == "1":  # nobody has seen all of these
                return HttpResponseRedirect(link_to(review))
            _tell(request, review, bulk.carry_out(review, by=by, at=at), bulk.DONE[action])
        except reviews.ReviewError as error:
            messages.error(request, str(error))
        return None

    act.__name__ = name
    decided: Action = admin.action(description=description, permissions=["review"])(act)
    return decided


def _tell(request: HttpRequest, review: BulkReview, outcome: bulk.Outcome, done: str) -> None:
    if outcome.done:
        link = format_html('<a href="{}">See each, or undo</a>', link_to(review))
        messages.success(request, format_html("{} {}. {}", f"{outcome.done:,}", done, link))
    if outcome.refused:
        parts = "; ".join(f"{count:,} {reason}" for reason, count in outcome.refused.items())
        messages.warning(request, f"Left as they were: {parts}.")


@admin.register(BulkReview)
class BulkReviewAdmin(ReadOnlyAdmin):
    change_form_template = "admin/anomalies/bulk_review_change_form.html"
    list_display = ("public_id", "action", "size", "created_by", "created_at", "done_at", "undone_at")
    list_select_related = ("created_by",)
    list_filter = ("action",)
    search_fields = ("public_id__exact", "created_by__username__exact", "note")
    search_help_text = "Id or person, or words of the note"
    ordering = ("-id",)
    fields = (
        *("public_id", "action", "told_arguments", "note", "query"),
        *("created_by", "created_at", "size", "done_at", "undone_at"),
    )

    @admin.display(description="anomalies")
    def size(self, review: BulkReview) -> str:
        return f"{len(review.anomaly_ids):,}"

    @admin.display(description="arguments")
    def told_arguments(self, review: BulkReview) -> SafeString:
        return in_words(review.arguments)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        review = self.get_object(request, object_id) if object_id else None
        if review is None or not self.has_view_permission(request, review):
            return super().changeform_view(request, object_id, form_url, extra_context)
        if request.method == "POST":
            return self._acted(request, review)
        page = Paginator(bulk.results(review), RESULTS_AT_ONCE).get_page(request.GET.get("page"))
        results = [(one, became_of(review, one)) for one in page.object_list]
        about = {
            "results": results,
            "page": page,
            "may_act": request.user.has_perm("anomalies.review_anomaly"),
        }
        return super().changeform_view(request, object_id, form_url, {**about, **(extra_context or {})})

    def _acted(self, request: HttpRequest, review: BulkReview) -> HttpResponse:
        by, at = actor_of(request), timezone.now()
        try:
            if not request.user.has_perm("anomalies.review_anomaly"):
                raise reviews.ReviewError("You may look at this, and not decide.")  # noqa: TRY301  told like the others
            if "_carry_out" in request.POST:
                _tell(request, review, bulk.carry_out(review, by=by, at=at), bulk.DONE[review.action])
            elif "_undo" in request.POST:
                _tell(request, review, bulk.undo(review, by=by, at=at), "undone")
        except reviews.ReviewError as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(link_to(review))


def became_of(review: BulkReview, anomaly: Anomaly) -> str:
    """Say what a bulk review did to an anomaly of `bulk.results`."""
    if review.done_at is None:
        return "not decided yet"
    if anomaly.undone_id:  # type: ignore[attr-defined]  # annotated
        return "undone"
    return f"left as it was: {why}" if (why := bulk.why_not(review, anomaly)) else bulk.DONE[review.action]
