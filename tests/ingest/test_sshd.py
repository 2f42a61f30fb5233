from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.ingest.samples import NOW, SSHD_LOG, needs_sshd, outcomes, reason


def line(message: str, *, time: str = "Mar 27 13:06:56", program: str = "sshd[1291]") -> bytes:
    return f"{time} web1 {program}: {message}\n".encode()


FAILED = "Failed password for root from 198.51.100.7 port 4711 ssh2"


def test_failed_password_is_a_failure() -> None:
    [record], rejections, _ = outcomes("sshd", line(FAILED), source="bastion")

    assert rejections == []
    assert record.time == datetime(2026, 3, 27, 13, 6, 56, tzinfo=UTC)
    assert (record.agent_id, record.principal_id, record.action) == ("bastion:sshd", "root", "ssh.login")
    assert (record.status, record.ip, record.integration) == ("failure", "198.51.100.7", "sshd")
    assert (record.resource, record.resource_type) == ("web1", "host")
    assert record.metadata == {"method": "password", "port": 4711}


@pytest.mark.parametrize(
    ("message", "status", "user", "metadata"),
    [
        ("Failed password for invalid user bob from ::1 port 1 ssh2", "failure", "bob", {"invalid_user": True}),
        ("Failed password for invalid user  from ::1 port 1 ssh2", "failure", None, {"invalid_user": True}),
        ("Failed publickey for ana from ::1 port 1 ssh2: RSA SHA256:x", "failure", "ana", {"method": "publickey"}),
        ("Failed keyboard-interactive/pam for ana from ::1 port 1 ssh2", "failure", "ana", {}),
        ("Accepted password for ana from ::1 port 1 ssh2", "success", "ana", {"method": "password"}),
        ("Accepted publickey for ana from ::1 port 1 ssh2: ED25519 SHA256:x", "success", "ana", {"port": 1}),
        (
            "Failed password for invalid user x from 9.9.9.9 port 1 ssh2 from ::1 port 1 ssh2",
            "failure",
            "x from 9.9.9.9 port 1 ssh2",
            {"invalid_user": True},
        ),
    ],
)
def test_login_lines(message: str, status: str, user: str | None, metadata: dict[str, object]) -> None:
    [record], _, _ = outcomes("sshd", line(message))

    assert (record.agent_id, record.status, record.principal_id, record.ip) == ("web1:sshd", status, user, "::1")
    assert metadata.items() <= record.metadata.items()


def test_name_instead_of_an_address_is_no_ip() -> None:
    [record], _, _ = outcomes("sshd", line("Failed password for ana from host.example port 1 ssh2"))

    assert record.ip is None
    assert record.metadata["from"] == "host.example"


def test_message_repeated_five_times_is_five_further_events() -> None:
    records, _, _ = outcomes("sshd", line(FAILED) + line(f"message repeated 5 times: [ {FAILED}]"))

    assert len(records) == 6
    assert len({record.external_id for record in records}) == 6


def test_a_billion_repeats_are_not_believed() -> None:
    sentence = reason("sshd", line(f"message repeated 1000000000 times: [ {FAILED}]"))

    assert "at most 10,000 are believed" in sentence


@pytest.mark.parametrize(
    "message",
    [
        "Invalid user bob from 198.51.100.7",
        "error: maximum authentication attempts exceeded for root from 198.51.100.7 port 1 ssh2 [preauth]",
        "Connection closed by 198.51.100.7 port 1 [preauth]",
        "Failed none for bob from 198.51.100.7 port 1 ssh2",
    ],
)
def test_lines_that_tell_of_the_same_again_are_no_events(message: str) -> None:
    assert outcomes("sshd", line(message)) == ([], [], "")


def test_lines_of_other_programs_are_no_events() -> None:
    assert outcomes("sshd", line(FAILED, program="notsshd[1]")) == ([], [], "")


def test_newer_programs_and_times_are_read() -> None:
    content = b"2026-03-27T13:06:56.5+02:00 web1 sshd-session[1]: " + FAILED.encode() + b"\n"

    [record], _, _ = outcomes("sshd", content)

    assert record.time == datetime(2026, 3, 27, 11, 6, 56, 500_000, tzinfo=UTC)


