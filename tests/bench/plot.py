"""docs/benchmark.svg: events per second and CPU per event of every contender, with the range over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.bench.report import DOCUMENT, groups, name_of
from tests.bench.result import Result

PLOT: Final = DOCUMENT.with_suffix(".svg")
_OURS, _THEIRS = "#1f77b4", "#9aa0a6"


def draw(results: Sequence[Result], path: Path = PLOT) -> None:
    """Write the plot; what was stopped at the limit is hatched: its bar is a bound."""
    mpl.rcParams |= {"svg.hashsalt": "benchmark", "svg.fonttype": "none", "font.size": 9}
    runs = sorted(groups(results), key=lambda group: statistics.median(run.steady_rate for run in group))
    figure = Figure(figsize=(11, 1.2 + 0.32 * len(runs)), layout="constrained")
    speed, cost = figure.subplots(1, 2, sharey=True)
    _bars(speed, runs, lambda run: run.steady_rate, "<", "events/s, warm (line: lowest to highest round)")
    speed.set_xscale("log")
    speed.set_yticks(range(len(runs)), [name_of(group[0]) for group in runs])
    _bars(cost, runs, lambda run: run.cpu, ">", "CPU µs per event, warm, JVM and Python")
    cost.set_xscale("log")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def _bars(
    axes: Any, runs: Sequence[Sequence[Result]], measure: Callable[[Result], float], bound: str, title: str
) -> None:
    for place, group in enumerate(runs):
        values = [measure(run) for run in group if run.events]
        if not values:
            continue
        middle = statistics.median(values)
        ends = [[middle - min(values)], [max(values) - middle]]
        stopped = not all(run.finished for run in group)
        color = _OURS if group[0].contender.startswith("job") else _THEIRS
        axes.barh(place, middle, xerr=ends, color=color, hatch="//" if stopped else None, ecolor="black", capsize=2)
        axes.annotate(
            f" {bound} {middle:,.0f}" if stopped else f" {middle:,.0f}", (max(values), place), va="center", fontsize=8
        )
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
