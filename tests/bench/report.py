"""The figures as a table on the screen, and as docs/benchmark.md."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import string
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flink_app.local.places import ROOT
from tests.bench.payload import BENCH, CUSTOMERS, RATE, SEED, Payload
from tests.bench.race import Result
from tests.bench.stages import Profile

DOCUMENT = ROOT / "docs" / "benchmark.md"
_NATIVE = "native Flink SQL"

Measure = Callable[[Result], float]
_MEASURES: tuple[tuple[str, Measure, str], ...] = (
    ("wall, s", lambda r: r.job_seconds, ".1f"),
    ("events/s", lambda r: r.job_rate, ",.0f"),
    ("events/s, steady", lambda r: r.steady_rate, ",.0f"),
    ("CPU s per M events: JVM", lambda r: r.jvm_cpu_seconds / r.events * 1e6, ".1f"),
    ("CPU s per M events: Python", lambda r: r.python_cpu_seconds / r.events * 1e6, ".1f"),
    ("CPU s per M events: JVM, steady", lambda r: r.steady_jvm_seconds / r.events * 1e6, ".1f"),
    ("CPU s per M events: Python, steady", lambda r: r.steady_python_seconds / r.events * 1e6, ".1f"),
    ("rows out per event: live", lambda r: r.rows_live / r.events, ".2f"),
    ("rows out per event: final", lambda r: r.rows_final / r.events, ".2f"),
    ("peak MB: JVM", lambda r: r.jvm_peak_mb, ",.0f"),
    ("peak MB: Python", lambda r: r.python_peak_mb, ",.0f"),
)


def save(results: Sequence[Result], profiles: Sequence[Profile]) -> Path:
    """Keep the figures as JSON; returns where."""
    path = BENCH / "results.json"
    path.write_text(
        json.dumps({"runs": [asdict(r) for r in results], "profiles": [asdict(p) for p in profiles]}, indent=1)
    )
    return path


def show(results: Sequence[Result], console: Console) -> None:
    """Print the table."""
    table = Table(title="medians over the rounds")
    head, *rows = _figures(results)
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def write_document(
    results: Sequence[Result], profiles: Sequence[Profile], payload: Payload, command: str, agreement: str
) -> None:
    """Write docs/benchmark.md anew; `agreement` says which rows were found equal."""
    head, *rows = _figures(results)
    figures = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    text = string.Template(Path(__file__).with_name("benchmark.md").read_text()).substitute(
        events=f"{payload.events:,}",
        customers=f"{CUSTOMERS:,}",
        rate=f"{RATE:,.0f}",
        seed=SEED,
        size=f"{payload.record_bytes:.0f}",
        command=command,
        machine=_machine(results),
        rounds=max(len(_of(results, r.backend, r.contender)) for r in results),
        agreement=agreement,
        figures="\n".join("| " + " | ".join(row) + " |" for row in figures),
        unfinished=_unfinished(results),
        profiles="\n".join(_profile_text(profile, results) for profile in profiles),
    )
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")


def _jvm_cpu(result: Result) -> float:
    return result.steady_jvm_seconds / result.events


def _python_cpu(result: Result) -> float:
    return result.steady_python_seconds / result.events


def _figures(results: Sequence[Result]) -> list[list[str]]:
    """The table, head first: a measure a row, a contender a column."""
    columns = [["", *(name for name, _, _ in _MEASURES), "ratio, events/s", "ratio, events/s steady"]]
    for backend, contender in dict.fromkeys((r.backend, r.contender) for r in results):
        runs = _of(results, backend, contender)
        cells = [_spread([measure(run) for run in runs], form) for _, measure, form in _MEASURES]
        if not all(run.finished for run in runs):
            cells = [_bound(name, cell) for (name, _, _), cell in zip(_MEASURES, cells, strict=True)]
        columns.append([f"{contender}, {backend}", *cells, *_ratios(results, runs)])
    return [list(row) for row in zip(*columns, strict=True)]


def _bound(measure: str, cell: str) -> str:
    """What a run that was stopped tells about one that ends."""
    if measure.startswith("rows"):
        return "–"
    return f"< {cell}" if measure.startswith("events") else f"> {cell}"


def _ratios(results: Sequence[Result], runs: Sequence[Result]) -> tuple[str, str]:
    """Events/s over native's on the same backend, of the medians."""
    peers = _of(results, runs[0].backend, _NATIVE)
    if not peers:
        return "", ""
    bound = "" if all(run.finished for run in peers) or runs[0].contender == _NATIVE else "≥ "
    measures: tuple[Measure, ...] = (lambda r: r.job_rate, lambda r: r.steady_rate)
    of_job, of_steady = (
        f"{bound}{statistics.median(map(rate, runs)) / statistics.median(map(rate, peers)):.2f}" for rate in measures
    )
    return of_job, of_steady


def _spread(values: Sequence[float], form: str) -> str:
    """The median, and the range when there are several."""
    text = format(statistics.median(values), form)
    return text if len(values) == 1 else f"{text} ({min(values):{form}}–{max(values):{form}})"


def _of(results: Sequence[Result], backend: str, contender: str) -> list[Result]:
    return [r for r in results if (r.backend, r.contender) == (backend, contender)]


def _unfinished(results: Sequence[Result]) -> str:
    told = (
        f"{r.contender} on {r.backend} was stopped after {r.job_seconds:.0f} s. By then {r.events:,} records had left"
        " its reader, some of them still queued, so its rate is an upper bound and the ratio a lower one."
        for r in results
        if not r.finished
    )
    return "\n".join(told)


def _machine(results: Sequence[Result]) -> str:
    models = {line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    loads = [result.load for result in results]
    load = f"load average before each run {min(loads):.1f} to {max(loads):.1f} (above 1 somebody else was at work)"
    return f"{os.cpu_count()} virtual cores ({', '.join(models)}), {memory:.0f} GB, {platform.system()}, {load}"


def _profile_text(profile: Profile, results: Sequence[Result]) -> str:
    runs = [run for run in _of(results, profile.backend, profile.contender) if run.finished]
    lines = [f"## Where the time goes: {profile.contender} on {profile.backend}", ""]
    for kind, stages in (("JVM", profile.jvm), ("Python", profile.python)):
        total = sum(stages.values())
        if not total:
            continue
        measure: Measure = _jvm_cpu if kind == "JVM" else _python_cpu
        micros = statistics.median(map(measure, runs)) * 1e6 if runs else float("nan")
        jit = sum(s for name, s in profile.threads.items() if name in {"JIT compiler", "garbage collector"})
        overhead = jit / sum(profile.threads.values()) if kind == "JVM" else 0.0
        lines += [f"| {kind} stage | share | µs/event |", "|---|---:|---:|"]
        if overhead:
            lines.append(f"| compiling and collecting | {overhead:.0%} | {overhead * micros:.1f} |")
        for stage, samples in stages.items():
            share = samples / total * (1 - overhead)
            lines.append(f"| {stage} | {share:.0%} | {share * micros:.1f} |")
        lines.append("")
    return "\n".join(lines)
