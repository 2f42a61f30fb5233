import gzip
import json
import tracemalloc
import zlib
from io import BytesIO, RawIOBase
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalies.ingest import ids, lines, reading
from anomalies.ingest.json_records import json_records
from anomalies.ingest.record import ReadOptions, SourceError
from anomalies.ingest.registry import FORMATS
from tests.ingest import samples
from tests.ingest.samples import NOW, native, outcomes

MANY = samples.lines(*(native(id=f"e{number}") for number in range(5000)))


@pytest.mark.parametrize("form", FORMATS)
def test_empty_file_says_so(form: str) -> None:
    assert outcomes(form, b"") == ([], [], "It is empty.")
    assert outcomes(form, gzip.compress(b"")) == ([], [], "It is empty.")


def test_gzip_is_known_by_its_first_bytes() -> None:
    assert outcomes("native", gzip.compress(MANY)) == outcomes("native", MANY)
    half = len(MANY) // 2
    assert outcomes("native", gzip.compress(MANY[:half]) + gzip.compress(MANY[half:])) == outcomes("native", MANY)


def test_truncated_gzip_keeps_what_was_read_and_names_the_line() -> None:
    cut = gzip.compress(MANY)[:-2000]

    records, rejections, ended = outcomes("native", cut)

    assert 5000 > len(records) == zlib.decompressobj(wbits=31).decompress(cut).count(b"\n") > 1000
    assert rejections == []
    reached = len(records) + 1
    assert ended == (
        f"The gzip is truncated: it breaks off in line {reached:,}; the {len(records):,} lines before were read."
    )


def test_truncated_gzip_of_an_array_keeps_what_was_read() -> None:
    content = json.dumps([native(id=f"e{number}") for number in range(5000)], indent=0).encode()

    cut = gzip.compress(content)[:-2000]

    records, _, ended = outcomes("native", cut)

    assert len(records) == zlib.decompressobj(wbits=31).decompress(cut).count(b"}") > 1000
    assert ended.startswith("The gzip is truncated: it breaks off in line ")


def test_gzip_cut_within_its_header_is_one_sentence() -> None:
    assert outcomes("native", gzip.compress(MANY)[:6])[2].startswith("The gzip is truncated: it breaks off in line 1;")


