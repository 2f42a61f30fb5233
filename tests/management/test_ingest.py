import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from anomalies.ingest.registry import FORMATS
from anomalies.models import Batch, Event
from anomalies.services import events
from tests.ingest.samples import CLOUDTRAIL_FOLDER, SSHD_LOG, lines, native, needs_cloudtrail, needs_sshd

pytestmark = pytest.mark.django_db


def ingest(*args: Any, error: str = "") -> tuple[str, str]:
    """Run the command and return what it printed and what it complained of; it must fail with that error, if any."""
    out, err = io.StringIO(), io.StringIO()
    arguments = ["ingest", *map(str, args), "--source", "test"]
    if error:
        with pytest.raises(CommandError, match=error) as raised:
            call_command(*arguments, stdout=out, stderr=err)
        assert raised.value.returncode == 1
    else:
        call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_one_line_of_figures_ends_it(tmp_path: Path) -> None:
    path = file(tmp_path, "a.ndjson", lines(native(id="a"), native(id="a"), native(status="ok"), native()))

    out, err = ingest(path)

    assert out == "4 read: 2 accepted, 1 duplicate, 1 rejected.\n"
    assert err == f'{path}, line 3: status: "ok" is not one of success, failure, blocked.\n'


def test_same_file_again_adds_nothing(tmp_path: Path) -> None:
    path = file(tmp_path, "a.ndjson", lines(native(), native(), native(action="write")))

    ingest(path)

    assert ingest(path)[0] == "3 read: 0 accepted, 3 duplicate, 0 rejected.\n"


