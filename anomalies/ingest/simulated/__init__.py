"""A simulated organisation: events as a real one sends them, and incidents that are known."""

from anomalies.ingest.simulated.incident import Incident, Kind
from anomalies.ingest.simulated.organisation import Organisation

__all__ = ["Incident", "Kind", "Organisation"]
