"""`make curves`: what a payment costs along each axis: customers, windows, slide, disorder, distinct values.

python -m tests.curves [--events N] [--axis NAME …] [--backend rocksdb] [--restores N …] [--no-document]
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from flink_app.errors import FraudWindowsError
from flink_app.local.places import ROOT
from tests.bench.result import Result
from tests.curves import report
from tests.curves.axes import AXES
from tests.curves.measure import Restore, measure, restore

_RESTORES = (10_000, 100_000, 300_000, 1_000_000)


def main(
    events: Annotated[int, typer.Option(help="Payments for each point.")] = 500_000,
    axis: Annotated[list[str] | None, typer.Option(help=f"{', '.join(AXES)}; all by default.")] = None,
    backend: Annotated[str, typer.Option(help="rocksdb, as on the managed service, or heap.")] = "rocksdb",
    restores: Annotated[
        list[int] | None, typer.Option(help="Events in the log that is restored; 10 thousand to a million by default.")
    ] = None,
    document: Annotated[bool, typer.Option(help="Write docs/curves.md and .svg.")] = True,
) -> None:
    """Time, memory and state against what a stream and its windows are like."""
    console = Console(highlight=False)
    curves: dict[str, list[tuple[float, Result]]] = {}
    for name in axis or AXES:
        curves[name] = []
        for value in AXES[name].values:
            run = measure(AXES[name].load(value), events, backend, console.print)
            curves[name].append((value, run))
            console.print(
                f"{AXES[name].name} {value:g}: {1e6 / run.steady_rate:.1f} µs/event, {run.cpu:.1f} CPU µs/event,"
                f" {run.rows_final / events:.2f} rows/event, checkpoint {run.state_mb:.0f} MB"
            )
    restored: list[Restore] = []
    for number in restores or _RESTORES:
        restored.append(restore(number))
        console.print(f"restore of {restored[-1].events:,} events: {restored[-1].seconds:.2f} s")
    if document:
        command = " ".join([".venv/bin/python -m tests.curves", *sys.argv[1:]]) if sys.argv[1:] else "make curves"
        report.write(curves, restored, events, backend, command)
        console.print(f"written: {report.DOCUMENT.relative_to(ROOT)}, {report.PLOT.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except FraudWindowsError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
