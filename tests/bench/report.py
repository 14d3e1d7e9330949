"""The figures as tables on the screen, and as docs/benchmark.md."""

from __future__ import annotations

import os
import platform
import re
import statistics
import string
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flink_app.local.places import ROOT
from tests.bench import budget
from tests.bench.contenders import CONTENDERS, NO_BACKEND, ONE_CORE
from tests.bench.findings import Findings
from tests.bench.floors import together
from tests.bench.payload import BATCH, CUSTOMERS, RATE, SEED, Payload
from tests.bench.result import Result

DOCUMENT = ROOT / "docs" / "benchmark.md"
_JOB, _LIVE = CONTENDERS["job"].name, CONTENDERS["job-live"].name

Measure = Callable[[Result], float]
Lines = list[list[str]]
_SPEED: tuple[tuple[str, Measure, str], ...] = (
    ("events/s, cold", lambda r: r.cold_rate, ",.0f"),
    ("events/s, job", lambda r: r.job_rate, ",.0f"),
    ("events/s, warm", lambda r: r.steady_rate, ",.0f"),
    ("first row, s", lambda r: r.first_row_seconds or float("nan"), ".1f"),
    ("wall, s", lambda r: r.cold_seconds, ".1f"),
)
_COST: tuple[tuple[str, Measure, str], ...] = (
    ("CPU s per M events: JVM", lambda r: _per_million(r, r.jvm_cpu_seconds), ".1f"),
    ("Python", lambda r: _per_million(r, r.python_cpu_seconds), ".1f"),
    ("warm: JVM", lambda r: _per_million(r, r.steady_jvm_seconds), ".1f"),
    ("Python", lambda r: _per_million(r, r.steady_python_seconds), ".1f"),
    ("peak MB: JVM", lambda r: r.jvm_peak_mb, ",.0f"),
    ("Python", lambda r: r.python_peak_mb, ",.0f"),
    ("checkpoints", lambda r: r.checkpoints, ",.0f"),
    ("largest, MB", lambda r: r.state_mb, ",.0f"),
    ("rows out per event: live", lambda r: r.rows_live / max(r.events, 1), ".2f"),
    ("final", lambda r: r.rows_final / max(r.events, 1), ".2f"),
)


