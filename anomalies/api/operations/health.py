"""GET /healthz and /readyz, open to everybody: for what starts, stops and spreads the load over processes."""

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from ninja import Router, Schema

from anomalies.api.errors import exemplified
from anomalies.services.readiness import readiness

router = Router()


class Life(Schema):
    alive: bool

    model_config = exemplified({"alive": True})


class Readiness(Schema):
    """`reasons` say why no call can be served, `warnings` what is late while they are."""

    ready: bool
    reasons: list[str]
    warnings: list[str]

    model_config = exemplified(
        {
            "ready": True,
            "reasons": [],
            "warnings": ["No scan was finished in the last 15 minutes: are a worker and the clock at work?"],
        }
    )


@router.api_operation(["GET", "HEAD"], "/healthz", response=Life)
def healthz(request: HttpRequest) -> HttpResponse:
    """Say that this process answers, whatever the database does."""
    return _answer({"alive": True})


@router.api_operation(["GET", "HEAD"], "/readyz", response={(200, 503): Readiness})
def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether calls can be served, with the reasons where they cannot; what is late is told and fails nothing."""
    found = readiness(at=timezone.now())
    return _answer({"ready": found.ready, **asdict(found)}, status=200 if found.ready else 503)


def _answer(content: dict[str, Any], status: int = 200) -> HttpResponse:
    return JsonResponse(content, status=status, headers={"Cache-Control": "no-store"})
