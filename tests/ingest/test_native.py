import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from tests.ingest.samples import NOW, lines, native, outcomes, reason


def test_every_field_is_kept() -> None:
    given = native(
        id="e1",
        principal_id="user_1",
        grant_id="g",
        request_id="r",
        resource="invoices/1",
        resource_type="invoice",
        integration="billing",
        permission="invoice:read",
        ip="198.51.100.7",
        country="DE",
        city="Köln",
        latitude=50.9,
        longitude=7,
        user_agent="curl",
        metadata={"a": [1, {"b": None}]},
    )

    [record], rejections, ended = outcomes("native", lines(given))

    assert (rejections, ended) == ([], "")
    assert record.external_id == "e1"
    assert record.time == datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    for name in given.keys() - {"id", "time"}:
        assert getattr(record, name) == given[name], name


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00"),
        ("2026-11-20T10:00:00.25+02:00", "2026-11-20T08:00:00.250000"),
        ("2026-11-20 10:00", "2026-11-20T10:00:00"),
        ("2026-11-20", "2026-11-20T00:00:00"),
        (1_763_632_800, "2025-11-20T10:00:00"),
        (1_763_632_800.5, "2025-11-20T10:00:00.500000"),
        ("1763632800", "2025-11-20T10:00:00"),
    ],
)
def test_time_is_iso_8601_or_epoch_seconds(time: object, expected: str) -> None:
    [record], _, _ = outcomes("native", lines(native(time=time)))

    assert record.time.isoformat() == f"{expected}+00:00"
    assert record.time.tzinfo is UTC


def test_time_without_a_zone_is_in_the_zone_of_the_options() -> None:
    content = lines(native(time="2026-07-01T10:00:00"))

    assert outcomes("native", content)[0][0].time.hour == 10
    assert outcomes("native", content, time_zone=ZoneInfo("Europe/Berlin"))[0][0].time.hour == 8


@pytest.mark.parametrize(
    ("time", "sentence"),
    [
        (1_763_632_800_000, "time: 1763632800000 looks like epoch milliseconds; send seconds or ISO 8601."),
        ("1763632800000", "time: 1763632800000 looks like epoch milliseconds; send seconds or ISO 8601."),
        (1_763_632_800_000_000, "microseconds"),
        (1_763_632_800_000_000_000, "nanoseconds"),
        (32_503_680_000, "time: 3000-01-01T00:00:00+00:00 is more than a day after now"),
        ("3000-01-01T00:00:00Z", "time: 3000-01-01T00:00:00+00:00 is more than a day after now"),
        ("1999-12-31T23:59:59Z", "time: 1999-12-31 is before 2000"),
        (0, "before 2000"),
        (-5, "before 2000"),
        ("0001-01-01T00:00:00+05:00", "out of range"),
        ("9999-12-31T23:59:59-05:00", "out of range"),
        (True, "time: true is not a time"),
        ([1], "time: a list is not a time"),
        ("yesterday", 'time: "yesterday" is neither ISO 8601'),
        (10**400, "time: a number of more than 60 digits is not a time"),
        (10**25, "is not a time"),
        (None, "time: it is null."),
        ("", "time: it is empty."),
    ],
)
def test_time_without_sense_says_what_was_probably_meant(time: object, sentence: str) -> None:
    assert sentence in reason("native", lines(native(time=time)))


def test_not_a_number_is_no_time() -> None:
    assert "It is not JSON" in reason("native", lines(native()).replace(b'"2026-11-20T10:00:00Z"', b"NaN"))


def test_an_hour_ahead_of_our_clock_is_accepted() -> None:
    ahead = NOW + timedelta(hours=23)

    assert outcomes("native", lines(native(time=ahead.isoformat())))[0][0].time == ahead


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"status": "ok"}, 'status: "ok" is not one of success, failure, blocked.'),
        ({"status": None}, "status: it is null."),
        ({"status": 1}, "status: 1 is not one of"),
        ({"status": ["success"]}, "status: a list is not one of"),
        ({"agent_id": ""}, "agent_id: it is empty."),
        ({"agent_id": "  "}, "agent_id: it is blank."),
        ({"agent_id": 7}, "agent_id: 7 is not a text."),
        ({"agent_id": "x" * 201}, "agent_id: it has 201 characters; at most 200 can be stored."),
        ({"action": None}, "action: it is null."),
        ({"user_agent": "x" * 2001}, "user_agent: it has 2,001 characters; at most 2,000 can be stored."),
        ({"resource": "x" * 1001}, "resource: it has 1,001 characters"),
        ({"id": "x" * 201}, "id: it has 201 characters"),
        ({"agent_id": "a\x00b"}, "agent_id: it contains a NUL character"),
        ({"metadata": {"a": ["\x00"]}}, "metadata: it contains a NUL character"),
        ({"extra\x00": 1}, "metadata: it contains a NUL character"),
        ({"metadata": {"a": "x" * 70_000}}, "metadata: it has 70,008 bytes as JSON; at most 65,536 can be stored."),
        ({"extra": "x" * 70_000}, "metadata: it has 70,012 bytes"),
        ({"metadata": []}, "metadata: a list is not an object."),
        ({"metadata": {"x": 1}, "x": 2}, "x: it is given twice, and with another value in metadata."),
        ({"ip": "198.51.100.7:443"}, 'ip: "198.51.100.7:443" is not an IP address'),
        ({"ip": "10.0.0.0/8"}, "is not an IP address"),
        ({"ip": "fe80::1%eth0"}, "is not an IP address"),
        ({"ip": 1}, "ip: 1 is not a text."),
        ({"country": "DEU"}, 'country: "DEU" is not an ISO 3166 code of two letters'),
        ({"country": "D1"}, "country:"),
        ({"latitude": 90.1}, "latitude: 90.1 is not a number from -90 to 90."),
        ({"longitude": "7"}, 'longitude: "7" is not a number from -180 to 180.'),
        ({"latitude": True}, "latitude: true is not a number"),
    ],
)
def test_bad_field_is_named(fields: dict[str, object], sentence: str) -> None:
    assert sentence in reason("native", lines(native(**fields)))