def show(results: Sequence[Result], console: Console) -> None:
    """Print the tables."""
    for title, (head, *rows) in (
        ("speed", figures(results, _SPEED)),
        ("cost", figures(results, _COST)),
        ("times the job", ratios(results)),
    ):
        table = Table(title=f"{title}: medians over the rounds")
        for number, name in enumerate(head):
            table.add_column(name, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def write_document(found: Findings, payload: Payload) -> None:
    """Write docs/benchmark.md anew."""
    agreed = ", ".join(dict.fromkeys(name_of(run) for run in found.runs if run.finished))
    text = string.Template(Path(__file__).with_name("benchmark.md").read_text()).substitute(
        events=f"{payload.events:,}",
        customers=f"{CUSTOMERS:,}",
        rate=f"{RATE:,.0f}",
        seed=SEED,
        batch=f"{BATCH:,}",
        size=f"{payload.record_bytes:.0f}",
        commands=", then ".join(f"`{command}`" for command in found.commands),
        machine=machine(found.runs),
        rounds=_rounds(found.runs),
        agreement=f"{agreed} ({found.rows.get(payload.events, 'nobody finished')})",
        speed=markdown(figures(found.runs, _SPEED)),
        cost=markdown(figures(found.runs, _COST)),
        ratios=markdown(ratios(found.runs)),
        scaling=_scaling(found.runs, payload),
        remarks="\n".join(f"- {remark}" for remark in _remarks(found.runs)),
        budget=budget.text(found, payload),
        profiles="\n".join(budget.profile_text(one, found.runs) for one in found.profiles),
    )
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")


def groups(results: Sequence[Result]) -> list[list[Result]]:
    """The runs of each contender, backend and parallelism; the n-th of each group are a round."""
    return [
        [r for r in results if (r.title, r.parallelism) == key]
        for key in dict.fromkeys((r.title, r.parallelism) for r in results)
    ]


def name_of(run: Result) -> str:
    """As tables and plots name it."""
    return run.title + (f", p={run.parallelism}" if run.parallelism > 1 else "")


def _rounds(results: Sequence[Result]) -> str:
    """How many there were: one number, or the fewest and the most that a contender took part in."""
    counts = sorted({len(runs) for runs in groups(results)})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def figures(results: Sequence[Result], measures: Sequence[tuple[str, Measure, str]]) -> Lines:
    """A table, head first: a contender a row, a measure a column."""
    rows = [["", *(name for name, _, _ in measures)]]
    for runs in groups(results):
        cells = [_spread([measure(run) for run in runs], form) for _, measure, form in measures]
        if not all(run.finished for run in runs):
            cells = [_bound(name, cell) for (name, _, _), cell in zip(measures, cells, strict=True)]
        rows.append([name_of(runs[0]), *cells])
    return rows


def ratios(results: Sequence[Result]) -> Lines:
    """How many times as fast the job is as each of the others, and how much less CPU it takes, round by round."""
    head = ["peer", "job: cold", "job: warm", "job: CPU less", "job with live rows: warm"]
    rows = []
    for peers in groups(results):
        peer = peers[0]
        if peer.contender in {_JOB, _LIVE}:
            continue
        backend = "heap" if peer.backend == NO_BACKEND else peer.backend
        job, live = (_of(results, name, backend, peer.parallelism) for name in (_JOB, _LIVE))
        bound = "" if all(run.finished for run in peers) else "≥ "
        rows.append(
            [
                name_of(peer),
                *(
                    _ratio(ours, peers, measure, bound)
                    for ours, measure in (
                        (job, lambda ours, theirs: ours.cold_rate / theirs.cold_rate),
                        (job, lambda ours, theirs: ours.steady_rate / theirs.steady_rate),
                        (job, lambda ours, theirs: theirs.cpu / ours.cpu),
                        (live, lambda ours, theirs: ours.steady_rate / theirs.steady_rate),
                    )
                ),
            ]
        )
    return [head, *rows]


def scaling(results: Sequence[Result]) -> Lines:
    """How much faster each contender is with more subtasks, and how much it could be on the cores that there are.

    Where one subtask was also run on a core of its own, as on a processing unit, there is a line for that, too.
    """
    head = ["", "subtasks", "cores for one", "busy of them", "busy with so many", "times as fast", "at most"]
    cores = os.cpu_count() or 1
    rows = []
    for more in groups(results):
        many = more[0].parallelism
        for name, cores_of_one in ((more[0].contender, cores), (more[0].contender + ONE_CORE, 1)):
            one = _of(results, name, more[0].backend, 1)
            if many == 1 or not one or not all(run.finished for run in (*one, *more)):
                continue  # of a run that was stopped only a bound is known, and two bounds have no ratio
            busy = statistics.median(run.cores for run in one)
            figures = [_spread([run.cores for run in runs], ".2f") for runs in (one, more)]
            faster = _ratio(more, one, lambda ours, theirs: ours.steady_rate / theirs.steady_rate, "")
            at_most = f"{min(many, cores / busy):.2f}"
            rows.append([more[0].title, str(many), str(cores_of_one), *figures, faster, at_most])
    return [head, *rows]


def _scaling(results: Sequence[Result], payload: Payload) -> str:
    """The section; empty when nothing ran with more than one subtask."""
    head, *rows = scaling(results)
    if not rows:
        return ""
    told = (
        "Warm. One subtask is more than one busy core: its Python workers, the JVM's task threads, compilers and"
        " collectors all run at the same time. So a second one can bring no more than the cores that the first leaves"
        " free, and the last column is the bound: cores of the machine ÷ cores busy with one. On the managed service a"
        " subtask has a processing unit, which is one core: the lines with one core for one subtask compare that, one"
        " unit with two. What the machine itself has to give: two processes that share nothing, each with a gate of"
        f" its own, admit {together(payload):.2f} times as many payments a second as one alone."
    )
    return "\n".join(["## Two subtasks", "", told, "", markdown([head, *rows])])


def _ratio(
    ours: Sequence[Result], theirs: Sequence[Result], measure: Callable[[Result, Result], float], bound: str
) -> str:
    pairs = [pair for pair in zip(ours, theirs, strict=False) if all(run.events for run in pair)]
    return bound + _spread([measure(*pair) for pair in pairs], ".2f") if pairs else ""


def _per_million(run: Result, seconds: float) -> float:
    return seconds / run.events * 1e6 if run.events else float("nan")


def _bound(measure: str, cell: str) -> str:
    """What a run that was stopped tells about one that ends."""
    if measure.startswith(("rows", "first", "final")):
        return "–"
    return f"< {cell}" if measure.startswith("events") else f"> {cell}"


def _spread(values: Sequence[float], form: str) -> str:
    """The median, and the range when there are several."""
    text = format(statistics.median(values), form)
    return text if len(values) == 1 else f"{text} ({min(values):{form}}–{max(values):{form}})"


def _of(results: Sequence[Result], contender: str, backend: str, parallelism: int) -> list[Result]:
    wanted = (contender, backend, parallelism)
    return [r for r in results if (r.contender, r.backend, r.parallelism) == wanted]


def _remarks(results: Sequence[Result]) -> Iterable[str]:
    """What the tables do not say about single contenders."""
    largest = max(run.payments for run in results)
    for runs in groups(results):
        run, name = runs[0], name_of(runs[0])
        if run.payments < largest:
            yield (
                f"{name}: the first {run.payments:,} payments only, as if its rate stayed so with more;"
                " its cold rate is mostly start-up, so look at the warm one."
            )
        if any(not one.finished for one in runs):
            read = max(one.events for one in runs)
            yield (
                f"{name} was stopped at the limit. By then it had worked off {read:,} payments at the most, so its rate"
                " is an upper bound and the ratio a lower one; its rows are not compared."
            )


def markdown(lines: Lines) -> str:
    """A table, head first."""
    head, *rows = lines
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---", *["---:"] * (len(head) - 1)], *rows])


def machine(results: Sequence[Result]) -> str:
    """What it ran on, and whether alone."""
    models = {line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    loads = [result.load for result in results]
    load = f"load average before each run {min(loads):.1f} to {max(loads):.1f} (above 1 somebody else was at work)"
    return f"{os.cpu_count()} virtual cores ({', '.join(models)}), {memory:.0f} GB, {platform.system()}, {load}"
