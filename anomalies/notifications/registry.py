"""The kinds of channels. A new one is a file of its own and a line here."""

from anomalies.notifications.kind import Kind
from anomalies.notifications.webhook import WEBHOOK

KINDS: dict[str, Kind] = {kind.name: kind for kind in (WEBHOOK,)}
