"""`make bench`: the job beside its peers, on the same payments, in the same hour.

python -m tests.bench [--events N] [--rounds N] [--backend heap --backend rocksdb] [--parallelism 1 --parallelism 2]
                      [--contender NAME …] [--limit SECONDS] [--merge] [--no-profile] [--no-document]
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from flink_app.local.places import ROOT
from tests.bench import flame, plot, report
from tests.bench.agreement import compare, lines_out, rows_out
from tests.bench.contenders import CONTENDERS, NO_BACKEND, Contender, FlinkContender, peers_python
from tests.bench.findings import Findings
from tests.bench.payload import Payload, payload
from tests.bench.process_race import race_process
from tests.bench.race import race
from tests.bench.result import Result, Setting
from tests.bench.stages import Profile, profile, recorded_stacks
from tests.bench.truth import oracle_rows
from tests.measuring import given_command, start


def main(
    events: Annotated[int, typer.Option(help="Payments.")] = 2_000_000,
    rounds: Annotated[int, typer.Option(help="Runs of each contender, in turn.")] = 1,
    backend: Annotated[list[str] | None, typer.Option(help="heap, rocksdb; both by default.")] = None,
    parallelism: Annotated[list[int] | None, typer.Option(help="1, 2, …; 1 by default.")] = None,
    contender: Annotated[list[str] | None, typer.Option(help=f"{', '.join(CONTENDERS)}; all by default.")] = None,
    limit: Annotated[float, typer.Option(help="Seconds until a run is stopped, for all rounds.")] = 200,
    merge: Annotated[bool, typer.Option(help="Keep what was measured before and is not now.")] = False,
    profiled: Annotated[bool, typer.Option("--profile/--no-profile", help="Profile runs at the end.")] = True,
    document: Annotated[bool, typer.Option(help="Write docs/benchmark.md and .svg.")] = True,
) -> None:
    """Events per second and CPU per event of the job, beside others doing the same."""
    console = Console(highlight=False)
    chosen = [CONTENDERS[name] for name in contender or CONTENDERS]
    settings = _settings(chosen, backend or ["heap", "rocksdb"], parallelism or [1], events, limit, console)
    earlier, commands = Findings.load() if merge else Findings(), [given_command("bench")]
    runs: list[Result] = []
    counted: dict[int, str] = {}
    for number in range(rounds):
        for setting in settings:
            if _was_stopped(setting, runs):
                continue  # stopped once more it would give the same bound once more
            timed = race if isinstance(setting.contender, FlinkContender) else race_process
            result, told = _judged(setting, timed(setting, console.print), console)
            runs.append(result)
            Findings(runs, [], commands, counted).beside(earlier).save()
            if told:
                counted[setting.payload.events] = told
            state = "rows are the oracle's" if result.finished else "STOPPED at the limit"
            rates = f"{result.cold_rate:,.0f} events/s, warm {result.steady_rate:,.0f}"
            console.print(
                f"round {number + 1}, {report.name_of(result)}: {result.cold_seconds:.1f} s, {rates}, {state}"
            )
    profiles: list[Profile] = []
    for setting in settings if profiled else ():
        if setting.contender in (CONTENDERS["job"], CONTENDERS["native"]):
            console.print(f"profile of {setting.title} …")
            profiles.append(profile(setting))
    found = Findings(runs, profiles, commands, counted).beside(earlier)
    found.save()
    report.show(runs, console)
    if document:
        report.write_document(found, payload(events))
        plot.draw(found.runs)
        for setting in settings if profiled else ():
            if setting.title == "job, rocksdb" and setting.parallelism == 1:
                for stacks, kind in zip(recorded_stacks(setting), ("jvm", "python"), strict=True):
                    flame.draw(stacks, f"{setting.title}, {kind}", report.DOCUMENT.with_name(f"flame-{kind}.svg"))
        console.print(f"written: {report.DOCUMENT.relative_to(ROOT)}, {plot.PLOT.relative_to(ROOT)}")


def _settings(
    chosen: list[Contender], backends: list[str], parallelisms: list[int], events: int, limit: float, console: Console
) -> list[Setting]:
    """All runs of a round in their order; makes what they read, so that nobody's clock runs meanwhile."""
    console.print("payments and the oracle's rows of them: made once, about three minutes for a million …")
    settings = []
    for number, parallelism in enumerate(sorted(parallelisms)):
        for backend in [*backends, NO_BACKEND]:
            for one in chosen:
                if backend in one.backends and (one.scales or not number):
                    pay = _prepared(one, min(events, one.most or events), parallelism)
                    settings.append(Setting(one, pay, backend, parallelism if one.scales else 1, limit))
    return settings


def _prepared(contender: Contender, events: int, parallelism: int) -> Payload:
    pay = payload(events)
    oracle_rows(pay)
    pay.shards(parallelism)
    if contender == CONTENDERS["spark"]:
        pay.batches()
        peers_python()
    return pay


def _was_stopped(setting: Setting, runs: list[Result]) -> bool:
    """Whether it did not come to its end in an earlier round."""
    mine = (setting.title, setting.parallelism)
    return any((run.title, run.parallelism) == mine and not run.finished for run in runs)


def _judged(setting: Setting, result: Result, console: Console) -> tuple[Result, str]:
    """The result with its rows counted, and how many there are; a time counts if all rows are the oracle's.

    The files are deleted.
    """
    if not result.finished:
        return result, ""
    told = ""
    for folder, layout in setting.contender.layouts.items():
        agreement = compare(setting.output / folder, layout, oracle_rows(setting.payload))
        if not agreement.is_equal:
            missing, more = agreement.only_second, agreement.only_first
            console.print(f"{setting.title}: {more} rows ({layout}) are not the oracle's, {missing} are missing")
            console.print(*agreement.examples, sep="\n")
            raise typer.Exit(1)
        told = ", ".join(f"{name} {count:,} rows" for name, count in agreement.rows.items())
        if layout == "changelog":
            result = replace(result, rows_live=lines_out(setting.output / folder))
        else:
            result = replace(result, rows_final=sum(agreement.rows.values()))
    if (setting.output / "account").exists():
        live, final = rows_out(setting.output, setting.payload.truth)
        result = replace(result, rows_live=live, rows_final=final)
    shutil.rmtree(setting.output)
    return result, told


if __name__ == "__main__":
    start(main)
