"""manage.py simulate: a month in a file, and what is wrong in it in another."""

import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from anomalies.ingest import native
from anomalies.ingest.record import EventRecord, ReadOptions
from anomalies.services import evaluations

UNTIL = "2026-11-20T12:00:00Z"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _simulate(out: Path, *arguments: str) -> str:
    told = io.StringIO()
    call_command("simulate", "--out", str(out), "--until", UNTIL, "--agents", "4", *arguments, stdout=told)
    return told.getvalue()


def test_what_is_written_can_be_ingested_and_the_figures_say_how_much_it_is(tmp_path: Path) -> None:
    out = tmp_path / "month.ndjson"
    told = _simulate(out, "--days", "3", "--seed", "5")
    with out.open("rb") as file:
        records = list(native.read(file, ReadOptions(now=NOW)))
    assert all(isinstance(record, EventRecord) for record in records)
    assert told.startswith(f"{len(records):,} events of 4 agents from 2026-11-17 12:00 to 2026-11-20 12:00 UTC, ")


def test_the_truth_is_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "month.ndjson.gz"
    told = _simulate(out, "--days", "20")
    windows = evaluations.read_truth((tmp_path / "month.ndjson.gz.truth.json").read_bytes())
    assert f", {len(windows):,} incidents." in told
    assert len(windows) >= 9
    assert all(window.type and window.named for window in windows)


def test_gz_is_compressed_and_the_same_month_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz", "c"):
        _simulate(tmp_path / name, "--days", "1")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == (tmp_path / "c").read_bytes()


def test_standard_output_holds_events_only(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    call_command("simulate", "--out", "-", "--days", "1", "--until", UNTIL, "--agents", "2")
    lines = capsysbinary.readouterr().out.splitlines()
    assert len(lines) > 10
    assert all(json.loads(line)["time"] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--days", "0"], "--days: 1 to 3,650, not 0"),
        (["--agents", "0"], "--agents: 1 to 10,000, not 0"),
        (["--seed", "-2"], "--seed: 0 or more"),
        (["--volume", "-1"], "--volume: 0 to 1,000"),
        (["--dispersion", "nan"], "--dispersion: 0 to 1,000"),
        (["--until", "yesterday"], "--until: 'yesterday' is no ISO 8601 time"),
    ],
)
def test_a_bad_argument_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        _simulate(tmp_path / "x", *arguments)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--out: .* cannot be written: No such file or directory"):
        _simulate(tmp_path / "missing" / "x", "--days", "1")
