"""`make mutants`: seeds bugs into copies of the project and demands that the suite finds each of them.

python -m tests.mutants [--only NAME …] [--jobs N] [--limit SECONDS]

Exit code 1 if a mutant survives, cannot be applied (the code has moved on), or the tests fail without any.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.workshop import Verdict, Workshop

ROOT = Path(__file__).resolve().parents[2]
_WIDTHS = {"mutant": 30, "what it breaks": 62, "killed by": 72, "s": 5}


def main(
    only: Annotated[list[str] | None, typer.Option(help="Names of mutants; all by default.")] = None,
    jobs: Annotated[int, typer.Option(help="Mutants at the same time.")] = 2,
    limit: Annotated[float, typer.Option(help="Seconds after which a mutant's tests count as never ending.")] = 180,
) -> None:
    """Seeds bugs and demands that the tests notice each of them."""
    console = Console(highlight=False, width=sum(_WIDTHS.values()) + 6)
    known = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := [name for name in only or () if name not in known]:
        console.print(f"error: no mutant {', '.join(unknown)} · known: {', '.join(known)}")
        raise typer.Exit(2)
    chosen = [known[name] for name in only or known]
    if stale := [problem for mutant in chosen if (problem := mutant.problem(ROOT))]:
        console.print(*(f"[red]✗[/] {escape(problem)}" for problem in stale), sep="\n")
        raise typer.Exit(1)
    started = time.monotonic()
    with _workshops(min(jobs, len(chosen)), limit) as workshops:
        _demand_health(workshops[0], chosen, console)
        survivors = _try_all(chosen, workshops, console)
    _row(console)
    took = time.monotonic() - started
    console.print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants killed, {took:.0f} s")
    for mutant, verdict in survivors:
        edit = escape(f"{mutant.file}: {mutant.old!r} → {mutant.new!r}")
        said = escape(verdict.output[-2_000:]) if verdict.is_error else f"survived {', '.join(mutant.killers)}"
        console.print(f"\n[red]✗ {mutant.name}[/] {edit}\n{said}")
    raise typer.Exit(1 if survivors else 0)


@contextmanager
def _workshops(count: int, limit: float) -> Iterator[list[Workshop]]:
    """As many copies of the project, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        workshops = [Workshop(ROOT, Path(folder) / str(number), limit) for number in range(count)]
        try:
            yield workshops
        finally:
            for workshop in workshops:
                workshop.stop()


def _demand_health(workshop: Workshop, chosen: list[Mutant], console: Console) -> None:
    """A test that fails without a mutant kills nothing."""
    verdict = workshop.run(tuple(dict.fromkeys(test for mutant in chosen for test in mutant.killers)))
    if verdict.failed or verdict.is_error:
        console.print(
            f"[red]✗[/] the tests fail without a mutant: {escape(verdict.by + chr(10) + verdict.output[-2_000:])}"
        )
        raise typer.Exit(1)
    _row(console, *_WIDTHS, style="bold")
    _row(console, "(none)", "all tests that follow pass", "", f"{verdict.seconds:.0f}", style="dim")


def _try_all(chosen: list[Mutant], workshops: list[Workshop], console: Console) -> list[tuple[Mutant, Verdict]]:
    """A row for each mutant as it is done; returns those that were not killed."""
    free: SimpleQueue[Workshop] = SimpleQueue()
    for workshop in workshops:
        free.put(workshop)

    def try_out(mutant: Mutant) -> Verdict:
        workshop = free.get()
        try:
            return workshop.try_out(mutant)
        finally:
            free.put(workshop)

    survivors = []
    pool = ThreadPoolExecutor(len(workshops))
    try:
        running = {pool.submit(try_out, mutant): mutant for mutant in chosen}
        for done in as_completed(running):
            mutant, verdict = running[done], done.result()
            if not verdict.failed:
                survivors.append((mutant, verdict))
            by = escape(verdict.by.removeprefix("tests/")) if verdict.failed else f"[red]{verdict.by or 'SURVIVED'}[/]"
            _row(console, mutant.name, mutant.law, by, f"{verdict.seconds:.0f}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return survivors


def _row(console: Console, *cells: str, style: str = "") -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for width in _WIDTHS.values():
        table.add_column(width=width, overflow="fold", style=style)
    table.add_row(*cells)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
