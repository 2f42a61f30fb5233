"""The kinds of channels. A new one is a file of its own and a line here."""

from typing import Any

from anomalies.notifications.datadog import DATADOG
from anomalies.notifications.email import EMAIL
from anomalies.notifications.kind import Kind
from anomalies.notifications.pagerduty import PAGERDUTY
from anomalies.notifications.slack import SLACK
from anomalies.notifications.webhook import WEBHOOK

KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in (SLACK, EMAIL, PAGERDUTY, DATADOG, WEBHOOK)}
