import gzip
import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from anomalies.ingest.registry import FORMATS
from anomalies.models import ApiKey, Batch, Event, Source
from tests import make

pytestmark = pytest.mark.django_db


def event(**fields: Any) -> dict[str, Any]:
    return {
        "time": timezone.now().isoformat(),
        "agent_id": "ag_1",
        "action": "read",
        "status": "success",
        **fields,
    }


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def post(body: bytes, *, key: str | None = None, query: str = "", **headers: str) -> Any:
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return Client(enforce_csrf_checks=True).post(
        f"/v1/events{query}", body, content_type="application/x-ndjson", headers=headers
    )


@pytest.fixture
def key(db: None) -> str:
    return make.api_key("ingest")


def test_lines_are_stored(key: str) -> None:
    answer = post(lines(event(id="e1"), event(id="e2", principal_id="user_1")), key=key)

    assert answer.status_code == 200
    batch = Batch.objects.get()
    assert answer.json() == {"accepted": 2, "duplicate": 0, "rejected": 0, "errors": [], "batch": f"batch_{batch.pk}"}
    assert Source.objects.get().name == "http"


def test_array_and_gzip_are_stored(key: str) -> None:
    array = json.dumps([event(id="e1"), event(id="e2")]).encode()

    assert post(array, key=key).json()["accepted"] == 2
    assert post(gzip.compress(array), key=key, **{"Content-Encoding": "gzip"}).json()["duplicate"] == 2
    assert post(gzip.compress(array), key=key).json()["duplicate"] == 2
    assert post(b"[]", key=key).json() == {
        "accepted": 0, "duplicate": 0, "rejected": 0, "errors": [], "batch": None,
    }  # fmt: skip


def test_records_without_an_id_get_fresh_ones(key: str) -> None:
    body = lines(event(), event())

    assert post(body, key=key).json()["accepted"] == 2
    assert post(body, key=key).json()["accepted"] == 2
    assert all(name.startswith("evt_") for name in Event.objects.values_list("external_id", flat=True))


def test_bad_line_is_told_and_loses_no_other(key: str) -> None:
    body = lines(event()) + b'{"a": "\xff"}\n' + lines(event(status="ok"), event())

    answer = post(body, key=key).json()

    assert (answer["accepted"], answer["rejected"]) == (2, 2)
    assert answer["errors"] == [
        {"line": 2, "reason": "It is not UTF-8: byte 0xff."},
        {"line": 3, "reason": 'status: "ok" is not one of success, failure, blocked.'},
    ]


def test_source_and_format_are_parameters(key: str) -> None:
    entry = {"entryId": "a", "agentId": "ag_1", "action": "x", "timestamp": timezone.now().isoformat()}

    assert post(lines(entry), key=key, query="?source=grantex&format=grantex").json()["accepted"] == 1
    assert Source.objects.get().name == "grantex"


@pytest.mark.parametrize(
    ("form", "record"),
    [
        (
            "office365",
            {"Id": "a", "CreationTime": "2026-01-02T03:04:05", "Operation": "UserLoggedIn", "Workload": "Exchange"},
        ),
        (
            "ocsf",
            {
                "class_uid": 3002,
                "activity_id": 1,
                "status_id": 1,
                "time": 1_767_323_045_000,
                "user": {"name": "ana"},
                "service": {"name": "sso"},
                "metadata": {"uid": "a"},
            },
        ),
    ],
)
def test_records_of_other_systems_are_stored_as_they_are(
    key: str, form: str, record: dict[str, Any], settings: Settings
) -> None:
    settings.ANOMALIES_EVENT_RETENTION_DAYS = 0
    for body in (json.dumps(record), json.dumps([record])):
        answer = post(body.encode(), key=key, query=f"?format={form}&source={form}")
        assert answer.status_code == 200
    assert answer.json()["duplicate"] == 1
    assert Event.objects.get().external_id == "a"


