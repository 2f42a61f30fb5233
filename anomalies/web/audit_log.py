"""The audit log: who did what when, filtered, by pages, and as a file."""

import csv
import json
import re
from calendar import day_abbr
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from anomalies.detection.registry import DETECTORS
from anomalies.detection.wording import span
from anomalies.models import Anomaly, AuditEntry, Severity
from anomalies.services import audit_trail
from anomalies.services.audit_trail import ANOMALY, Happening, Wanted
from anomalies.services.parts import one_by_one
from anomalies.services.spreadsheet import guarded
from anomalies.web.access import requires
from anomalies.web.frame import page
from anomalies.web.listing.period import NAMES as PERIOD_NAMES
from anomalies.web.listing.period import Period, PeriodField, PeriodWidget, as_typed
from anomalies.web.listing.row import type_label
from anomalies.web.request import Request
from anomalies.web.zone import in_own_zone

READ = "anomalies.read_audit_log"
PAGE_SIZE = 100
ROWS_AT_ONCE = 500  # of a part of the file
LENGTH = 200  # characters of a filter
NAMES = ("actor", "action", "subject")
COLUMNS = ("at", "actor", "action", "subject_type", "subject_id", "subject_name", "changes", "note")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d$")
# What the action says itself, with who did it, when and why.
_TOLD = {"status", "acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by", "reason", "suppression"}
_FIELDS = {
    "window_seconds": "within",
    "threshold": "events, at least",
    "highest_severity": "up to severity",
    "grant_duration_seconds": "grant duration",
}
_WORDS: Mapping[str, Callable[[Any], str]] = {
    "type": type_label,
    "severity": lambda value: dict(Severity.choices).get(value, str(value)),
    "highest_severity": lambda value: dict(Severity.choices).get(value, str(value)),
    "window_seconds": lambda value: span(value) if isinstance(value, int) else value,
    "grant_duration_seconds": lambda value: span(value) if isinstance(value, int) else value,
}
_PAGES = {
    "suppression": "suppression_page",
    "rule": "rule_page",
    "detector": "detector_page",
    "agent": "agent_page",
    "access_request": "request_page",
}


class Log:
    """The filters of one URL; what makes no sense in it is left out and named in `complaints`."""

    def __init__(self, query: QueryDict) -> None:
        self.query_data = query
        field = PeriodField(required=False)
        self.period: Period | None = field.clean(PeriodWidget().value_from_datadict(query, None, "time"))
        self.complaints = list(field.complaints)
        known = {*NAMES, *PERIOD_NAMES, "older", "newer"}
        self.complaints += [f"There is no filter “{name[:40]}”." for name in query if name not in known]
        self.actions = audit_trail.actions()
        self.actor, self.action, self.subject = (self._text(name) for name in NAMES)
        if self.action and self.action not in self.actions:
            self.complaints.append(f"Action: “{self.action[:40]}” is none of {', '.join(self.actions)}.")
            self.action = ""

    def _text(self, name: str) -> str:
        text = str(self.query_data.get(name, "")).strip()
        if "\x00" in text or len(text) > LENGTH:
            self.complaints.append(f"{name.title()}: it is no text of at most {LENGTH} characters.")
            return ""
        return text

    @property
    def wanted(self) -> Wanted:
        start, end = (self.period.start, self.period.end) if self.period else (None, None)
        return Wanted(self.actor, self.action, self.subject, start, end)

    @property
    def in_use(self) -> bool:
        return bool(self.period or self.actor or self.action or self.subject)

    @property
    def typed_period(self) -> dict[str, Any]:
        return as_typed(self.query_data)

    @property
    def filters(self) -> "Log":
        """As the filter by time of the list calls it."""
        return self

    def url(self, name: str = "audit_log", **more: str) -> str:
        query = QueryDict(mutable=True)
        given = {**(self.period.query if self.period else {}), **{name: getattr(self, name) for name in NAMES}, **more}
        query.update({name: value for name, value in given.items() if value})
        return f"{reverse(name)}?{query.urlencode()}" if query else reverse(name)


