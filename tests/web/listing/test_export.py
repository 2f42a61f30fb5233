"""web/export: exactly what matches, in its order, of any size, as a file that no spreadsheet runs."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from threading import Event as Flag
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient, Client

from anomalies.models import Anomaly, Severity
from anomalies.web.listing import export
from tests import make

pytestmark = pytest.mark.django_db


def body(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def rows(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body(response), newline="")))


def test_it_holds_what_the_filters_let_through_in_the_order_of_the_list(as_ana: Client) -> None:
    for number in range(7):
        make.anomaly(description=f"{number}", severity=1 + number % 3, detected_at=make.NOW + timedelta(minutes=number))
    found = rows(as_ana.get("/anomalies/export.csv?severity=high&severity=low&sort=-severity"))
    assert [row["description"] for row in found] == ["5", "2", "6", "3", "0"]
    assert [row["severity"] for row in found] == ["high", "high", "low", "low", "low"]


def test_all_formats_say_the_same(as_ana: Client) -> None:
    anomaly = make.anomaly(
        principal=make.principal("user_7"),
        ip="10.2.0.14",
        countries=["DE", "MY"],
        integration="okta",
        status="resolved",
        resolved_at=make.NOW,
        resolved_by="ana",
        verdict="benign",
        reason="Nightly sync",
    )
    document = json.loads(body(as_ana.get("/anomalies/export.json?severity=high")))
    [line] = body(as_ana.get("/anomalies/export.ndjson")).splitlines()
    [row] = rows(as_ana.get("/anomalies/export.csv"))
    [told] = document["anomalies"]
    assert (document["count"], document["address"]) == (1, "/?severity=high")
    assert document["columns"] == list(told) == list(row)
    assert json.loads(line) == told
    assert told["id"] == row["id"] == anomaly.public_id
    assert (told["countries"], row["countries"]) == (["DE", "MY"], "DE;MY")
    assert told["detected_at"] == row["detected_at"] == "2026-11-20T12:00:00Z"
    assert [told[name] for name in ("observed", "expected", "lower", "upper", "p")] == [412, 38.0, 21.0, 61.0, 1e-13]
    assert [row[name] for name in ("observed", "expected", "lower", "upper", "p")] == [
        "412", "38.0", "21.0", "61.0", "1e-13"
    ]  # fmt: skip
    assert (row["verdict"], row["reason"], row["decided_by"]) == ("benign", "Nightly sync", "ana")
    assert (told["snoozed_until"], row["snoozed_until"]) == (None, "")


def test_findings_are_exported_as_a_siem_takes_them_in(as_ana: Client) -> None:
    anomaly = make.anomaly(severity=Severity.HIGH)
    make.anomaly(severity=Severity.LOW)
    response = as_ana.get("/anomalies/export.ocsf?severity=high")
    assert response.headers["Content-Disposition"].endswith('Z-1.ocsf.ndjson"')
    [line] = body(response).splitlines()
    told = json.loads(line)
    assert (told["class_uid"], told["finding_info"]["uid"]) == (2004, anomaly.public_id)
    assert told["evidences"][0]["data"] == anomaly.evidence


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(as_ana: Client, sign: str) -> None:
    text = f'{sign}HYPERLINK("http://evil","x"),\n2'
    make.anomaly(description=text, resource=text, agent=make.agent(f"{sign}1"))
    [row] = rows(as_ana.get("/anomalies/export.csv"))
    assert row["description"] == row["resource"] == f"'{text}"
    assert row["agent_id"] == f"'{sign}1"
    assert json.loads(body(as_ana.get("/anomalies/export.ndjson")))["description"] == text


def test_the_name_and_a_header_say_how_many_there_are(as_ana: Client) -> None:
    for _ in range(3):
        make.anomaly(severity=Severity.LOW)
    make.anomaly(severity=Severity.HIGH)
    response = as_ana.get("/anomalies/export.csv?severity=low")
    name = response.headers["Content-Disposition"]
    assert name.startswith('attachment; filename="anomalies-20')
    assert name.endswith('Z-3.csv"')
    assert response.headers["Anomalies-Count"] == "3"
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert len(rows(response)) == 3


@pytest.mark.parametrize("suffix", ["csv", "json", "ndjson", "ocsf"])
def test_of_nothing_there_is_an_empty_file(as_ana: Client, suffix: str) -> None:
    text = body(as_ana.get(f"/anomalies/export.{suffix}"))
    assert {
        "csv": lambda: text == ",".join(export.COLUMNS) + "\r\n",
        "json": lambda: json.loads(text)["anomalies"] == [],
        "ndjson": lambda: text == "",
        "ocsf": lambda: text == "",
    }[suffix]()


def test_an_address_that_makes_no_sense_exports_nothing_and_says_why(as_ana: Client) -> None:
    make.anomaly()
    response = as_ana.get("/anomalies/export.csv?severity=huge")
    assert response.status_code == 400
    assert "nothing was exported:\nSeverity: there is no “huge”, only High, Medium, Low." in response.text
    assert as_ana.get("/anomalies/export.xls").status_code == 404


def test_who_may_see_anomalies_may_export_them(client: Client, as_vic: Client, as_zoe: Client) -> None:
    assert rows(as_vic.get("/anomalies/export.csv")) == []
    assert as_zoe.get("/anomalies/export.csv").status_code == 403
    assert client.get("/anomalies/export.csv").status_code == 302
    assert as_vic.post("/anomalies/export.csv").status_code == 405


def test_more_exports_than_there_are_connections_for_wait(as_ana: Client) -> None:
    running = [as_ana.get("/anomalies/export.csv") for _ in range(export.MOST_AT_ONCE)]
    refused = as_ana.get("/anomalies/export.csv")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
    for response in running:
        body(response)
    assert len(rows(as_ana.get("/anomalies/export.csv"))) == 0


def test_the_list_links_to_exports_of_what_it_shows(as_ana: Client) -> None:
    make.anomaly()
    assert (
        'href="/anomalies/export.csv?severity=high&amp;sort=type" download'
        in as_ana.get("/?severity=high&sort=type&older=anom_x").text
    )


@pytest.fixture
def three_parts(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flag]:
    """Six anomalies in files of three parts, of which those after the first wait for the flag."""
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 2)
    for number in range(6):
        make.anomaly(description=f"{number}")
    go = Flag()
    described = export.COLUMNS["description"]

    def waiting(one: Anomaly) -> Any:
        assert one.description in ("5", "4") or go.wait(20)
        return described(one)

    monkeypatch.setitem(export.COLUMNS, "description", waiting)
    yield go
    go.set()


@pytest.mark.django_db(transaction=True)
def test_it_streams_and_what_changes_meanwhile_is_not_in_it(three_parts: Flag, ana: User) -> None:
    ana.user_permissions.add(
        Permission.objects.get(codename="view_anomaly")
    )  # tables that others emptied hold no group
    client = AsyncClient()
    client.force_login(ana)

    def meanwhile() -> None:
        make.anomaly(description="late")
        Anomaly.objects.filter(description="0").update(severity=Severity.LOW)
        three_parts.set()

    async def fetch() -> list[str]:
        response = await client.get("/anomalies/export.ndjson?severity=high")
        parts = aiter(response.streaming_content)
        first = await asyncio.wait_for(anext(parts), 20)
        await sync_to_async(meanwhile)()
        rest = [part.decode() async for part in parts]
        await sync_to_async(response.close)()
        return [first.decode(), *rest]

    parts = async_to_sync(fetch)()
    described = [[json.loads(line)["description"] for line in part.splitlines()] for part in parts]
    assert described == [["5", "4"], ["3", "2"], ["1", "0"]]
