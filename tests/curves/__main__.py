"""`make curves`: what a payment costs along each axis: customers, windows, slide, disorder, distinct values.

python -m tests.curves [--events N] [--part customers|windows|…|restore …] [--backend rocksdb]
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from tests.curves import report
from tests.curves.axes import AXES
from tests.curves.measure import measure, restore
from tests.curves.measured import Measured, load
from tests.measuring import given_command, start

RESTORE = "restore"
PARTS = (*AXES, RESTORE)
RESTORES = (10_000, 100_000, 300_000, 1_000_000)  # events in the log


def _known(names: list[str] | None) -> list[str] | None:
    if unknown := set(names or ()) - set(PARTS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    return names


def main(
    events: Annotated[int, typer.Option(help="Payments for each point.")] = 500_000,
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"Only these of {', '.join(PARTS)}; of the others what was found last.", callback=_known),
    ] = None,
    backend: Annotated[str, typer.Option(help="rocksdb, as on the managed service, or heap.")] = "rocksdb",
) -> None:
    """Time, memory and state against what a stream and its windows are like; writes docs/curves.md and .svg."""
    console = Console(highlight=False)
    found = load(events, backend) if part else Measured(events, backend)
    found.commands.append(given_command("curves"))
    for name in part or PARTS:
        _restores(found, console) if name == RESTORE else _curve(found, name, console)
    report.write(found)
    console.print(f"written: {report.DOCUMENT.name}, {report.PLOT.name}")


def _curve(found: Measured, name: str, console: Console) -> None:
    axis = AXES[name]
    found.curves[name] = []
    for value in axis.values:
        run = measure(axis.load(value), found.events, found.backend, console.print)
        found.curves[name].append((value, run))
        found.save()
        console.print(
            f"{axis.name} {value:g}: {1e6 / run.steady_rate:.1f} µs/event, {run.cpu:.1f} CPU µs/event,"
            f" {run.rows_final / run.events:.2f} rows/event, checkpoint {run.state_mb:.0f} MB"
        )


def _restores(found: Measured, console: Console) -> None:
    found.restores = []
    for number in RESTORES:
        found.restores.append(restore(number))
        found.save()
        console.print(f"restore of {found.restores[-1].events:,} events: {found.restores[-1].seconds:.2f} s")


if __name__ == "__main__":
    start(main)