def test_a_field_that_is_not_there_is_missing() -> None:
    fields = native()
    del fields["agent_id"]

    assert reason("native", lines(fields)) == "agent_id: it is missing."


def test_a_2_mb_field_is_rejected_and_the_others_are_kept() -> None:
    content = lines(native(), native(user_agent="x" * 2_000_000), native())

    records, [rejection], ended = outcomes("native", content)

    assert len(records) == 2
    assert (rejection.line, rejection.reason) == (2, "The record is longer than 1,048,576 bytes.")
    assert ended == ""


def test_absent_null_and_empty_are_the_same() -> None:
    nothing = dict.fromkeys(("id", "principal_id", "grant_id", "ip", "country", "latitude", "metadata"))

    [absent], [null], [empty] = (
        outcomes("native", lines(native(**fields)))[0]
        for fields in ({}, nothing, {"principal_id": "", "ip": "", "country": ""})
    )

    assert absent == null == empty
    assert absent.principal_id is None


def test_unknown_keys_go_to_metadata() -> None:
    [record], _, _ = outcomes("native", lines(native(tenant="t", score=2, metadata={"a": 1})))

    assert record.metadata == {"a": 1, "tenant": "t", "score": 2}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("::ffff:198.51.100.7", "198.51.100.7"), ("2001:DB8::0:1", "2001:db8::1"), (" 198.51.100.7 ", "198.51.100.7")],
)
def test_address_is_kept_in_one_spelling(given: str, kept: str) -> None:
    assert outcomes("native", lines(native(ip=given)))[0][0].ip == kept


def test_country_is_kept_in_capitals() -> None:
    assert outcomes("native", lines(native(country="de")))[0][0].country == "DE"


def test_number_as_id_is_kept_as_text() -> None:
    assert outcomes("native", lines(native(id=17)))[0][0].external_id == "17"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{", "It is not JSON"),
        (b"17", "It is 17, not a JSON object."),
        (b'"a"', "not a JSON object."),
        (b'{"a":"\xff"}', "It is not UTF-8: byte 0xff."),
        (b'{"a":"\\ud800"}', "It is not JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "It is nested too deeply."),
    ],
)
def test_malformed_line_is_named_and_loses_no_other(line: bytes, sentence: str) -> None:
    records, [rejection], ended = outcomes("native", lines(native()) + line + b"\n\n" + lines(native()))

    assert len(records) == 2
    assert rejection.line == 2
    assert sentence in rejection.reason
    assert ended == ""


def test_deep_metadata_is_rejected() -> None:
    deep: object = 1
    for _ in range(60):
        deep = {"a": deep}

    assert "nested deeper than 32 levels" in reason("native", lines(native(metadata=deep)))


def test_duplicate_keys_of_json_take_the_last() -> None:
    line = lines(native()).replace(b"}", b', "status": "blocked"}')

    assert outcomes("native", line)[0][0].status == "blocked"


def test_array_is_read_as_lines_are() -> None:
    events = [native(id=f"e{number}") for number in range(5)]

    from_lines = outcomes("native", lines(*events))
    from_array = outcomes("native", json.dumps(events).encode())
    from_pretty = outcomes("native", json.dumps(events, indent=2).encode())

    assert from_lines == from_array == from_pretty


def test_bad_element_of_an_array_is_named_by_line_and_number() -> None:
    content = json.dumps([native(), native(status="ok"), native()], indent=1).encode()

    records, [rejection], _ = outcomes("native", content)

    assert len(records) == 2
    assert rejection.line == content[: content.index(b'"ok"')].count(b"\n") + 1 - 4
    assert rejection.reason.startswith("element 2: status: ")


def test_offset_of_a_zone_is_converted() -> None:
    east = datetime(2026, 11, 20, 10, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert outcomes("native", lines(native(time=east.isoformat())))[0][0].time == east
