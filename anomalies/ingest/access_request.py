"""An access request as each of its events tells it, kept in the event's metadata for what later gathers them."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from anomalies.ingest.record import FieldError

KEY = "access_request"  # of an event's metadata


class Requester(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked."""

    id: str = ""
    name: str = ""
    email: str = ""


class Grantee(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to get the access, which need not be who asked."""

    id: str = ""
    source_id: str = ""
    name: str = ""
    type: str = ""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """The access flow that governs the request."""

    id: str = ""
    name: str = ""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: a permission on a resource of an integration."""

    integration_id: str = ""
    integration_type: str = ""
    integration: str = ""  # its name
    resource_id: str = ""
    resource: str = ""  # its name
    resource_path: str = ""
    resource_type: str = ""
    tags: list[str] = []  # as "prod", or as "env=prod"
    permission: str = ""


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """What one approver, who may be no person, said or is to say."""

    name: str = ""
    type: str = ""
    status: str = ""
    approver_id: str = ""
    approver_name: str = ""
    approver_email: str = ""
    manual: bool = False  # a person's


class AccessRequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The request as it was at the time of one event; the event's own action and time say what happened then.

    Texts that the source leaves out are "", times are seconds since the epoch.
    """

    id: str
    requester: Requester
    friendly_id: str = ""  # as people call it, such as AR-123
    grantee: Grantee = Grantee()
    justification: str = ""
    requested_at: float | None = None
    revoked_at: float | None = None  # may lie ahead, as planned
    flow: Flow | None = None
    duration_seconds: float | None = None  # that the access lasts; None is without end
    units: list[Unit] = []
    approvals: list[Approval] = []
    custom_fields: dict[str, Any] = {}

    def to_metadata(self) -> dict[str, Any]:
        """Return the metadata of its event, plain JSON."""
        return {KEY: msgspec.to_builtins(self)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Self | None:
        """Return the record in an event's metadata, None if there is none.

        Raises FieldError if it is malformed, as in events that tell of requests on their own account.
        """
        if KEY not in metadata:
            return None
        try:
            return msgspec.convert(metadata[KEY], cls)
        except msgspec.ValidationError as error:
            raise FieldError(f"metadata.{KEY}: {error}.") from None
