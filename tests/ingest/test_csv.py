import pytest

from tests.ingest.samples import outcomes, reason

HEADER = b"time,agent_id,action,status,ip\n"
ROW = b"2026-11-20T10:00:00Z,ag_1,read,success,198.51.100.7\n"


def test_other_columns_go_to_metadata() -> None:
    [record], _, _ = outcomes("csv", HEADER[:-1] + b",tenant\n" + ROW[:-1] + b",t1\n")

    assert record.metadata == {"tenant": "t1"}


def test_common_names_and_any_case_are_understood() -> None:
    content = (
        b"Timestamp;Agent;User;Event;Outcome;Source IP;Lat;Lon\n1763632800;ag_1;ana;read;SUCCESS;198.51.100.7;50.5;7\n"
    )

    [record], rejections, _ = outcomes("csv", content)

    assert rejections == []
    assert (record.agent_id, record.principal_id, record.status, record.ip) == (
        "ag_1",
        "ana",
        "success",
        "198.51.100.7",
    )
    assert (record.latitude, record.longitude) == (50.5, 7)


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
def test_delimiter_is_found(delimiter: bytes) -> None:
    content = b"\xef\xbb\xbf" + (HEADER + ROW).replace(b",", delimiter)

    assert len(outcomes("csv", content)[0]) == 1


def test_lines_are_numbered_across_quoted_line_ends() -> None:
    content = (
        HEADER + b'2026-11-20T10:00:00Z,ag_1,"re\nad\n",success,\n' + ROW.replace(b"success", b"ok") + ROW + b"\n" + ROW
    )

    records, [rejection], _ = outcomes("csv", content)

    assert [record.action for record in records] == ["re\nad\n", "read", "read"]
    assert rejection.line == 5
    assert 'status: "ok" is not one of' in rejection.reason


def test_bad_bytes_reject_their_line_only() -> None:
    records, [rejection], _ = outcomes("csv", HEADER + ROW + ROW.replace(b"read", b"r\xff") + ROW)

    assert len(records) == 2
    assert (rejection.line, rejection.reason) == (3, "It is not UTF-8: byte 0xff.")


def test_bad_bytes_in_the_last_line_are_told() -> None:
    assert [rejection.line for rejection in outcomes("csv", HEADER + ROW + b"\xff")[1]] == [3]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (b"2026-11-20T10:00:00Z,ag_1,read\n", "The row has 3 columns, but the header row has 5."),
        (ROW[:-1] + b",more\n", "The row has 6 columns, but the header row has 5."),
        (ROW.replace(b"198.51.100.7", b"198.51.100.7:1"), "ip: "),
        (ROW.replace(b"ag_1", b""), "agent_id: it is missing."),
        (ROW.replace(b"2026-11-20T10:00:00Z", b"nan"), "time: "),
        (ROW.replace(b"2026-11-20T10:00:00Z", b"1763632800000"), "milliseconds"),
    ],
)
def test_bad_row_says_why(row: bytes, sentence: str) -> None:
    assert sentence in reason("csv", HEADER + row)


def test_not_a_number_is_no_latitude() -> None:
    assert "latitude: nan is not a number" in reason("csv", HEADER[:-1] + b",latitude\n" + ROW[:-1] + b",nan\n")


def test_metadata_column_is_json() -> None:
    header, row = HEADER[:-1] + b",metadata\n", ROW[:-1]

    assert outcomes("csv", header + row + b',"{""a"": 1}"\n')[0][0].metadata == {"a": 1}
    assert "metadata: It is not JSON" in reason("csv", header + row + b",nothing\n")


def test_header_without_a_required_column_is_no_csv_of_ours() -> None:
    records, rejections, ended = outcomes("csv", b"time,who\n1,2\n")

    assert (records, rejections) == ([], [])
    assert ended == 'The header row has no column "agent_id"; its columns are: time, who.'


def test_header_with_a_column_twice_is_refused() -> None:
    assert 'more than one column "ip"' in outcomes("csv", HEADER[:-1] + b",source_ip\n" + ROW)[2]


def test_a_quote_left_open_does_not_swallow_the_file() -> None:
    content = HEADER + ROW + b'"' + ROW * 5000

    records, rejections, _ = outcomes("csv", content)

    assert len(records) > 2000
    assert rejections[0].line == 3
    assert "is a quote left open?" in rejections[0].reason
