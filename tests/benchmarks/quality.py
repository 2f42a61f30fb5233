"""How well detection does where the truth is known, beside other detectors: rows of the table of quality.

Peers run with their defaults in environments of their own that `uv` makes; none is a dependency. One that cannot be
installed or run has a row that says so.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np
from django.core.management import call_command
from django.db import connection
from numpy.typing import NDArray

from anomalies.detection import interval
from anomalies.detection.detectors import rate_spike
from anomalies.detection.history import HOUR
from anomalies.ingest.simulated import Organisation
from anomalies.models import Anomaly, Scan, Severity
from anomalies.services import evaluations, events, scans
from tests.benchmarks import method, rows

DATA = Path(__file__).parents[3] / "shared" / "data"
TRUTH = Path(__file__).parents[1] / "truth"
PEERS = ("adtk", "stumpy", "pyod")
PEER_SECONDS = 600  # to install a peer and to run it on one month
ACTIONS_AN_HOUR, FAILING_SHARE, NIGHT = 50, 0.2, (22, 6)  # Grantex's published thresholds, hours in UTC

# Of every agent and hour: its actions, and those that failed.
_HOURS = """
SELECT agent_id, extract(epoch FROM date_bin('1 hour', time, TIMESTAMPTZ '2000-01-01 00:00:00+00'))::bigint / 3600,
       count(*), count(*) FILTER (WHERE status <> 'success')
FROM anomalies_event GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one detector on one thing; None where there is none. `said`: instead of figures, why not."""

    on: str
    detector: str
    f1: float | None = None
    recall: float | None = None
    precision: float | None = None
    delay_minutes: float | None = None
    false_a_day: float | None = None
    false_a_day_and_1000_series: float | None = None
    said: str = ""


def simulated_counts(
    *, series: int = 500, days: int = 30, peers: tuple[str, ...] = PEERS, scenarios: int | None = None
) -> Iterator[Row]:
    """Hold rate_spike and peers against months of hourly counts with spikes, of which each says where they are."""
    for scenario in method.SCENARIOS[:scenarios]:
        made = method.month(scenario, series=series, days=days, spikes=series * 2 // 5)
        on = f"counts: {scenario.name}"
        ours = rate_spike.detect(made.history, rate_spike.Config())
        yield _of_figures(on, "ours", made, method.measure(made, ours))
        counts = np.asarray(made.history.hours.requests)
        warm = counts[:, : 24 * method.WARM_UP_DAYS]
        sigma = counts > (warm.mean(axis=1) + 3 * warm.std(axis=1))[:, None]
        yield _of_figures(on, "3 sigma", made, _flagged(made, sigma))
        yield _of_figures(on, "Grantex: 50 an hour", made, _flagged(made, counts > ACTIONS_AN_HOUR))
        for peer in peers:
            flags, error = _flags(peer, counts)
            if flags is None:
                yield Row(on, peer, said=error)
            else:
                yield _of_figures(on, peer, made, _flagged(made, flags))


def newcomers(*, groups: int = 40) -> Iterator[Row]:
    """Hold rate_spike against the first days of agents, with what their groups do and without."""
    made = method.newcomers(groups=groups)
    for what, peers in {"of a group": made.history.peers, "of none": {}}.items():
        found = rate_spike.detect(replace(made.history, peers=peers), rate_spike.Config())
        yield _of_figures(f"counts: newcomers {what}", "ours", made, method.measure(made, found))


@dataclass(frozen=True, slots=True)
class _Flagged:
    """As much of a finding as is measured."""

    entity: str
    start: float
    end: float
    raised_at: float


def _flagged(made: method.Month, flags: NDArray[np.bool_]) -> method.Figures:
    start, judged = made.history.hours.start, 24 * method.WARM_UP_DAYS
    found = [
        _Flagged(entity, start + HOUR * (judged + a), start + HOUR * (judged + b + 1), start + HOUR * (judged + a + 1))
        for entity, row in zip(made.history.entities, flags[:, judged:], strict=True)
        for a, b in interval.runs(row, row)
    ]
    return method.measure(made, found)  # type: ignore[arg-type]  # it measures these four


def _flags(peer: str, counts: NDArray[np.int32]) -> tuple[NDArray[np.bool_] | None, str]:
    """Run a peer where only it is installed, and return its flags, or None and why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, counts=counts)
        script = [str(Path(__file__).with_name("peer.py")), peer, str(given), str(out)]
        command = ["uv", "run", "--isolated", "--no-project", "--with", peer, "python", *script]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PEER_SECONDS)
        except FileNotFoundError:
            return None, "there is no uv to install it"
        except subprocess.TimeoutExpired:
            return None, f"not done after {PEER_SECONDS} s"
        if done.returncode:
            return None, f"does not run here: {(done.stderr.strip().splitlines() or ['no word'])[-1][:80]}"
        with np.load(out) as saved:
            return saved["flags"], ""


def _of_figures(on: str, detector: str, made: method.Month, figures: method.Figures) -> Row:
    delay = figures.median_delay_seconds
    days = made.series_days / len(made.history.entities)
    return Row(
        on,
        detector,
        figures.f1,
        figures.recall,
        figures.precision,
        None if delay is None else delay / 60,
        figures.false / days,
        figures.false_a_day,
    )


