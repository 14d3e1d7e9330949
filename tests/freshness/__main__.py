"""`make freshness`: how fresh live rows are at 10, 50 and 90 % of what is sustained, what they cost, and catch-up.

python -m tests.freshness [--part loads|hops|costs|outage …] [--seconds N]
"""

from __future__ import annotations

import os
import statistics
from enum import StrEnum
from pathlib import Path
from typing import Annotated

# Before any import of the product: what runs here never meets a demo, `local up` or the tests.
os.environ.setdefault("FRAUD_WINDOWS_LOCAL_DIR", str(Path(__file__).resolve().parents[2] / ".local" / "freshness"))

import typer
from rich.console import Console

from tests.freshness import report
from tests.freshness.measured import Measured, load
from tests.freshness.runs import SECONDS, catch_up, cost, freshness, hops, sustained
from tests.measuring import given_command, start

LOADS = ((0.1, True), (0.5, True), (0.9, True), (0.5, False))  # of what is sustained; False: default bundles
KINDS = {  # customers and payments a second, so few that the embedded table can take all rows at once
    "sparse: one in 20 s": (2_000, 100.0),
    "usual: one in 2 s": (500, 250.0),
    "hot: 20 a second": (20, 400.0),
}
INTERVALS_MS = (1, 500)  # 1: every batch writes what it changed, nothing is coalesced


class Part(StrEnum):
    """What can be measured apart."""

    LOADS = "loads"
    HOPS = "hops"
    COSTS = "costs"
    OUTAGE = "outage"


def main(
    part: Annotated[list[Part] | None, typer.Option(help="Only these; of the others what was found last.")] = None,
    seconds: Annotated[int, typer.Option(help="Of each run.")] = SECONDS,
) -> None:
    """Freshness at three loads, the cost of live rows, and an outage made up, on the embedded AWS."""
    console = Console(highlight=False)
    found = load() if part else Measured()
    found.commands.append(given_command("freshness"))
    measures = {Part.LOADS: _loads, Part.HOPS: _hops, Part.COSTS: _costs, Part.OUTAGE: _outage}
    for each in part or list(Part):
        measures[each](found, seconds, console)
        found.save()
    if found.is_whole:
        report.write(found)
        console.print(f"written: {report.DOCUMENT.name}, {report.PLOT.name}")


def _loads(found: Measured, seconds: int, console: Console) -> None:
    console.print("what is sustained …")
    found.sustained = sustained(_quiet)
    found.defaults = sustained(_quiet, tuned=False)
    console.print(f"{found.sustained:,.0f} records a second; with PyFlink's default bundles {found.defaults:,.0f}")
    found.loads = []
    for share, tuned in LOADS:
        found.loads.append((share, tuned, freshness(share * found.sustained, _quiet, tuned=tuned, seconds=seconds)))
        console.print(report.line(*found.loads[-1]), markup=False)


def _hops(found: Measured, seconds: int, console: Console) -> None:
    found.hops = hops(_quiet, seconds=seconds)
    for name, taken in found.hops.items():
        console.print(f"{name}: {statistics.median(taken):,.0f} ms, the median of {len(taken):,}", markup=False)


def _costs(found: Measured, seconds: int, console: Console) -> None:
    found.costs = []
    for kind, (customers, rate) in KINDS.items():
        for interval_ms in INTERVALS_MS:
            found.costs.append((kind, cost(customers, rate, interval_ms, _quiet, seconds=seconds)))
            run = found.costs[-1][1]
            told = f"{run.counted:,} payments, {run.live_rows:,} live rows, {run.items:,} writes"
            console.print(f"{kind}, every {interval_ms} ms: {told}", markup=False)


def _outage(found: Measured, _seconds: int, console: Console) -> None:
    found.outage = catch_up(_quiet)
    console.print(f"outage of an hour: {found.outage.rate:,.0f} records a second", markup=False)


def _quiet(_line: str) -> None:
    pass


if __name__ == "__main__":
    start(main)