def test_corrupt_gzip_is_one_sentence() -> None:
    content = bytearray(gzip.compress(MANY))
    content[len(content) // 2] ^= 0xFF

    assert outcomes("native", bytes(content))[2].startswith("The gzip is corrupt (")


def test_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert len(outcomes("native", lines.BOM + MANY)[0]) == 5000
    assert len(outcomes("native", lines.BOM + b"[" + json.dumps(native()).encode() + b"]")[0]) == 1


def test_one_object_over_several_lines_is_read() -> None:
    indented = json.dumps(native(), indent=2).encode()

    assert len(outcomes("native", indented)[0]) == len(outcomes("native", gzip.compress(indented))[0]) == 1
    assert "It is not JSON" in samples.reason("native", indented[:-9])
    assert "longer than 1,048,576 bytes" in samples.reason("native", indented + b" " * lines.MAX_LINE_BYTES)
    assert "truncated" in outcomes("native", gzip.compress(indented)[:-12])[2]


def test_utf_16_is_named() -> None:
    assert outcomes("native", MANY.decode().encode("utf-16"))[2] == "It is UTF-16; convert it to UTF-8."


def test_wrong_format_is_one_sentence_not_a_million() -> None:
    records, rejections, ended = outcomes("native", b"time,agent_id\n" * 100_000)

    assert (records, rejections) == ([], [])
    assert ended == (
        "It does not look like native events (format native); is the format right? "
        "Line 1: It is not JSON: invalid character (byte 4)."
    )


def test_wrong_format_of_a_short_file_is_one_sentence() -> None:
    _, rejections, ended = outcomes("sshd", MANY[:300])

    assert rejections == []
    assert ended.startswith("It does not look like OpenSSH in syslog (format sshd); is the format right? Line 1: ")


def test_binary_file_is_one_sentence() -> None:
    for form in FORMATS:
        records, rejections, ended = outcomes(form, bytes(range(256)) * 300)
        assert (records, rejections) == ([], [])
        assert ended


@pytest.mark.parametrize(
    "line",
    [
        samples.lines(native(agent_id="a\x00")),
        samples.lines(native(action="x" * 300)),
        samples.lines(native(user_agent="x" * 2_000_000)),
        samples.lines(native(city="?")).replace(b"?", b"\xff"),
        samples.lines(native()).replace(b'"success"', b"NaN"),
        samples.lines(native())[:-10],
    ],
    ids=["NUL", "long text", "2 MB", "UTF-8", "NaN", "truncated"],
)
def test_one_bad_event_is_told_as_such_and_not_as_another_format(line: bytes) -> None:
    _, [rejection], ended = outcomes("native", line)

    assert ended == f"No record was accepted; line 1: {rejection.reason}"


def test_events_that_all_lack_the_same_are_each_told_however_many() -> None:
    _, rejections, ended = outcomes("native", samples.lines(native(status="ok")) * 1500)

    assert len(rejections) == 1500
    assert ended.startswith('No record was accepted; line 1: status: "ok" is not one of')


def test_objects_of_another_format_are_told_as_such() -> None:
    trail = samples.lines({"eventTime": "2026-11-20T10:00:00Z", "eventName": "x"})

    assert outcomes("native", trail)[2].startswith("It does not look like native events")
    assert "has none of the fields time, agent_id, action, status" in outcomes("native", trail)[2]
    assert outcomes("cloudtrail", samples.lines(native()))[2].startswith("It does not look like AWS CloudTrail")


def test_rejections_before_the_first_event_are_told() -> None:
    records, rejections, ended = outcomes("native", b"x\n" * 999 + samples.lines(native()))

    assert (len(records), len(rejections), ended) == (1, 999, "")


@pytest.mark.parametrize(
    ("content", "ended"),
    [
        (b'[{"a": 1}', "The JSON is truncated: line 1 ends before the array does."),
        (b'[\n{"a": "x', "The JSON is truncated: line 2 ends before the array does."),
        (b"[", "The JSON is truncated: line 1 ends before the array does."),
        (b"[{]", "The JSON is malformed: element 1 opens with { and is closed by ] in line 1."),
        (b"[\n}", "The JSON is malformed: the array is closed by } in line 2."),
        (b"[" + b" " * 3_000_000, "From line 1 on it is not an array of objects."),
    ],
)
def test_array_that_is_not_closed_is_one_sentence(content: bytes, ended: str) -> None:
    assert outcomes("native", content)[2] == ended


@pytest.mark.parametrize("between", [b"", b",,", b", 17,", b'"x"'])
def test_what_stands_between_two_elements_is_told_and_loses_neither(between: bytes) -> None:
    one = json.dumps(native()).encode()

    records, [rejection], ended = outcomes("native", b"[" + one + between + one + b"]")

    assert len(records) == 2
    assert "At element 2 of the array: found" in rejection.reason
    assert ended == ""


def test_element_over_1_mb_is_rejected_and_the_next_is_kept() -> None:
    content = json.dumps([native(id="a"), native(user_agent='\\"[{' * 800_000), native(id="b")]).encode()

    records, [rejection], ended = outcomes("native", content)

    assert [record.external_id for record in records] == ["a", "b"]
    assert rejection.reason == "element 2: The record is longer than 1,048,576 bytes."
    assert ended == ""


def test_identical_records_are_told_apart_and_stay_the_same_when_read_again() -> None:
    content = samples.lines(native(), native(action="write"), native(), native())

    first, second = ([record.external_id for record in outcomes("native", content)[0]] for _ in range(2))

    assert first == second
    assert len(set(first)) == 4
    assert first[2:] == [f"{first[0]}-2", f"{first[0]}-3"]


def test_id_does_not_depend_on_the_spelling() -> None:
    plain = outcomes("native", samples.lines(native(principal_id="u", metadata={"a": 1, "b": 2})))[0][0]
    turned = outcomes("native", samples.lines({"b": 2, "a": 1, "principal_id": "u", **native()}))[0][0]

    assert plain.external_id == turned.external_id


def test_memory_of_identical_records_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MAX_REMEMBERED", 2)
    names = ["a", "b", "c", "a"]

    records, _, _ = outcomes("native", samples.lines(*(native(action=name) for name in names)))

    assert records[0].external_id == records[3].external_id


class Endless(RawIOBase):
    """The same lines again and again."""

    def __init__(self, content: bytes, times: int) -> None:
        self._content = memoryview(content)
        self._at = 0
        self._left = len(content) * times

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # as BufferedReader calls it
        size = min(len(buffer), len(self._content) - self._at, self._left)
        buffer[:size] = self._content[self._at : self._at + size]
        self._at = (self._at + size) % len(self._content)
        self._left -= size
        return size


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("native", MANY),
        ("native", b"[" + MANY.replace(b"\n", b",")),
        ("native", b'{"a": "' + b"x" * 65_536),
        ("native", b'[{"a": "' + b"x" * 65_536),
        ("csv", b"time,agent_id,action,status\n2026-11-20T10:00:00Z,ag_1,read,success\n"),
        ("sshd", b"Mar 27 13:06:56 h sshd[1]: Connection closed by 198.51.100.7 port 1\n" * 100),
    ],
    ids=["lines", "array", "one line", "one element", "csv", "no events"],
)
def test_memory_does_not_grow_with_the_file(form: str, content: bytes) -> None:
    stream = Endless(content, 1 + 10_000_000 // len(content))
    read = reading.read(FORMATS[form], stream, ReadOptions(now=NOW, new_id=lambda: "x"))  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        seen = 0
        try:
            for _ in islice(read, 20_000):
                seen += 1
        except SourceError:
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8_000_000


@settings(deadline=None)
@given(
    content=st.binary(max_size=300),
    start=st.sampled_from([b"", b"[", b'{"Records":[', b"\x1f\x8b", b"time,agent_id,action,status\n"]),
)
@pytest.mark.parametrize("form", FORMATS)
def test_any_bytes_give_events_rejections_or_one_sentence(form: str, content: bytes, start: bytes) -> None:
    _, rejections, ended = outcomes(form, start + content)

    assert ended.isprintable()
    assert all(rejection.reason.isprintable() for rejection in rejections)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELD_NAMES = {
    "native": [*native(), "id", "principal_id", "ip", "country", "latitude", "longitude", "metadata", "other"],
    "grantex": ["entryId", "agentId", "principalId", "timestamp", "status", "action", "metadata", "grantId"],
    "cloudtrail": [
        "eventID", "eventTime", "eventSource", "eventName", "userIdentity", "resources", "requestParameters",
        "sourceIPAddress", "errorCode", "responseElements", "eventType",
    ],
    "apono": ["id", "event_type", "event_time", "data"],
    "office365": [
        "Id", "CreationTime", "Operation", "UserId", "ClientIP", "ResultStatus", "ErrorNumber", "LogonError",
        "AuditData", "ExtendedProperties", "DeviceProperties", "AppAccessContext", "ApplicationId", "UserType",
    ],
    "ocsf": [
        "time", "activity_id", "activity_name", "status_id", "status", "status_detail", "action_id", "user", "actor",
        "service", "src_endpoint", "dst_endpoint", "resources", "resource", "privileges", "groups", "metadata",
    ],
}  # fmt: skip
GOOD: dict[str, dict[str, Any]] = {
    "native": native(),
    "grantex": {"agentId": "a", "timestamp": "2026-11-20T10:00:00Z", "action": "a"},
    "cloudtrail": {
        "eventTime": "2026-11-20T10:00:00Z",
        "eventSource": "s",
        "eventName": "n",
        "userIdentity": {"userName": "u"},
    },
    "apono": {
        "event_type": "AccessRequestCreated",
        "event_time": "2026-11-20T10:00:00Z",
        "data": {"id": "r", "requester": {"id": "u"}, "access_groups": []},
    },
    "office365": {"CreationTime": "2026-11-20T10:00:00", "Operation": "UserLoggedIn", "Workload": "w"},
    "ocsf": {
        "class_uid": 3002,
        "activity_id": 1,
        "status_id": 1,
        "time": 1_795_168_800_000,
        "user": {"name": "u"},
        "service": {"name": "s"},
    },
}


REQUEST_FIELDS = [
    "id", "requester", "grantee", "creation_date", "revocation_date", "access_flow", "access_duration_in_seconds",
    "access_groups", "approvals", "custom_fields",
]  # fmt: skip


@settings(deadline=None)
@given(odd=st.dictionaries(st.sampled_from(REQUEST_FIELDS), json_values, max_size=4))
def test_any_values_of_a_request_give_one_event_or_one_reason(odd: dict[str, object]) -> None:
    event = {**GOOD["apono"], "data": {**GOOD["apono"]["data"], **odd}}

    records, rejections, _ = outcomes("apono", json.dumps(event).encode())

    assert len(records) + len(rejections) == 1
    assert all(rejection.reason.isprintable() for rejection in rejections)


@pytest.mark.parametrize("form", GOOD)
@settings(deadline=None)
@given(values=st.data())
def test_any_values_of_the_fields_give_one_event_or_one_reason(form: str, values: st.DataObject) -> None:
    odd = values.draw(st.dictionaries(st.sampled_from(FIELD_NAMES[form]), json_values, max_size=4))

    records, rejections, _ = outcomes(form, json.dumps({**GOOD[form], **odd}).encode())

    assert len(records) + len(rejections) == 1
    assert all(rejection.reason.isprintable() for rejection in rejections)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=8), json_values, max_size=3), max_size=8), st.integers(1, 40))
def test_an_array_is_cut_into_its_elements_wherever_the_chunks_end(values: list[object], size: int) -> None:
    content = json.dumps(values).encode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anomalies.ingest.json_records.CHUNK_BYTES", size)
        found = [text for _, text in json_records(reading.opened(BytesIO(content))) if isinstance(text, bytes)]

    assert [json.dumps(json.loads(text)) for text in found] == [json.dumps(value) for value in values]