def organisation(*, days: int = 30, agents: int = 30) -> Iterator[Row]:
    """Hold all types of anomalies against a simulated organisation's incidents of all kinds.

    Only the second half counts: until then detectors learn what is usual.
    """
    for name, dispersion in {"Poisson": 0.0, "over-dispersed": 0.1}.items():
        made = Organisation(agents=agents, dispersion=dispersion, zone="UTC")
        end = rows.TODAY
        start = end - timedelta(days=days)
        coming = made.events(start, end)
        for _ in events.store_in_batches(coming, source_name="simulated", format="native", received_at=end):
            pass
        truth = {"windows": [incident.window() for incident in made.incidents(start, end)]}
        yield from _against(
            f"organisation: {name}", evaluations.read_truth(msgspec.json.encode(truth)), since=end - (end - start) / 2
        )


def real_logs() -> Iterator[Row]:
    """Hold detection against the known attacks in logs of sshd and CloudTrail."""
    logs: Mapping[str, tuple[Path, list[str], Path]] = {
        "sshd": (DATA / "sshd", ["--format=sshd", "--year=2017"], DATA / "sshd" / "known_windows.json"),
        "cloudtrail": (DATA / "cloudtrail", ["--format=cloudtrail"], TRUTH / "cloudtrail.json"),
    }
    for name, (folder, options, truth) in logs.items():
        if not folder.is_dir():
            yield Row(name, "ours", said="skipped: its log is not there, ../shared/data")
            continue
        files = [folder] if name == "cloudtrail" else sorted(folder.glob("*.log"))
        call_command("ingest", *map(str, files), *options, f"--source={name}", stdout=StringIO(), stderr=StringIO())
        yield from _against(name, evaluations.read_truth(truth.read_bytes()))


def tweets() -> Iterator[Row]:
    """Hold rate_spike and 3 sigma against the tweets of NAB."""
    if not (DATA / "nab").is_dir():
        yield Row("NAB tweets", "ours", said="skipped: its series are not there, ../shared/data")
        return
    files = method.nab(DATA / "nab")
    windows = sum(file.windows for file in files)
    for detector, found, false in (
        ("ours", sum(file.found for file in files), sum(file.false for file in files)),
        ("3 sigma", sum(file.sigma_found for file in files), sum(file.sigma_false for file in files)),
    ):
        yield Row("NAB tweets", detector, recall=found / windows, said=f"{false} false in {len(files)} files")


def _against(on: str, windows: list[evaluations.Window], since: datetime | None = None) -> Iterator[Row]:
    """Judge what is stored, by ours and by Grantex's thresholds, and take it away; anomalies since then count."""
    try:
        scans.replay(now=datetime.now(UTC))
        yield _of_evaluation(on, "ours", evaluations.evaluate(windows, since=since))
        rows.empty(["anomalies_anomaly"])
        _grantex()
        yield _of_evaluation(on, "Grantex's thresholds", evaluations.evaluate(windows, since=since))
    finally:
        rows.empty()


def _grantex() -> None:
    """Raise what fixed thresholds find in each agent's hours, one anomaly for hours that follow each other."""
    scan = Scan.objects.latest("id")
    with connection.cursor() as cursor:
        cursor.execute(_HOURS)
        hours = cursor.fetchall()
    late, early = NIGHT
    rules = {
        "rate_spike": lambda hour, n, failed: n > ACTIONS_AN_HOUR,
        "high_failure_rate": lambda hour, n, failed: failed > FAILING_SHARE * n,
        "off_hours_activity": lambda hour, n, failed: hour % 24 >= late or hour % 24 < early,
    }
    raised = []
    for type_, rule in rules.items():
        hot = [(agent, hour) for agent, hour, n, failed in hours if rule(hour, n, failed)]
        for (agent, _), run in groupby(enumerate(hot), key=lambda at: (at[1][0], at[1][1] - at[0])):
            spanned = [hour for _, (_, hour) in run]
            first, last = (datetime.fromtimestamp(3600 * hour, UTC) for hour in (spanned[0], spanned[-1]))
            raised.append(_anomaly(scan, type_, agent, first, last + timedelta(hours=1)))
    Anomaly.objects.bulk_create(raised)


def _anomaly(scan: Scan, type_: str, agent: str, start: datetime, end: datetime) -> Anomaly:
    seen = start + timedelta(hours=1)
    return Anomaly(
        fingerprint=f"{type_} {agent} {start:%Y%m%d%H}"[-64:],
        type=type_,
        severity=Severity.LOW,
        score=0,
        description="",
        kind="agent",
        entity=agent,
        agent_id=agent,
        state=Anomaly.State.CLOSED,
        started_at=start,
        active_until=end,
        ended_at=end,
        detected_at=seen,
        updated_at=seen,
        evidence={},
        scan=scan,
    )


def _of_evaluation(on: str, detector: str, found: evaluations.Evaluation) -> Row:
    delay = found.median_delay
    return Row(
        on,
        detector,
        found.f1,
        found.recall,
        found.precision,
        None if delay is None else delay.total_seconds() / 60,
        found.false_a_day if found.days >= 1 else None,
        found.false_a_day_and_1000_series,
    )
