"""Ids that leave the house: a prefix that says what it is, and a ULID that sorts by time."""

import hashlib
from functools import partial

from ulid import ULID


def new_public_id(prefix: str) -> str:
    """Return a fresh id such as `anom_01J9ZC3V9X8E6M2K4T5R7W1Y0B`."""
    return f"{prefix}_{ULID()}"


new_agent_id = partial(new_public_id, "ag")
new_anomaly_id = partial(new_public_id, "anom")
new_audit_entry_id = partial(new_public_id, "alog")
new_authorization_id = partial(new_public_id, "areq")
new_backtest_id = partial(new_public_id, "btst")
new_bulk_review_id = partial(new_public_id, "bulk")
new_channel_id = partial(new_public_id, "chan")
new_delivery_id = partial(new_public_id, "msg")
new_digest_id = partial(new_public_id, "dgst")
new_event_id = partial(new_public_id, "evt")
new_grant_id = partial(new_public_id, "grnt")
new_revocation_call_id = partial(new_public_id, "rvcl")
new_revocation_id = partial(new_public_id, "rvoc")
new_rule_id = partial(new_public_id, "rule")
new_suppression_id = partial(new_public_id, "supp")
new_view_id = partial(new_public_id, "view")


def metric_id_of(name: str) -> str:
    """Return the id of the series of that name: always the same one, and safe in any address."""
    return f"metr_{hashlib.sha256(name.encode()).hexdigest()[:26]}"


def grant_id_of(request_id: str) -> str:
    """Return the id of the grant that an access request gave: always the same one."""
    return f"grnt_{hashlib.sha256(request_id.encode()).hexdigest()[:26]}"
