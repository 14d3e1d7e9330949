"""What the soak says: what grew after the warm-up, a plot of everything, docs/soak.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console

from tests.faults.laws import LAWS, Verdict
from tests.soak.readings import Reading
from tests.soak.stream import CUSTOMERS_AN_HOUR

# reading -> (what, how a quarter is summed up, growth that is allowed from the second quarter to the last)
WATCHED: Final[dict[str, tuple[str, Callable[[Sequence[float]], float], float]]] = {
    "state_mb": ("state in the checkpoint, MB", median, 1.15),
    "heap_mb": ("JVM heap after a full collection, MB", median, 1.1),
    "metaspace_mb": ("JVM metaspace, MB", median, 1.05),
    "direct_mb": ("JVM direct memory, MB", median, 1.1),
    "jvm_mb": ("TaskManager resident, MB", median, 1.1),
    "python_mb": ("Python workers resident, MB", median, 1.1),
    "threads": ("threads", median, 1.1),
    "open_files": ("open files", median, 1.1),
    "local_files": ("files on local disk", median, 1.2),
    "s3_uploads": ("S3 uploads under way", median, 1.5),
    "backlog": ("records sent and not yet read (low marks)", min, 1.5),
    "s3_an_hour": ("new S3 objects an hour of the stream", median, 1.15),
}
_TEXT = """# Soak

Written by `make soak SOAK=--write`; every figure is of that run.

{hours} hours of the stream at p=2 on RocksDB, {speed} times as fast as the wall clock: {rate:g} payments a second
through Kinesis, each hour with {customers} customers of its own, who never come back; live rows, final rows, archive,
quarantine and account as always. A reading every 10 s. Machine: {machine}.

{verdict}

![everything that could grow, by hour of the stream](soak.svg)

Flat is judged from the second quarter to the last:

| reading | second quarter | last quarter | growth | allowed | |
|---|---:|---:|---:|---:|---|
{rows}
"""


def quarters(readings: Sequence[Reading], name: str) -> tuple[float, float]:
    """The second quarter and the last one, summed up."""
    _, summed, _ = WATCHED[name]
    values, size = series(readings, name), len(readings) // 4
    return summed(values[size : 2 * size]), summed(values[-size:])


def growth(readings: Sequence[Reading]) -> dict[str, bool]:
    """reading -> whether it has grown more than is allowed; two of a thing are never too many."""
    grown = {}
    for name, (_, _, allowed) in WATCHED.items():
        early, late = quarters(readings, name)
        grown[name] = late > max(early * allowed, early + 2)
    return grown


def series(readings: Sequence[Reading], name: str) -> list[float]:
    """A reading over time; objects in S3 by what came in the hour before."""
    if name != "s3_an_hour":
        return [float(getattr(reading, name)) for reading in readings]
    found, first = [], 0
    for reading in readings:
        while readings[first].hour < reading.hour - 1:
            first += 1
        span = reading.hour - readings[first].hour
        found.append((reading.s3_objects - readings[first].s3_objects) / span if span > 0.5 else 0.0)
    return found


def show(console: Console, readings: Sequence[Reading]) -> None:
    """What grew, what did not."""
    for name, grown in growth(readings).items():
        early, late = quarters(readings, name)
        console.print(
            f"{'[red]grew[/]' if grown else '[green]flat[/]'}  {WATCHED[name][0]:<42}{early:>10,.1f} → {late:,.1f}"
        )


def write(folder: Path, readings: Sequence[Reading], verdict: Verdict, *, hours: int, speed: int, rate: float) -> None:
    """soak.md and soak.svg."""
    grown, rows = growth(readings), []
    for name, (what, _, allowed) in WATCHED.items():
        early, late = quarters(readings, name)
        ratio = f"{late / early:.2f}" if early else "–"
        rows.append(
            f"| {what} | {early:,.1f} | {late:,.1f} | {ratio} | {allowed:g} | {'**grew**' if grown[name] else 'flat'} |"
        )
    text = _TEXT.format(
        hours=hours,
        speed=speed,
        rate=rate,
        customers=CUSTOMERS_AN_HOUR,
        machine=f"{os.cpu_count()} cores, {platform.machine()}",
        verdict=told(verdict),
        rows="\n".join(rows),
    )
    (folder / "soak.md").write_text(text)
    plot(folder / "soak.svg", readings)


def plot(path: Path, readings: Sequence[Reading]) -> None:
    """A small picture for each reading, all over the hours of the stream."""
    import matplotlib as mpl  # a second; what judges the readings needs none of it

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "soak"  # the same readings, the same file
    figure, axes = plt.subplots(4, 3, figsize=(12, 10), sharex=True, layout="constrained")
    hours = [reading.hour for reading in readings]
    for axis, (name, (what, _, _)) in zip(axes.flat, WATCHED.items(), strict=True):
        axis.plot(hours, series(readings, name), linewidth=1)
        axis.axvspan(0, hours[-1] / 4, color="0.93")
        axis.set_title(what, fontsize=9, loc="left")
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("hours of the stream (grey: warm-up)", fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def told(verdict: Verdict) -> str:
    """The laws over everything that was stored, in a line."""
    left = ", ".join(f"{name} {count:,}" for name, count in verdict.exits.items() if count)
    broken = [f"{law}: {problem}" for law in LAWS for problem in verdict.broken[law]]
    laws = "; ".join(broken) if broken else "every law held"
    return f"{laws}; {left}; {verdict.final_rows:,} final rows, {verdict.revised:,} issued again."
