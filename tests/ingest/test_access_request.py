import json

import pytest

from anomalies.ingest.access_request import AccessRequestRecord, Approval, Flow, Grantee, Requester, Unit
from anomalies.ingest.record import FieldError

FULL = AccessRequestRecord(
    id="r-1",
    friendly_id="AR-1",
    requester=Requester(id="u-1", name="Ana", email="ana@example.com"),
    grantee=Grantee(id="u-2", source_id="okta", name="Bob", type="user"),
    justification="On call",
    requested_at=1_763_632_800.25,
    revoked_at=1_763_636_400.0,
    flow=Flow(id="f-1", name="Production"),
    duration_seconds=3600.0,
    units=[Unit(integration="AWS", resource="orders", tags=["env=prod"], permission="admin")],
    approvals=[Approval(name="Manager", type="user", status="approved", approver_id="u-3", manual=True)],
    custom_fields={"ticket": {"id": 7}},
)


@pytest.mark.parametrize("request_", [FULL, AccessRequestRecord(id="r-1", requester=Requester(id="u-1"))])
def test_record_comes_back_from_the_metadata_as_it_was(request_: AccessRequestRecord) -> None:
    stored = json.loads(json.dumps(request_.to_metadata()))

    assert AccessRequestRecord.from_metadata({**stored, "other": 1}) == request_


def test_metadata_without_a_request_has_none() -> None:
    assert AccessRequestRecord.from_metadata({"other": 1}) is None


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("AR-1", "metadata.access_request: Expected `object`, got `str`."),
        ({"requester": {}}, "metadata.access_request: Object missing required field `id`."),
        ({"id": "r-1", "requester": {}, "units": [{"tags": [1]}]}, "`str`, got `int` - at `$.units[0].tags[0]`."),
    ],
)
def test_malformed_request_in_the_metadata_names_the_field(told: object, sentence: str) -> None:
    with pytest.raises(FieldError) as raised:
        AccessRequestRecord.from_metadata({"access_request": told})

    assert sentence in str(raised.value)
