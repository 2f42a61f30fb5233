"""Everything that the details of one access request show, tab by tab."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.http import QueryDict
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from anomalies.detection.wording import plural, span
from anomalies.models import AccessRequest, Anomaly, Connection, Grant, Revocation, RevocationAttempt, RevocationCall
from anomalies.services import access_requests, connections, request_anomalies, revocations
from anomalies.web.listing.row import Row

TABS = {"details": "Details", "resources": "Resources", "timeline": "Timeline"}
WORDS = {
    "created": "Requested",
    "approved": "Approved",
    "rejected": "Rejected",
    "granted": "Access granted",
    "failed": "Failed",
    "revoked": "Revoked",
    "expired": "Expired",
    access_requests.REVOKING: "Revocation asked for",
    access_requests.REVOCATION_REFUSED: "Revocation refused, the access stands",
}
MOST_RELATED = 20


@dataclass(frozen=True, slots=True)
class Happened:
    """One entry of the timeline; `attempt` where it was a call to an integration."""

    at: datetime
    sentence: str
    by: str = ""
    note: str = ""
    attempt: RevocationAttempt | None = None

    @property
    def record(self) -> str:
        """What was sent and what came back, as JSON."""
        return json.dumps(self.attempt.exchange, indent=2, ensure_ascii=False) if self.attempt else ""


@dataclass(frozen=True, slots=True)
class Approval:
    name: str
    status: str
    by: str


class RequestPanel:
    """The details of one access request, each read when the template asks for it."""

    def __init__(self, request: AccessRequest, query: QueryDict, *, now: datetime, tab: str = "") -> None:
        self.request, self.now, self.complaints = request, now, list[str]()
        self.tab = tab or query.get("tab", "") or "details"
        if self.tab not in TABS:
            self.complaints.append(f"tab: “{self.tab[:40]}” is none of {', '.join(TABS)}.")
            self.tab = "details"
        self.anomaly = query.get("anomaly", "")[:60]
        wanted = query.get("back", "")
        self.back = wanted if url_has_allowed_host_and_scheme(wanted, None) and wanted.startswith("/") else ""
        self.path = reverse("request_page", args=[request.public_id])

    @property
    def kept(self) -> dict[str, str]:
        """From where somebody came, as the address says it."""
        return {name: value for name, value in {"anomaly": self.anomaly, "back": self.back}.items() if value}

    def url(self, tab: str = "") -> str:
        query = QueryDict(mutable=True)
        query.update({**({"tab": tab} if tab and tab != "details" else {}), **self.kept})
        return f"{self.path}?{query.urlencode()}" if query else self.path

    @property
    def here(self) -> str:
        return self.url(self.tab)

    @property
    def resources_url(self) -> str:
        return self.url("resources")

    @property
    def close_url(self) -> str:
        return self.back or reverse("request_list")

    @cached_property
    def origin(self) -> Row | None:
        """The anomaly from which somebody came."""
        found = Anomaly.objects.called(self.anomaly) if self.anomaly else None
        return Row(found) if found else None

    @property
    def tabs(self) -> list[tuple[str, str, str]]:
        """Word, label and address of each."""
        return [(word, label, self.url(word)) for word, label in TABS.items()]

    @cached_property
    def grant(self) -> Grant | None:
        return getattr(self.request, "grant", None)

    @cached_property
    def revocation(self) -> Revocation | None:
        return revocations.last_of(self.grant) if self.grant else None

    @property
    def is_revoking(self) -> bool:
        return self.request.status == AccessRequest.Status.REVOKING

    @property
    def is_overdue(self) -> bool:
        """Whether its planned end has passed and nobody told of it."""
        grant = self.grant
        return grant is not None and grant.expires_at is not None and grant.expires_at < self.now

    @property
    def can_be_revoked(self) -> bool:
        return self.grant is not None and self.grant.status == Grant.Status.ACTIVE and not self.is_revoking

    @property
    def refused(self) -> str:
        """Why the last try to take it back was in vain, where that is how things stand."""
        one = self.revocation
        return one.error if one and one.state == Revocation.State.REFUSED and self.can_be_revoked else ""

    @cached_property
    def calls(self) -> list[RevocationCall]:
        """What integrations are asked while they are."""
        return list(self.revocation.calls.all()) if self.revocation and self.is_revoking else []

    @cached_property
    def asked(self) -> list[str]:
        """The integrations that would be asked."""
        return [one.integration or str(one) for one in self._connections()]

    def _connections(self) -> list[Connection]:
        return connections.asked_for(self.grant) if self.grant else []

    @property
    def duration(self) -> str:
        seconds = self.request.duration_seconds
        return "without end" if seconds is None else span(seconds)

    @property
    def grantee(self) -> str:
        """Who is to have the access, where that is not who asked."""
        told = self.request.grantee
        name = str(told.get("name") or told.get("id") or "")
        kind = f" ({told['type']})" if name and told.get("type") else ""
        return f"{name}{kind}"

    @property
    def approvals(self) -> list[Approval]:
        return [
            Approval(
                one.get("name") or one.get("type") or "Approval",
                (one.get("status") or "waiting").lower(),
                one.get("approver_name") or one.get("approver_email") or one.get("approver_id") or "",
            )
            for one in self.request.approvals
        ]

    @property
    def custom_fields(self) -> list[tuple[str, str]]:
        told: dict[str, Any] = self.request.custom_fields
        return [(name, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)) for name, v in told.items()]

    @cached_property
    def related(self) -> list[Row]:
        return [Row(one) for one in request_anomalies.anomalies_of(self.request)]

    @property
    def related_shown(self) -> list[Row]:
        return self.related[:MOST_RELATED]

    @property
    def related_rest(self) -> int:
        return max(0, len(self.related) - MOST_RELATED)

    @property
    def units(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """What it gives, or asks for, by integration."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for unit in (self.grant.units if self.grant else None) or self.request.units:
            found[access_requests.integration_of(unit)].append(unit)
        return sorted(found.items())

    @cached_property
    def timeline(self) -> list[Happened]:
        return sorted(self._happened(), key=lambda one: (one.at, one.attempt is None))  # an answer, then its effect

    def _happened(self) -> Iterator[Happened]:
        for entry in access_requests.history_of(self.request):
            by = "" if entry.actor == revocations.REVOCATION.name else entry.actor
            yield Happened(entry.at, WORDS.get(entry.type, entry.type), by, entry.note)
        tries = RevocationAttempt.objects.filter(call__revocation__grant__request=self.request)
        for one in tries.select_related("call").order_by("id"):
            yield Happened(one.at, f"Asked {one.call.integration or 'its connection'}: {one.outcome}", attempt=one)

    @property
    def waits(self) -> str:
        """`2 integrations have not answered yet`."""
        open_ = sum(1 for call in self.calls if call.state == RevocationCall.State.PENDING)
        return f"{plural(open_, 'integration')} {'has' if open_ == 1 else 'have'} not answered yet"
