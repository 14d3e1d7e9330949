"""docs/freshness.md and docs/freshness.svg."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from flink_app.freshness import Latencies
from flink_app.local.aws import EMIT_INTERVAL_MS
from flink_app.local.places import ROOT
from tests.bench.report import markdown
from tests.freshness.hops import HOPS
from tests.freshness.measured import Measured
from tests.freshness.runs import CUSTOMERS, FLOOD, HOPS_RATE, OUTAGE_RATE, SEED, WARM_UP_SECONDS, Cost, Fresh

DOCUMENT: Final = ROOT / "docs" / "freshness.md"
PLOT: Final = DOCUMENT.with_suffix(".svg")
AIM_MS: Final = 2_000
_FRESH_HEAD: Final = [
    *("of sustained", "records/s", "since", "rows seen", "never seen", "p50, ms", "p99, ms", "max, ms"),
    *("operator has written it: p50", "p99", "from there to the table: p50", "p99"),
]
_HOPS_HEAD: Final = ["hop", "p50, ms", "p99, ms", "what takes the time"]
_COST_HEAD: Final = [
    *("a customer's payments", "emit.interval.ms", "events counted", "live rows per event", "writes per live row"),
    *("write units per event", "bytes per write", "rows per request", "with one item per customer: writes, %"),
]


def line(share: float, tuned: bool, run: Fresh) -> str:
    """One run for the console."""
    told = [
        f"{since} p50 {found.percentile(50):,.0f} ms, p99 {found.percentile(99):,.0f} ms"
        for since, found in _kinds(run)
    ]
    return f"{_name(share, tuned)}, {run.rate:,.0f} records/s: {'; '.join(told)}"


def write(found: Measured) -> None:
    """Write both files anew; every part is there."""
    outage = found.outage
    assert outage is not None
    text = string.Template(Path(__file__).with_name("freshness.md").read_text()).substitute(
        cores=os.cpu_count(),
        warm_up=WARM_UP_SECONDS,
        seed=SEED,
        flood=f"{FLOOD:,.0f}",
        sustained=f"{found.sustained:,.0f}",
        defaults=f"{found.defaults:,.0f}",
        waited=f"{outage.waited:,}",
        outage_read=f"{outage.records:,}",
        outage_rate=f"{OUTAGE_RATE:,.0f}",
        started=f"{outage.started_after:.0f}",
        caught_up=f"{outage.seconds:.0f}",
        catch_up_rate=f"{outage.rate:,.0f}",
        times=f"{outage.rate / OUTAGE_RATE:.0f}",
        commands=", then ".join(f"`{command}`" for command in found.commands),
        customers=f"{CUSTOMERS:,}",
        interval=EMIT_INTERVAL_MS,
        fresh=markdown([_FRESH_HEAD, *(row for load in found.loads for row in _fresh_rows(*load))]),
        aim=_aim(found),
        behind=", ".join(f"{run.behind_ms:,} ms ({_name(share, tuned)})" for share, tuned, run in found.loads),
        hops_rate=f"{HOPS_RATE:,.0f}",
        followed=f"{len(found.hops[next(iter(HOPS))]):,}",
        hops=markdown([_HOPS_HEAD, *_hop_rows(found.hops)]),
        cost=markdown([_COST_HEAD, *(_cost_row(kind, run) for kind, run in found.costs)]),
    )
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(text)
    _draw(found.loads)


def _aim(found: Measured) -> str:
    """What is asked of half the load, and what came of it."""
    (run,) = (run for share, tuned, run in found.loads if (share, tuned) == (0.5, True))
    slowest = {since: kind.percentile(99) for since, kind in _kinds(run)}
    told = ", ".join(f"{p99:,.0f} ms since {since}" for since, p99 in slowest.items())
    reached = "reached" if max(slowest.values()) <= AIM_MS else "**missed**"
    return f"Aim at 50%: p99 at most {AIM_MS:,} ms. Measured: {told}: {reached}."


def _kinds(run: Fresh) -> tuple[tuple[str, Latencies], ...]:
    return ("window end", run.ended), ("late payment", run.corrected)


def _name(share: float, tuned: bool) -> str:
    return f"{share:.0%}" if tuned else f"{share:.0%}, default bundles"


def _fresh_rows(share: float, tuned: bool, run: Fresh) -> list[list[str]]:
    rows = []
    for since, found in _kinds(run):
        after = np.subtract(found.seen_after_ms, found.emitted_after_ms)
        figures = [
            *(found.percentile(percent) for percent in (50, 99, 100)),
            *(found.operator_percentile(percent) for percent in (50, 99)),
            *(float(np.percentile(after, percent)) for percent in (50, 99)),
        ]
        head = [_name(share, tuned), f"{run.rate:,.0f}", since, f"{len(found.seen_after_ms):,}", str(found.never_seen)]
        rows.append([*head, *(f"{figure:,.0f}" for figure in figures)])
    return rows


def _hop_rows(taken: Mapping[str, Sequence[float]]) -> Iterator[list[str]]:
    """A hop a row, in the order of the way, and the whole way."""
    for name, what in (HOPS | {"all": "not the sum: a payment is rarely slow at every hop"}).items():
        each = taken[name] if name in taken else np.sum(list(taken.values()), axis=0)
        yield [name, *(f"{np.percentile(each, percent):,.0f}" for percent in (50, 99)), what]


def _cost_row(kind: str, run: Cost) -> list[str]:
    return [
        kind,
        f"{run.interval_ms:,}",
        f"{run.counted:,}",
        f"{run.live_rows / run.counted:.2f}",
        f"{run.items / run.live_rows:.3f}",
        f"{run.units / run.counted:.2f}",
        f"{run.size / run.items:.0f}",
        f"{run.items / run.requests:.1f}",
        f"{100 * run.newest / run.items:.0f}",
    ]


def _draw(loads: Sequence[tuple[float, bool, Fresh]]) -> None:
    mpl.rcParams |= {"svg.hashsalt": "freshness", "svg.fonttype": "none", "font.size": 9}
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for kind, axes in enumerate(figure.subplots(1, 2, sharey=True)):
        for share, tuned, run in loads:
            since, found = _kinds(run)[kind]
            times = np.sort(found.seen_after_ms)
            readable = np.arange(1, len(times) + 1) / len(times) * 100
            axes.plot(times, readable, label=f"{_name(share, tuned)}: {run.rate:,.0f}/s")
            axes.set_title(f"since {since}", fontsize=10)
        axes.axvline(AIM_MS, color="#9aa0a6", linestyle=":", label="aim")
        axes.set_xlim(left=0)
        axes.set_xlabel("ms")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("rows readable, %")
    figure.axes[0].legend(frameon=False)
    figure.savefig(PLOT, metadata={"Date": None})
