"""What comes out when an anomaly's figures are derived again, as its details show it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from anomalies.models import Anomaly
from anomalies.services.recompute import Recomputation, recompute
from anomalies.web.charts import clock

TIMES = {"start", "end", "last_request_at", "last_active_at", "account_known_since", "success_at"}
WORDS = {"p": "chance", "why": "sentences", "also": "other intervals", "events": "events and their hash"}


@dataclass(frozen=True, slots=True)
class Line:
    figure: str
    stored: str
    derived: str


@dataclass(frozen=True, slots=True)
class Recomputed:
    result: Recomputation
    at: datetime

    @property
    def lines(self) -> list[Line]:
        return [
            Line(
                WORDS.get(one.figure, one.figure.replace("_", " ")),
                _said(one.figure, one.stored),
                _said(one.figure, one.derived),
            )
            for one in self.result.differences
        ]


def recomputed(anomaly: Anomaly, *, at: datetime) -> Recomputed:
    return Recomputed(recompute(anomaly), at)


def _said(figure: str, value: Any) -> str:
    """Return a figure as it is stored, times by the reviewer's clock."""
    if value is None:
        return "none"
    if figure in TIMES and isinstance(value, float | int):
        return clock(datetime.fromtimestamp(value, UTC))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