def test_year_is_the_latest_that_is_not_in_the_future() -> None:
    assert outcomes("sshd", line(FAILED, time="Nov 20 11:00:00"), now=NOW)[0][0].time.year == 2026
    assert outcomes("sshd", line(FAILED, time="Dec 20 11:00:00"), now=NOW)[0][0].time.year == 2025


def test_year_wraps_after_december_and_a_late_line_stays_before() -> None:
    content = b"".join(
        line(FAILED, time=time)
        for time in ("Dec 31 23:59:58", "Jan  1 00:00:01", "Dec 31 23:59:59", "Jan  1 00:00:02", "Sep  9 01:00:00")
    )

    years = [record.time.year for record in outcomes("sshd", content, year=2017)[0]]

    assert years == [2017, 2018, 2017, 2018, 2018]


def test_zone_is_the_options_one() -> None:
    [record], _, _ = outcomes("sshd", line(FAILED), year=2017, time_zone=ZoneInfo("America/New_York"))

    assert record.time == datetime(2017, 3, 27, 17, 6, 56, tzinfo=UTC)


def test_29_february_of_another_year_is_rejected() -> None:
    assert "Feb 29 13:06:56 does not exist in 2017" in reason("sshd", line(FAILED, time="Feb 29 13:06:56"), year=2017)


def test_same_file_gives_the_same_ids() -> None:
    content = line(FAILED) * 3

    first, second = ([record.external_id for record in outcomes("sshd", content, year=2017)[0]] for _ in range(2))

    assert first == second
    assert len(set(first)) == 3


def test_bad_lines_lose_no_other() -> None:
    content = line(FAILED) + b"nonsense\n\xff\xfe\n" + line(FAILED)

    records, rejections, _ = outcomes("sshd", content)

    assert len(records) == 2
    assert [(rejection.line, rejection.reason[:20]) for rejection in rejections] == [
        (2, "It is not a line of "),
        (3, "It is not UTF-8: byt"),
    ]


@needs_sshd
def test_real_log_gives_its_logins() -> None:
    content = SSHD_LOG.read_bytes()

    records, rejections, ended = outcomes("sshd", content, year=2017, source="bastion")

    statuses = Counter(record.status for record in records)
    # 628 + 4 lines that failed, and 85 lines that repeat one of them, together 410 times.
    assert statuses == {"failure": 1042, "success": 226}
    assert (rejections, ended) == ([], "")
    assert len({record.external_id for record in records}) == 1268
    assert {record.time.year for record in records} == {2017}
    assert {record.agent_id for record in records} == {"bastion:sshd"}


@pytest.mark.parametrize(
    ("clock", "utc"),
    [
        ("Mar 29 01:59:59", "2026-03-29T00:59:59"),
        ("Mar 29 02:30:00", "2026-03-29T01:30:00"),  # shown by no clock: as if it had not been put forward
        ("Mar 29 03:30:00", "2026-03-29T01:30:00"),
        ("Oct 25 02:30:00", "2026-10-25T00:30:00"),  # shown twice: the first
        ("Oct 25 03:00:00", "2026-10-25T02:00:00"),
    ],
)
def test_times_around_a_change_of_clocks_have_one_meaning(clock: str, utc: str) -> None:
    [record], *_ = outcomes("sshd", line(FAILED, time=clock), year=2026, time_zone=ZoneInfo("Europe/Berlin"))
    assert record.time.isoformat() == f"{utc}+00:00"


def test_in_the_hour_that_comes_twice_a_line_that_goes_back_is_in_the_second() -> None:
    clocks = ("01:55:00", "02:10:00", "02:50:00", "02:49:59", "02:05:00", "02:40:00", "03:01:00")
    content = b"".join(line(FAILED, time=f"Oct 25 {clock}") for clock in clocks)
    records, *_ = outcomes("sshd", content, year=2026, time_zone=ZoneInfo("Europe/Berlin"))
    assert [f"{record.time:%H:%M}" for record in records] == [
        "23:55", "00:10", "00:50", "00:49", "01:05", "01:40", "02:01",
    ]  # fmt: skip