def test_gzip_and_standard_input_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = gzip.compress(lines(native()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    assert ingest("-")[0] == "1 read: 1 accepted, 0 duplicate, 0 rejected.\n"
    assert ingest(file(tmp_path, "a.gz", content))[0] == "1 read: 0 accepted, 1 duplicate, 0 rejected.\n"


def test_large_file_is_stored_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(events.store_in_batches.__kwdefaults__, "size", 4)  # type: ignore[arg-type]

    ingest(file(tmp_path, "a.ndjson", lines(*(native(id=f"e{number}") for number in range(10)))))

    assert sorted(Batch.objects.values_list("accepted", flat=True)) == [2, 4, 4]


def test_bad_file_among_several_loses_no_other(tmp_path: Path) -> None:
    good = file(tmp_path, "good.ndjson", lines(native()))
    cut = file(tmp_path, "cut.gz", gzip.compress(lines(*(native(id=f"e{number}") for number in range(900))))[:-900])
    empty = file(tmp_path, "empty.ndjson", b"")

    out, _ = ingest(
        cut,
        empty,
        tmp_path / "none",
        good,
        error=r"cut.gz: The gzip is truncated: .*\n.*empty.ndjson: It is empty.\n.*none: there is no such file.",
    )

    assert Event.objects.count() > 1
    assert out == f"{Event.objects.count():,} read: {Event.objects.count():,} accepted, 0 duplicate, 0 rejected.\n"


def test_wrong_format_is_one_sentence(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", b"time,agent\n" * 5000)

    out, err = ingest(path, error="a.csv: It does not look like native events .*Line 1: It is not JSON: invalid")

    assert (out, err) == ("0 read: 0 accepted, 0 duplicate, 0 rejected.\n", "")


def test_binary_file_is_one_sentence(tmp_path: Path) -> None:
    path = file(tmp_path, "a.bin", bytes(range(256)) * 100)

    out, err = ingest(path, error="^[^\n]*a.bin: It does not look like native events[^\n]*$")

    assert (out, err) == ("0 read: 0 accepted, 0 duplicate, 0 rejected.\n", "")


def test_one_bad_event_is_told_once(tmp_path: Path) -> None:
    path = file(tmp_path, "a.ndjson", lines(native(agent_id="")))

    out, err = ingest(path, error=f"^{path}: No record was accepted.$")

    assert out == "1 read: 0 accepted, 0 duplicate, 1 rejected.\n"
    assert err == f"{path}, line 1: agent_id: it is empty.\n"


def test_first_rejections_are_shown_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = file(tmp_path, "a.ndjson", lines(native()) + b"x\n" * 30)
    rejects = tmp_path / "rejects.txt"

    _, err = ingest(path)
    _, err_with_file = ingest(path, "--rejects", rejects)

    assert len(err.splitlines()) == 21
    assert err.splitlines()[-1] == "... and 10 more rejected; --rejects FILE writes all."
    assert err_with_file.splitlines()[-1] == f"... and 10 more rejected; all are in {rejects}."
    assert len(rejects.read_text().splitlines()) == 30
    assert rejects.read_text().splitlines()[29].startswith(f"{path}, line 31: It is not JSON")


def test_folder_gives_its_files_of_the_format(tmp_path: Path) -> None:
    (tmp_path / "2023").mkdir()
    file(tmp_path, "b.json", json.dumps([native(id="b")]).encode())
    file(tmp_path / "2023", "a.json.gz", gzip.compress(json.dumps([native(id="a")]).encode()))
    file(tmp_path, "LICENSE", b"MIT")

    out, err = ingest(tmp_path)

    assert out == "2 read: 2 accepted, 0 duplicate, 0 rejected.\n"
    assert err == "Other files of the folders, skipped: 1.\n"


def test_folder_without_such_files_says_so(tmp_path: Path) -> None:
    ingest(tmp_path, "--format", "sshd", error=r"the folder holds no file that ends in \.log, \.log\.gz\.")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--format", "xml"], f"--format: xml is unknown; it is one of {', '.join(FORMATS)}."),
        (["--time-zone", "Mars/Phobos"], "--time-zone: Mars/Phobos is unknown"),
        (["--time-zone", "../etc/passwd"], "--time-zone: "),
        (["--time-zone", ""], "--time-zone: "),
        (["--year", "17"], "--year: 17 is not a year from 2000 to"),
        (["--year", "3000"], "--year: 3000 is not a year"),
        (["--rejects", "/nowhere/at/all"], "--rejects: It cannot be opened"),
    ],
)
def test_bad_argument_is_one_sentence(tmp_path: Path, arguments: list[str], error: str) -> None:
    ingest(file(tmp_path, "a.ndjson", lines(native())), *arguments, error=error)

    assert not Event.objects.exists()


def test_bad_source_name_is_one_sentence(tmp_path: Path) -> None:
    path = file(tmp_path, "a.ndjson", lines(native()))

    with pytest.raises(CommandError, match=r"--source: a name has 1 to 100 printable characters\."):
        call_command("ingest", str(path), "--source", " ")


def test_year_and_zone_reach_the_reader(tmp_path: Path) -> None:
    line = b"Mar 27 13:06:56 web1 sshd[1]: Failed password for root from 198.51.100.7 port 1 ssh2\n"

    ingest(file(tmp_path, "a.log", line), "--format", "sshd", "--year", "2017", "--time-zone", "Asia/Tokyo")

    assert Event.objects.get().time.isoformat() == "2017-03-27T04:06:56+00:00"


def test_the_year_that_was_assumed_is_told(tmp_path: Path) -> None:
    line = b"Dec 31 00:00:01 web1 sshd[1]: Failed password for root from 198.51.100.7 port 1 ssh2\n"
    path = file(tmp_path, "a.log", line)
    out, _ = ingest(path, "--format", "sshd")

    year = Event.objects.get().time.year
    assert out == (
        "1 read: 1 accepted, 0 duplicate, 0 rejected. "
        f"The year {year} was assumed for lines without one; --year says otherwise.\n"
    )
    assert "assumed" not in ingest(path, "--format", "sshd", "--year", "2017")[0]


@needs_sshd
def test_real_log_is_ingested_once() -> None:
    arguments = [SSHD_LOG, "--format", "sshd", "--year", "2017"]

    assert ingest(*arguments)[0] == "1,268 read: 1,268 accepted, 0 duplicate, 0 rejected.\n"
    assert ingest(*arguments)[0] == "1,268 read: 0 accepted, 1,268 duplicate, 0 rejected.\n"


@needs_cloudtrail
def test_real_cloudtrail_folder_is_ingested_once() -> None:
    arguments = [CLOUDTRAIL_FOLDER, "--format", "cloudtrail"]

    out, err = ingest(*arguments)

    assert out == "2,900 read: 2,900 accepted, 0 duplicate, 0 rejected.\n"
    assert err == "Other files of the folders, skipped: 1.\n"
    assert ingest(*arguments)[0] == "2,900 read: 0 accepted, 2,900 duplicate, 0 rejected.\n"