def test_request_event_delivered_twice_is_stored_once(key: str) -> None:
    """As Apono's webhook posts it: one JSON object a call."""
    told = {
        "event_type": "AccessRequestCreated",
        "event_time": timezone.now().timestamp(),
        "data": {"id": "r-1", "requester": {"email": "ana@example.com"}, "access_groups": []},
    }

    for body in (json.dumps(told), json.dumps(told, indent=2)):
        answer = post(body.encode(), key=key, query="?format=apono&source=apono")
        assert answer.status_code == 200
    assert answer.json()["duplicate"] == 1
    event = Event.objects.get()
    assert (event.action, event.agent_id, event.principal_id) == ("access_request.created", "apono", "ana@example.com")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?format=xml", f"format: 'xml' is unknown; it is one of {', '.join(FORMATS)}."),
        ("?source=", "source: a name has 1 to 100 printable characters."),
        ("?source=a%00b", "source: a name has 1 to 100 printable characters."),
    ],
)
def test_bad_parameter_is_named(key: str, query: str, sentence: str) -> None:
    answer = post(lines(event()), key=key, query=query)

    assert (answer.status_code, answer.json()["message"]) == (400, sentence)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is empty."),
        (b"hello\n", "It does not look like native events"),
        (b"\x00" * 10, "It does not look like native events"),
        (b"[" * 100_000, "The JSON is truncated"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "It is nested too deeply."),
        (lines({"a": 1})[:-3], "It is not JSON"),
        (b"\x1f\x8b" + b"\x00" * 20, "The gzip of the body is corrupt"),
        (gzip.compress(lines(event()) * 50)[:-30], "The gzip of the body is truncated; nothing was stored."),
    ],
)
def test_unreadable_body_is_400_and_stores_nothing(key: str, body: bytes, sentence: str) -> None:
    answer = post(body, key=key)

    assert answer.status_code == 400
    assert sentence in answer.json()["message"]
    assert not Event.objects.exists()


def test_body_without_any_event_tells_each_reason(key: str) -> None:
    answer = post(lines(event(status="ok"), event(time=1_763_632_800_000)), key=key)

    assert answer.status_code == 400
    assert [error["line"] for error in answer.json()["errors"]] == [1, 2]


@pytest.mark.parametrize(
    "odd",
    [
        b'"agent_id": "a\\u0000b"',
        b'"metadata": {"a": "\\u0000"}',
        b'"metadata": ' + b'{"a":' * 900 + b"1" + b"}" * 900,
        b'"metadata": {"a": 1e999}',
        b'"metadata": {"a": ' + b"9" * 5000 + b"}",
        b'"time": ' + b"9" * 5000,
        b'"latitude": 1e308',
        b'"agent_id": "\\ud800"',
    ],
)
def test_odd_values_are_rejected_with_a_reason(key: str, odd: bytes) -> None:
    good = lines(event())

    answer = post(good + good[:-2] + b", " + odd + b"}\n", key=key)

    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)


def test_duplicate_keys_take_the_last(key: str) -> None:
    post(b'{"status": "blocked", ' + lines(event())[1:], key=key)

    assert Event.objects.get().status == "success"


def test_missing_unknown_expired_and_revoked_keys_are_401(key: str) -> None:
    expired, revoked = make.api_key("ingest", name="expired"), make.api_key("ingest", name="revoked")
    past = timezone.now() - timedelta(days=1)
    ApiKey.objects.filter(name="expired").update(expires_at=past)
    ApiKey.objects.filter(name="revoked").update(revoked_at=past)

    for wrong in (None, "", "gx_live_unknown", "\xff", expired, revoked):
        answer = post(lines(event()), key=wrong)
        assert answer.status_code == 401, wrong
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Authorization: Bearer" in answer.json()["message"]


def test_read_only_key_is_403_naming_the_scope(db: None) -> None:
    answer = post(lines(event()), key=make.api_key("read", "review", name="dashboard"))

    assert answer.status_code == 403
    assert answer.json()["message"] == "The key dashboard lacks the scope ingest; it has read, review."


def test_body_over_the_limit_is_413_sent_or_inflated(key: str, settings: Settings) -> None:
    settings.ANOMALIES_MAX_BODY_BYTES = 1000

    for body in (lines(event()) * 20, gzip.compress(b" " * 2_000_000 + b"\n")[:1000], gzip.compress(b" " * 2000)):
        answer = post(body, key=key)
        assert answer.status_code == 413
        assert "larger than 1,000 bytes" in answer.json()["message"]


def test_unknown_encoding_is_415_and_a_false_one_400(key: str) -> None:
    body = lines(event())

    assert post(body, key=key, **{"Content-Encoding": "br"}).status_code == 415
    assert post(body, key=key, **{"Content-Encoding": "gzip"}).status_code == 400


def test_empty_body_is_told_as_such(key: str) -> None:
    for body in (b"", gzip.compress(b"")):
        assert post(body, key=key).json()["message"] == "The body is empty."
    answer = post(lines(event()), key=key, **{"Content-Encoding": "gzip"})
    assert answer.json()["message"] == "Content-Encoding says gzip, but the body is not gzip."


