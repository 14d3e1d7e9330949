"""The curves as docs/curves.svg, and as tables in docs/curves.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from flink_app.local.places import ROOT
from tests.bench.payload import RATE, SEED
from tests.bench.report import machine, markdown
from tests.bench.result import Result
from tests.curves.axes import AXES
from tests.curves.measure import Restore
from tests.curves.measured import Measured

DOCUMENT: Final = ROOT / "docs" / "curves.md"
PLOT: Final = DOCUMENT.with_suffix(".svg")
_TIMES: Final[tuple[tuple[str, Callable[[Result], float]], ...]] = (
    ("wall", lambda run: 1e6 / run.steady_rate),
    ("CPU, JVM", lambda run: run.steady_jvm_seconds / run.events * 1e6),
    ("CPU, Python", lambda run: run.steady_python_seconds / run.events * 1e6),
)
_HEAD: Final = [
    *("wall, µs/event", "CPU µs/event: JVM", "Python", "rows/event", "CPU µs/(event + row)"),
    *("peak MB: JVM", "Python", "largest checkpoint, MB"),
]
_RESTORE_HEAD: Final = ["events in the log", "restore, s", "s per million events", "log, bytes per event"]

Curves = Sequence[tuple[str, Sequence[tuple[float, Result]]]]  # key of AXES, (value, run)


def write(found: Measured) -> None:
    """Write both files anew, curves in the order of AXES."""
    curves = [(name, found.curves[name]) for name in AXES if name in found.curves]
    runs = [run for _, points in curves for _, run in points]
    parts = [
        "# Curves",
        "",
        "What a payment costs when one thing is varied. Written by `make curves`; do not edit.",
        "",
        f"- {found.events:,} payments for each point, {RATE:,.0f} a second of event time, seed {SEED}; the job at",
        f"  parallelism 1 on {found.backend}, a fresh cluster each, final rows only; where nothing else is said",
        "  20,000 customers and the delivered windows",
        "- a point counts only if as many payments were counted, duplicate and rejected as the generator meant",
        "- warm: from the first payments past the reader until the job has finished, JIT compilation included; one run",
        "  a point, so differences of some ten percent mean nothing",
        f"- commands: {', then '.join(f'`{command}`' for command in dict.fromkeys(found.commands))}",
        f"- machine: {machine(runs)}" if runs else "",
        "",
        f"![cost of a payment along each axis]({PLOT.name})",
    ]
    for name, points in curves:
        axis = AXES[name]
        rows = [[format(value, ",.0f" if value >= 1 else "g"), *_cells(run)] for value, run in points]
        parts += ["", f"## {axis.name}", "", f"Expected: {axis.expected}.", "", markdown([["", *_HEAD], *rows])]
    if found.restores:
        rows = [_restored(one) for one in found.restores]
        told = (
            "Expected: a line. One bucket starts from its event log with the delivered windows, in a Python process"
            " without Flink around it: what a subtask does for its buckets after Flink has brought the state back."
        )
        parts += ["", "## Restore", "", told, "", markdown([_RESTORE_HEAD, *rows])]
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text("\n".join(parts).strip() + "\n")
    _draw(curves, PLOT)


def _cells(run: Result) -> list[str]:
    each = run.rows_final / run.events
    figures = [measure(run) for _, measure in _TIMES]
    work = (figures[1] + figures[2]) / (1 + each)
    memory = [f"{size:,.0f}" for size in (run.jvm_peak_mb, run.python_peak_mb)]
    return [*(f"{figure:.1f}" for figure in figures), f"{each:.2f}", f"{work:.1f}", *memory, f"{run.state_mb:,.0f}"]


def _restored(one: Restore) -> list[str]:
    each = one.seconds / one.events
    return [f"{one.events:,}", f"{one.seconds:.2f}", f"{each * 1e6:.2f}", f"{one.log_bytes / one.events:.0f}"]


def _draw(curves: Curves, path: Path) -> None:
    mpl.rcParams |= {"svg.hashsalt": "curves", "svg.fonttype": "none", "font.size": 9}
    figure = Figure(figsize=(4 * max(len(curves), 1), 5.2), layout="constrained")
    for column, (name, points) in enumerate(curves):
        above = figure.add_subplot(2, len(curves), column + 1)
        below = figure.add_subplot(2, len(curves), len(curves) + column + 1)
        values = [value for value, _ in points]
        for label, measure in _TIMES:
            above.plot(values, [measure(run) for _, run in points], marker="o", label=label)
        below.plot(values, [run.python_peak_mb for _, run in points], marker="o", label="Python, peak MB")
        below.plot(values, [run.state_mb for _, run in points], marker="o", label="largest checkpoint, MB")
        for axes in (above, below):
            if min(values) > 0 and max(values) / min(values) > 100:
                axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.spines[["top", "right"]].set_visible(False)
        below.set_xlabel(AXES[name].name)
        if not column:
            above.set_ylabel("µs per event, warm")
            above.legend(frameon=False)
            below.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
