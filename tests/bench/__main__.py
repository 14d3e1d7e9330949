"""`make bench`: the job beside native Flink SQL, on the same payments, in the same hour.

python -m tests.bench [--events N] [--rounds N] [--backend heap --backend rocksdb] [--limit SECONDS] [--no-profile]
"""

from __future__ import annotations

import shutil
import sys
from typing import Annotated

import typer
from rich.console import Console

from flink_app.errors import FraudWindowsError
from flink_app.local.places import ROOT
from tests.bench import report
from tests.bench.agreement import compare
from tests.bench.contenders import CONTENDERS
from tests.bench.payload import payload
from tests.bench.race import Result, output_of, race
from tests.bench.stages import Profile, profile


def main(
    events: Annotated[int, typer.Option(help="Payments.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(help="Runs of each contender, in turn.")] = 1,
    backend: Annotated[list[str] | None, typer.Option(help="heap, rocksdb; both by default.")] = None,
    contender: Annotated[list[str] | None, typer.Option(help=f"{', '.join(CONTENDERS)}; all by default.")] = None,
    limit: Annotated[float, typer.Option(help="Seconds after which a run is stopped.")] = 600,
    profiled: Annotated[bool, typer.Option("--profile/--no-profile", help="Profile runs at the end.")] = True,
) -> None:
    """Events per second and CPU per event of the job, beside Flink SQL doing the same."""
    console = Console(highlight=False)
    backends = backend or ["heap", "rocksdb"]
    chosen = [CONTENDERS[name] for name in contender or CONTENDERS]
    console.print(f"{events:,} payments (made once, about 20 s for a million) …")
    pay = payload(events)
    results: list[Result] = []
    agreement = ""
    for number in range(rounds):
        first = len(results)
        for on in backends:
            for one in chosen:
                result = race(one, on, pay, limit, console.print)
                results.append(result)
                state = "" if result.finished else ", STOPPED at the limit"
                rates = f"{result.job_rate:,.0f} events/s, steady {result.steady_rate:,.0f}"
                console.print(f"round {number + 1}, {on}, {one.name}: {result.job_seconds:.1f} s, {rates}{state}")
        agreement = _compare([r for r in results[first:] if r.finished], events, console)
    profiles: list[Profile] = []
    if profiled:
        for on in backends:
            for name in ("job", "native") if on == "heap" else ("job",):
                console.print(f"profile of {name} on {on} …")
                profiles.append(profile(CONTENDERS[name], on, pay, limit))
    report.save(results, profiles)
    report.show(results, console)
    given = " ".join(sys.argv[1:])
    command = f".venv/bin/python -m tests.bench {given}".strip() if given else "make bench"
    report.write_document(results, profiles, pay, command, agreement)
    console.print(f"written: {report.DOCUMENT.relative_to(ROOT)}")


def _compare(finished: list[Result], events: int, console: Console) -> str:
    """All that finished, on every backend, must have the same final rows; says what was compared, deletes the files."""
    named = {one.name: one for one in CONTENDERS.values()}
    outputs = {
        f"{r.contender} on {r.backend}": output_of(named[r.contender], r.backend, events) / "features" for r in finished
    }
    first, *others = outputs
    told = f"nobody to compare {first} with"
    for other in others:
        agreement = compare(outputs[first], outputs[other])
        if not agreement.is_equal:
            console.print(f"{first} and {other} do not agree", *agreement.examples, sep="\n")
            raise typer.Exit(1)
        counts = ", ".join(f"{name} {count:,} rows" for name, count in agreement.rows.items())
        told = f"{', '.join(outputs)} agree ({counts})"
    console.print(told)
    for folder in outputs.values():
        shutil.rmtree(folder)
    return told


if __name__ == "__main__":
    try:
        typer.run(main)
    except FraudWindowsError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