@dataclass(frozen=True, slots=True)
class Line:
    """A happening as the page says it."""

    happening: Happening
    people: Mapping[Any, str]  # names of those to whom something was assigned

    @property
    def subject(self) -> str:
        one = self.happening
        return one.subject_name or one.subject_id

    @property
    def type_label(self) -> str:
        return "API key" if self.happening.subject_type == "api_key" else self.happening.subject_type.replace("_", " ")

    @property
    def url(self) -> str:
        """The page of what it is about; empty where it has none."""
        one = self.happening
        if one.subject_type == ANOMALY:
            return reverse("anomaly_detail", args=[one.subject_id])
        if one.subject_type == "detector" and one.subject_id not in DETECTORS:
            return ""
        if one.subject_type == "rule" and one.action == "deleted":
            return ""
        return reverse(_PAGES[one.subject_type], args=[one.subject_id]) if one.subject_type in _PAGES else ""

    @property
    def changed(self) -> list[tuple[str, str, str]]:
        """What changed: field, before (empty: it was not there), after, as people read it; not what the note says."""
        found = []
        for name, pair in self.happening.changes.items():
            before, after = pair if isinstance(pair, list) and len(pair) == 2 else ("", pair)
            is_told = self.happening.subject_type == ANOMALY and name in _TOLD
            if before == after or is_told or (after and after == self.happening.note):
                continue
            if name == "assignee":
                before, after = self.people.get(before, before), self.people.get(after, after)
            was = "" if before in (None, "") else said(before, name)
            found.append((self._field(name), was, said(after, name)))
        return found

    def _field(self, name: str) -> str:
        """What people call a field: of a detector its parameter."""
        one = self.happening
        type_ = one.subject_id.partition(" ")[0]
        if one.subject_type in ("detector", "detector_override") and type_ in DETECTORS:
            return DETECTORS[type_].label_of(name)
        return called(name)


def _people(happenings: list[Happening]) -> dict[int, str]:
    ids = {pk for one in happenings for pk in one.changes.get("assignee", ()) if isinstance(pk, int)}
    return dict(User.objects.filter(pk__in=ids).values_list("pk", "username")) if ids else {}


def called(name: str) -> str:
    """What people call a field."""
    return _FIELDS.get(name, name.removesuffix("_id").replace("_", " "))


def in_words(changes: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Each field that changed, before and after, as people read it."""
    return [(called(name), said(before, name), said(after, name)) for name, (before, after) in changes.items()]


def said(value: Any, name: str = "") -> str:
    """A value of this field as people read it."""
    if name in _WORDS and isinstance(value, str | int) and value != "":
        return _WORDS[name](value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        given = {key: one for key, one in value.items() if one not in (None, "", [], {})}
        return ", ".join(f"{called(key)} {said(one, key)}" for key, one in given.items())[:200] or "nothing"
    if isinstance(value, list):
        if name == "days":
            return ", ".join(day_abbr[day] for day in value)
        return ("; " if any(isinstance(one, dict) for one in value) else ", ").join(map(said, value))[:200] or "nothing"
    if isinstance(value, str) and _TIME.match(value):
        return f"{timezone.localtime(datetime.fromisoformat(value)):%-d %b %Y %H:%M}"
    if value in Anomaly.Verdict.values:
        return str(Anomaly.Verdict(value).label)
    return "nothing" if value in ("", None) else str(value)[:200]


@require_http_methods(["GET", "HEAD", "POST"])
@requires(READ)
@in_own_zone
def audit_log(request: Request) -> HttpResponse:
    """All of it; a POST verifies the chain of Grantex clients' entries beside."""
    log = Log(request.GET)
    newer = request.GET.get("newer", "")
    found = audit_trail.page(
        log.wanted, size=PAGE_SIZE, after="" if newer else request.GET.get("older", ""), before=newer
    )
    people = _people(found.rows)
    context = {
        "log": log,
        "lines": [Line(one, people) for one in found.rows],
        "older_url": log.url(older=found.older) if found.older else "",
        "newer_url": log.url(newer=found.newer) if found.newer else "",
        "first_url": log.url() if found.newer else "",
        "csv_url": log.url("audit_log_csv"),
        "chain_newest": AuditEntry.objects.order_by("-id").first(),
        "chain": audit_trail.verify_chain() if request.method == "POST" else None,
    }
    return page(request, "anomalies/audit_log.html", context)


@require_safe
@requires(READ)
@in_own_zone
def audit_log_csv(request: Request) -> HttpResponse:
    """All that pass the filters as a file, streamed. An address that does not all make sense gets none."""
    log = Log(request.GET)
    if log.complaints:
        said = "\n".join(["Not all of this address makes sense, so nothing was exported:", *log.complaints])
        return HttpResponse(said, status=400, content_type="text/plain; charset=utf-8")
    parts = _csv(log.wanted)
    name = f"audit-log-{timezone.now():%Y%m%dT%H%M%SZ}.csv"
    return StreamingHttpResponse(  # type: ignore[return-value]  # as good a response as any
        one_by_one(parts) if isinstance(request, ASGIRequest) else parts,
        content_type="text/csv; charset=utf-8; header=present",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            # GZipMiddleware would make a gzip file of its own of each part, of which clients read the first alone.
            "Content-Encoding": "identity",
        },
    )


def _csv(wanted: Wanted) -> Generator[str, None, None]:
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for number, one in enumerate(audit_trail.everything(wanted), start=1):
        cells = {name: getattr(one, name) for name in COLUMNS}
        cells["at"] = one.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        cells["changes"] = json.dumps(one.changes, ensure_ascii=False) if one.changes else ""
        writer.writerow(map(guarded, cells.values()))
        if number % ROWS_AT_ONCE == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
