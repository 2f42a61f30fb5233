"""Measure the budgets and the quality of detection, and print two tables."""

import itertools
import os
import platform
import sys
import time
from argparse import ArgumentParser
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from tests.benchmarks import scratch


def main() -> int:
    """Return how many bounds are missed, as the command's exit status."""
    scratch.prepare()
    from tests.benchmarks import rows
    from tests.benchmarks.budgets import BUDGETS

    names = [*(budget.name for budget in BUDGETS), "quality"]
    parser = ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    wanted = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    missed = 0
    with scratch.database():
        lines = Table(box=None, header_style="bold")
        for title in ("Work", "Ours", "Bare", "Ratio", "Bound", ""):
            lines.add_column(title, justify="left" if title in ("Work", "") else "right")
        references = []
        for budget in BUDGETS:
            if budget.name not in wanted.only:
                continue
            began = time.monotonic()
            with console.status(f"{budget.name} …"):
                rows.empty()
                for line in budget.measure(wanted.quick):
                    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
                    verdict = "met" if line.met else "MISSED"
                    lines.add_row(line.what, line.ours, line.bare, ratio, line.bound, verdict)
                    console.print(f"{line.what}: {line.ours} {ratio} {verdict}", style="dim")
                    missed += not line.met
            console.print(f"{budget.name}: measured in {time.monotonic() - began:,.0f} s", style="dim")
            if budget.reference:
                references.append(f"{budget.name}: the bare figure is {budget.reference}.")
        if references:
            console.print(lines)
            for reference in references:
                console.print(reference, style="dim")
        if "quality" in wanted.only:
            with console.status("quality …"):
                console.print(_quality(quick=wanted.quick))
    return missed


def _quality(*, quick: bool) -> Table:
    from tests.benchmarks import quality, rows

    rows.empty()
    table = Table(box=None, header_style="bold", caption="False anomalies a day: in all, and of 1,000 series.")
    columns = ("On", "Detector", "F1", "Recall", "Precision", "Delay, min", "False a day", "of 1,000", "")
    for title in columns:
        table.add_column(title, justify="left" if title in ("On", "Detector", "") else "right")
    found = itertools.chain(
        quality.simulated_counts(series=100 if quick else 500, scenarios=2 if quick else None),
        quality.newcomers(),
        quality.organisation(agents=10 if quick else 30),
        quality.real_logs(),
        quality.tweets(),
    )
    for row in found:
        figures = (row.f1, row.recall, row.precision, row.delay_minutes, row.false_a_day)
        spelled = [_figure(value) for value in (*figures, row.false_a_day_and_1000_series)]
        table.add_row(row.on, row.detector, *spelled, row.said)
    return table


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


if __name__ == "__main__":
    sys.exit(main())
