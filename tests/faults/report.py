"""The grid as a person reads it: a line a cell on the console as it goes, a table in docs/faults.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from flink_app.local.places import ROOT
from tests.faults.grid import FAULTS, Cell
from tests.faults.laws import LAWS
from tests.faults.scene import CUSTOMERS, RATE, SPEED, TROUBLE

_TEXT = """# Faults

Written by `make faults FAULTS=--write`; do not edit. A part of the grid (`--only`, `--seeds`) replaces its own rows,
the others stay: each row names the commit that it was measured at (+: with changes on top).

A run is {payments},
as long as it takes, two parallel subtasks, checkpoints every 3 s. Time in the stream runs {speed} times as fast as the
wall clock: windows become final before, while and after the fault hits. Everything is injected from outside: signals,
process limits, Flink's REST interface, and a proxy between the job and its AWS endpoint. Judged is what was stored,
after a drained stop:

{laws}

Faults of one run (its name is in the table) hit the same job, one after the other, and share its verdict; a run that
breaks a law is played again fault by fault. Law 7 (the same rows as Flink SQL in batch mode) and law 8 (state ends)
have tests of their own.

Recovery is the time from the injection, the fault's own length included, to the end of the first checkpoint that began
after its last hit: barriers have passed source, gate, windows and all sinks. Machine: {machine}, shared with
other work; most of a restart is Python workers that start.

| fault | injected | seed, state, run | laws | proof that it hit | restarts | recovery | commit |
|---|---|---|---|---|---|---|---|
"""
_WIDE, _LAW = 28, 13


def header(console: Console) -> None:
    """What the columns are."""
    laws = "".join(f"{law:<{_LAW}}" for law in LAWS)
    console.print(f"[bold]{'fault':<{_WIDE}}seed  {laws}{'restarts':>8}{'recovery':>10}[/]")


def lines(console: Console, cells: Sequence[Cell]) -> None:
    """The cells of a run: laws and proof of each, then the run's figures and what broke."""
    for cell in cells:
        name = f"{cell.fault:<{_WIDE}}{cell.seed:>4}  "
        if cell.skipped:
            console.print(f"{name}[yellow]skipped: {escape(cell.skipped)}[/]")
            continue
        marks = "".join(_mark(cell, law) for law in LAWS)
        console.print(f"{name}{marks}{cell.restarts:>8}{_seconds(cell.recovery_s):>10}")
        console.print(f"  [dim]{escape(cell.proof)}[/]" if cell.proof else "  [bold red]did not hit[/]")
    last = cells[-1]
    if last.error:
        console.print(f"  [bold red]{escape(last.error)}[/]")
    if last.verdict:
        left = ", ".join(f"{name} {count:,}" for name, count in last.verdict.exits.items() if count)
        again = f", {last.verdict.revised:,} issued again" if last.verdict.revised else ""
        run = f"run '{last.run}'" if last.run else "its run"
        console.print(f"  [dim]{run} on {last.backend}: {left}; {last.verdict.final_rows:,} final rows{again}[/]")
        for law, problems in last.verdict.broken.items():
            for problem in problems:
                console.print(f"  [red]{law}: {escape(problem)}[/]")


def _mark(cell: Cell, law: str) -> str:
    if cell.verdict is None:
        return f"[red]{'?':<{_LAW}}[/]"
    broken = bool(cell.verdict.broken[law])
    return f"[{'bold red' if broken else 'green'}]{'broken' if broken else 'held':<{_LAW}}[/]"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f} s"


def summary(console: Console, cells: Sequence[Cell]) -> None:
    """The last line."""
    played = [cell for cell in cells if not cell.skipped]
    bad = [f"{cell.fault} ({cell.seed})" for cell in played if not cell.holds]
    skipped = f", {len(cells) - len(played)} skipped" if len(cells) > len(played) else ""
    if bad:
        console.print(f"[bold red]{len(bad)} of {len(played)} cells broken{skipped}: {', '.join(bad)}[/]")
    else:
        console.print(f"[bold green]{len(played)} cells, every fault hit, every law held{skipped}[/]")


def write(path: Path, cells: Iterable[Cell]) -> None:
    """docs/faults.md: the measured table, and what its words mean; rows of other faults and seeds stay as they are."""
    about = {fault.name: fault.about for fault in FAULTS}
    rows = _rows(path)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    for cell in cells:
        how = ", ".join(part for part in (str(cell.seed), cell.backend, cell.run) if part)
        columns = [cell.fault, about[cell.fault], how, _outcome(cell), _clean(cell.proof), str(cell.restarts)]
        rows[cell.fault, cell.seed] = f"| {' | '.join([*columns, _seconds(cell.recovery_s), commit])} |"
    order = list(about)
    text = _TEXT.format(
        laws="\n".join(f"- **{law}**: {meaning}" for law, meaning in LAWS.items()),
        payments=f"{RATE:g} payments a second of {CUSTOMERS} customers ({_shares()})",
        speed=SPEED,
        machine=f"{os.cpu_count()} cores, {platform.machine()}",
    )
    known = sorted((key for key in rows if key[0] in about), key=lambda key: (key[1], order.index(key[0])))
    path.write_text(text + "".join(f"{rows[key]}\n" for key in known))


def _rows(path: Path) -> dict[tuple[str, int], str]:
    """(fault, seed) -> its row in the document."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        match line.strip("| ").split(" | "):
            case [fault, _, how, *_] if how.partition(",")[0].isdigit():
                rows[fault, int(how.partition(",")[0])] = line
    return rows


def _outcome(cell: Cell) -> str:
    if cell.skipped:
        return f"skipped: this machine lacks {cell.skipped}"
    if cell.verdict is None:
        return "**no end**"
    broken = [law for law, problems in cell.verdict.broken.items() if problems]
    if broken:
        return f"**broken: {', '.join(broken)}**"
    notes = [f"{cell.verdict.revised:,} rows issued again"] if cell.verdict.revised else []
    notes += [f"{closed:,} window_closed"] if (closed := cell.verdict.exits["window_closed"]) else []
    return "all held" + (f" ({', '.join(notes)})" if notes else "")


def _clean(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or "**did not hit**"


def _shares() -> str:
    return ", ".join(f"{share:.0%} {name.replace('_', ' ')}" for name, share in vars(TROUBLE).items())
