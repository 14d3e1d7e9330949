"""`make freshness`: how fresh live rows are at 10, 50 and 90 % of what this machine sustains, and what they cost.

python -m tests.freshness [--rate R] [--seconds N] [--no-document]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

# Before any import of the product: what runs here never meets a demo, `local up` or the tests.
os.environ.setdefault("FRAUD_WINDOWS_LOCAL_DIR", str(Path(__file__).resolve().parents[2] / ".local" / "freshness"))

import typer
from rich.console import Console

from flink_app.errors import FraudWindowsError
from tests.freshness import report
from tests.freshness.runs import SECONDS, catch_up, cost, freshness, sustained

LOADS = ((0.1, True), (0.5, True), (0.9, True), (0.5, False))  # of what is sustained; False: default bundles
COST_RATE = 1_000.0
KINDS = {"sparse": 20_000, "usual": 2_000, "hot": 50}  # customers who make COST_RATE payments a second
INTERVALS_MS = (1, 500)  # 1: every batch writes what it changed, nothing is coalesced


def main(
    rate: Annotated[float | None, typer.Option(help="Records a second that are sustained; else measured.")] = None,
    seconds: Annotated[int, typer.Option(help="Of each run.")] = SECONDS,
    document: Annotated[bool, typer.Option(help="Write docs/freshness.md and .svg.")] = True,
) -> None:
    """Freshness at three loads, and the cost of live rows, on the embedded AWS."""
    console = Console(highlight=False)
    quiet = lambda _line: None  # noqa: E731
    console.print("what is sustained …" if rate is None else f"taken as sustained: {rate:,.0f} records a second")
    top = rate or sustained(quiet)
    with_defaults = sustained(quiet, tuned=False)
    console.print(f"sustained: {top:,.0f} records a second; with PyFlink's default bundles {with_defaults:,.0f}")
    loads = []
    for share, tuned in LOADS:
        loads.append((share, tuned, freshness(share * top, quiet, tuned=tuned, seconds=seconds)))
        console.print(report.line(*loads[-1]), markup=False)
    costs = {}
    for kind, customers in KINDS.items():
        for interval_ms in INTERVALS_MS:
            found = cost(customers, min(COST_RATE, top / 3), interval_ms, quiet, seconds=seconds // 2)
            costs[kind, interval_ms] = found
            console.print(f"{kind}, every {interval_ms} ms: {found.puts.items:,} writes", markup=False)
    outage = catch_up(quiet)
    console.print(f"outage of an hour: {outage.rate:,.0f} records a second", markup=False)
    if document:
        command = " ".join([".venv/bin/python -m tests.freshness", *sys.argv[1:]]) if sys.argv[1:] else "make freshness"
        report.write(top, with_defaults, loads, costs, outage, command)
        console.print(f"written: {report.DOCUMENT.name}, {report.PLOT.name}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except FraudWindowsError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
