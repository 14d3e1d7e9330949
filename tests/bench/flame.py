"""Flame graphs of a profile's stacks: a box for each function below its caller, as wide as its share of the samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.bench.stages import Stack

_NARROWEST: Final = 0.004  # of all samples; what is narrower is left out
_DEEPEST: Final = 45
_CHARACTERS: Final = 190  # that fit into the whole width
_COLORS: Final = ("#e4572e", "#f3a712", "#f0c987", "#e76f51")


@dataclass
class _Box:
    samples: int = 0
    callees: dict[str, _Box] = field(default_factory=dict)


def draw(stacks: Iterable[Stack], title: str, path: Path) -> None:
    """Write an SVG; the outermost caller is on top."""
    root = _Box()
    for frames, samples in stacks:
        box = root
        box.samples += samples
        for frame in reversed(frames[-_DEEPEST:]):
            box = box.callees.setdefault(_short(frame), _Box())
            box.samples += samples
    boxes = list(_placed(root, root.samples, 0.0, 0))
    depth = 1 + max((level for _, _, _, level in boxes), default=0)
    mpl.rcParams |= {"svg.hashsalt": "flame", "svg.fonttype": "none", "font.size": 6}
    figure = Figure(figsize=(14, 0.6 + 0.16 * depth), layout="constrained")
    axes: Any = figure.subplots()
    for name, left, width, level in boxes:
        color = _COLORS[sum(name.encode()) % len(_COLORS)]
        axes.barh(level, width, left=left, height=0.95, color=color, edgecolor="white", linewidth=0.3)
        shown = name[: int(width * _CHARACTERS)]
        if len(shown) > 3:
            axes.text(left + 0.001, level, shown, va="center", clip_on=True, parse_math=False)
    axes.set(xlim=(0, 1), ylim=(depth - 0.5, -0.5), xticks=[], yticks=[], title=f"{title}: {root.samples:,} samples")
    axes.spines[:].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def _placed(box: _Box, total: int, left: float, level: int) -> Iterator[tuple[str, float, float, int]]:
    """(name, left, width, level) of every box that is wide enough, shares of the whole width."""
    for name, callee in sorted(box.callees.items()):
        width = callee.samples / total
        if width >= _NARROWEST:
            yield name, left, width, level
            yield from _placed(callee, total, left, level + 1)
        left += width


def _short(frame: str) -> str:
    """'org.apache.flink.runtime.Task.run' is 'Task.run', 'f (/long/path/operators/gate.py:12)' is 'f gate.py:12'."""
    if " (" in frame:
        name, _, place = frame.partition(" (")
        return f"{name} {place.rstrip(')').rpartition('/')[2].partition(':')[0]}"
    return ".".join(frame.rsplit(".", 2)[-2:])