def test_one_bad_event_is_400_with_its_reason(key: str) -> None:
    answer = post(lines(event(agent_id="")), key=key)

    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "No record was accepted; line 1: agent_id: it is empty.",
    )
    assert answer.json()["errors"] == [{"line": 1, "reason": "agent_id: it is empty."}]


def test_each_error_has_a_code_and_a_request_id(key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    answers = {
        "BAD_REQUEST": post(b"", key=key),
        "UNAUTHORIZED": post(b""),
        "FORBIDDEN": post(b"", key=make.api_key("read", name="reading")),
        "METHOD_NOT_ALLOWED": Client().get("/v1/events", headers=headers),
        "UNSUPPORTED_MEDIA_TYPE": Client().post("/v1/events", {"a": "b"}, headers=headers),
    }
    for code, answer in answers.items():
        told = answer.json()
        assert (told["code"], told["requestId"]) == (code, answer.headers["x-request-id"])
        assert told["message"]
    assert post(lines(event()), key=key).headers["x-request-id"]


def test_form_is_415(key: str) -> None:
    answer = Client().post("/v1/events", {"a": "b"}, headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 415


def test_repeated_key_is_answered_as_before(key: str) -> None:
    body = lines(event()) + b"x\n"

    first, again = (post(body, key=key, **{"Idempotency-Key": "k1"}) for _ in range(2))

    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert Event.objects.count() == 1


def test_repeated_key_with_another_body_is_422(key: str) -> None:
    post(lines(event()), key=key, **{"Idempotency-Key": "k1"})

    answer = post(lines(event(), event()), key=key, **{"Idempotency-Key": "k1"})

    assert (answer.status_code, answer.json()["message"]) == (
        422,
        "Idempotency-Key: it was used before, with another body.",
    )


@pytest.mark.parametrize("idempotency_key", ["", "x" * 256])
def test_idempotency_key_without_sense_is_400(key: str, idempotency_key: str) -> None:
    answer = post(lines(event()), key=key, **{"Idempotency-Key": idempotency_key})

    assert (answer.status_code, answer.json()["message"]) == (400, "Idempotency-Key: it must have 1 to 255 characters.")


def test_reasons_told_are_limited_and_the_figures_are_not(key: str) -> None:
    answer = post(lines(event()) + b"x\n" * 1500, key=key).json()

    assert (answer["rejected"], len(answer["errors"])) == (1500, 1000)


def test_other_methods_are_405(key: str) -> None:
    assert Client().get("/v1/events", headers={"Authorization": f"Bearer {key}"}).status_code == 405


def test_use_of_a_key_is_noted(key: str) -> None:
    post(lines(event()), key=key)

    assert ApiKey.objects.get().last_used_at is not None


def test_openapi_describes_the_call(admin_client: Client) -> None:
    schema = admin_client.get("/v1/events/openapi.json").json()

    operation = schema["paths"]["/v1/events"]["post"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {"source", "format", "Idempotency-Key"}
    assert set(operation["responses"]) == {"200", "400", "401", "403", "413", "415", "422", "429"}
    assert "application/x-ndjson" in operation["requestBody"]["content"]


def test_what_is_older_than_events_are_kept_is_rejected_and_says_so(key: str, settings: Settings) -> None:
    settings.ANOMALIES_EVENT_RETENTION_DAYS = 400
    then = timezone.now() - timedelta(days=401)

    answer = post(lines(event(time=then.isoformat()), event()), key=key).json()

    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert answer["errors"][0]["reason"] == f"time: {then:%Y-%m-%d} is older than the 400 days that are kept."


def test_the_same_id_with_another_time_is_another_event(key: str) -> None:
    now = timezone.now()
    first = event(id="e1", time=now.isoformat())

    assert post(lines(first), key=key).json()["accepted"] == 1
    assert post(lines(first, event(id="e1", time=(now - timedelta(seconds=1)).isoformat())), key=key).json() == {
        "accepted": 1, "duplicate": 1, "rejected": 0, "errors": [], "batch": f"batch_{Batch.objects.latest('id').pk}",
    }  # fmt: skip


def test_an_event_without_a_time_is_rejected(key: str) -> None:
    answer = post(lines({"id": "e1", "agent_id": "a", "action": "b", "status": "success"}, event()), key=key).json()

    assert answer["errors"] == [{"line": 1, "reason": "time: it is missing."}]
