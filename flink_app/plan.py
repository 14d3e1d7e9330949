"""`fraud-windows plan`: what a rate of payments needs of AWS, what it costs there, and which limit comes first.

Rows. A customer pays λ times a second (rate / customers). A window of size W exists for a customer if a payment is in
it, with probability 1 - exp(-λW), and one starts every S seconds; so there are (1 - exp(-λW)) / (λS) rows per payment.
A late payment changes windows that have ended and were written already: min(lateness, W) / S of them. Payments that
come in bursts share rows: then there are fewer.

Prices are the published ones of us-east-1 (2025), without discounts, transfer and taxes; look them up before you sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rich.console import Group
from rich.table import Table

from operators.buckets import LIVE_WRITERS, MAX_PARALLELISM
from operators.window_spec import WindowSpec

# ---- what a service does and takes; sources beside it
SHARD_RECORDS: Final = 1_000  # a second; Kinesis quotas
SHARD_BYTES: Final = 1_000_000  # a second
SHARD_HOUR: Final = 0.015  # $; Kinesis pricing, provisioned
SHARD_HOUR_RETENTION: Final = 0.020  # $ for the second to the seventh day
PUT_UNIT: Final = 0.014e-6  # $ for a record of up to 25 KB
KPU_HOUR: Final = 0.11  # $; Managed Service for Apache Flink pricing, one more for orchestration
KPU_QUOTA: Final = 64  # of an application, can be raised
SUBTASKS_PER_KPU: Final = 8  # ParallelismPerKPU at the most
WRITE_UNIT: Final = 0.625e-6  # $; DynamoDB on demand, an item of up to 1 KB
TABLE_WRITES: Final = 40_000  # a second on demand; DynamoDB quotas, can be raised
S3_PUT: Final = 5e-6  # $
S3_PREFIX_PUTS: Final = 3_500  # a second
S3_GB_MONTH: Final = 0.023  # $ standard, the first 30 days
ARCHIVE_GB_MONTH: Final = 0.004  # $ Glacier Instant Retrieval, the rest of six months

# ---- what the job does
CPU_US: Final = 80.0  # per event; 37 measured on an archive (docs/benchmark.md), Kinesis and checkpoints are assumed
CPU_SHARE: Final = 0.7  # of a KPU's CPU that is planned for
BATCH_ROWS: Final = 25  # of a BatchWriteItem
BATCH_MS: Final = 6.0  # round trip, assumed; each writer has one request in flight (DECISIONS 9)
CHECKPOINTS_PER_HOUR: Final = 60  # of deploy/stack.yaml
REQUESTS_PER_FILE: Final = 4  # start, part, completion, marker
COMMIT_SECONDS: Final = 10  # within which all subtasks commit their files, assumed
RAW_COMPRESSION: Final = 0.35  # Parquet with ZSTD against JSON, assumed


@dataclass(frozen=True)
class Shape:
    """One feature set as far as its rows count: seconds."""

    name: str
    size: float
    slide: float


@dataclass(frozen=True)
class Workload:
    """What comes in.

    Attributes:
        rate: payments a second.
        customers: who pay in the time of the longest window.
        event_bytes: of a record.
        late_share: of payments that come late, inside the lateness bound.
        late_by: seconds, how late those are on average.
        largest_share: of all payments that one customer has.
        buckets: State.buckets.
    """

    rate: float
    customers: float
    event_bytes: float = 270
    late_share: float = 0.05
    late_by: float = 40
    largest_share: float = 0.001
    buckets: int = 16

    def times(self, factor: float) -> Workload:
        """More customers who pay as often as before."""
        return replace(self, rate=self.rate * factor, customers=self.customers * factor)


@dataclass(frozen=True)
class Needs:
    """What a workload needs, and dollars an hour."""

    workload: Workload
    shards: int
    parallelism: int
    kpus: int
    live_rows: float
    final_rows: float
    files_per_hour: float
    dollars: dict[str, float]


@dataclass(frozen=True)
class Limit:
    """One thing that gives way: at which rate (payments a second), and what to do then."""

    name: str
    rate: float
    action: str


def shapes(specs: Sequence[WindowSpec]) -> tuple[Shape, ...]:
    """The feature sets of window files that run on slices; rollups tumble."""
    return tuple(
        Shape(g.feature_set, g.size_ms / 1000, (spec.slide_ms if len(spec.granularities) == 1 else g.size_ms) / 1000)
        for spec in specs
        for g in spec.granularities
    )


def final_rows_per_event(workload: Workload, windows: Sequence[Shape], seconds: float = math.inf) -> float:
    """Rows of windows that exist; over a stream of so many seconds, whose edges have windows of their own."""
    each = workload.rate / workload.customers
    edges = [1 + (window.size / seconds if seconds < math.inf else 0) for window in windows]
    return sum(
        edge * -math.expm1(-each * window.size) / (each * window.slide)
        for edge, window in zip(edges, windows, strict=True)
    )


def live_rows_per_event(workload: Workload, windows: Sequence[Shape], seconds: float = math.inf) -> float:
    """Rows that are written once, and again for late payments."""
    again = sum(min(workload.late_by, window.size) / window.slide for window in windows)
    return final_rows_per_event(workload, windows, seconds) + workload.late_share * again


def needs_of(workload: Workload, windows: Sequence[Shape]) -> Needs:
    """Sizes and costs for a steady rate."""
    rate = workload.rate
    live, final = (rows(workload, windows) * rate for rows in (live_rows_per_event, final_rows_per_event))
    shards = max(1, math.ceil(rate / SHARD_RECORDS), math.ceil(rate * workload.event_bytes / SHARD_BYTES))
    writing = math.ceil(live / (BATCH_ROWS * 1000 / BATCH_MS) / LIVE_WRITERS)
    by_cpu = math.ceil(rate * CPU_US / 1e6 / CPU_SHARE)
    parallelism = max(shards, writing, by_cpu)
    kpus = max(1, by_cpu, math.ceil(parallelism / SUBTASKS_PER_KPU))
    files = CHECKPOINTS_PER_HOUR * parallelism * (2 + len(windows))  # raw, account, and each feature set
    raw_gb_month = rate * workload.event_bytes * RAW_COMPRESSION * 86_400 * 30 / 1e9
    dollars = {
        "Kinesis shards": shards * (SHARD_HOUR + SHARD_HOUR_RETENTION),
        "Kinesis puts": rate * 3600 * math.ceil(workload.event_bytes / 25_000) * PUT_UNIT,
        "Flink KPUs": (kpus + 1) * KPU_HOUR,
        "DynamoDB writes": live * 3600 * WRITE_UNIT,
        "S3 requests": files * REQUESTS_PER_FILE * S3_PUT,
        "S3 raw archive, six months": raw_gb_month * (S3_GB_MONTH + 5 * ARCHIVE_GB_MONTH) / 730,
    }
    return Needs(workload, shards, parallelism, kpus, live, final, files, dollars)


def limits_of(workload: Workload, windows: Sequence[Shape]) -> tuple[Limit, ...]:
    """What gives way when there are more customers who pay as often as before, the first one first."""

    def reached(value: Callable[[Needs], float], limit: float) -> float:
        low, high = 0.001, 1e6  # factors; everything grows with the rate
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if value(needs_of(workload.times(middle), windows)) <= limit else (low, middle)
        return workload.rate * low

    hot = workload.largest_share
    shard = min(SHARD_RECORDS, SHARD_BYTES / workload.event_bytes)
    requests = REQUESTS_PER_FILE / CHECKPOINTS_PER_HOUR / COMMIT_SECONDS  # a second, of a file an hour
    found = [
        Limit(
            "State.buckets",
            reached(lambda needs: needs.parallelism, workload.buckets),
            f"more buckets (never changed later); beyond {MAX_PARALLELISM}, an application per share of the customers",
        ),
        Limit(
            "DynamoDB writes of a table",
            reached(lambda needs: needs.live_rows, TABLE_WRITES),
            "a higher quota, warm throughput before a peak; or longer slides, a longer emit.interval.ms",
        ),
        Limit(
            "KPUs of an application",
            reached(lambda needs: needs.kpus, KPU_QUOTA),
            "a higher quota, or an application per share of the customers",
        ),
        Limit(
            "S3 requests at a checkpoint",
            reached(lambda needs: needs.files_per_hour * requests, S3_PREFIX_PUTS),
            "a longer checkpoint interval (fewer, larger files, visible later)",
        ),
        Limit(
            "one customer in one shard",
            shard / hot if hot else math.inf,
            "a partition key with more values for that customer; the job keys by customer itself",
        ),
    ]
    return tuple(sorted(found, key=lambda limit: limit.rate))


def report(workload: Workload, windows: Sequence[Shape], factors: Sequence[float]) -> Iterator[tuple[str, list[str]]]:
    """Rows of a table: what, and a cell for every factor."""
    all_needs = [needs_of(workload.times(factor), windows) for factor in factors]
    facts: tuple[tuple[str, Callable[[Needs], str]], ...] = (
        ("payments a second", lambda n: f"{n.workload.rate:,.0f}"),
        ("customers", lambda n: f"{n.workload.customers:,.0f}"),
        ("shards", lambda n: f"{n.shards:,}"),
        ("parallelism", lambda n: f"{n.parallelism:,}"),
        ("KPUs", lambda n: f"{n.kpus:,}"),
        ("live rows a second", lambda n: f"{n.live_rows:,.0f} ({n.live_rows / n.workload.rate:.2f} a payment)"),
        ("final rows a second", lambda n: f"{n.final_rows:,.0f} ({n.final_rows / n.workload.rate:.2f} a payment)"),
        ("files an hour", lambda n: f"{n.files_per_hour:,.0f}"),
    )
    for name, fact in facts:
        yield name, [fact(needs) for needs in all_needs]
    for part in all_needs[0].dollars:
        yield f"$ an hour: {part}", [f"{needs.dollars[part]:,.2f}" for needs in all_needs]
    yield "$ an hour", [f"{sum(needs.dollars.values()):,.2f}" for needs in all_needs]


def plan_tables(workload: Workload, windows: Sequence[Shape], natives: Sequence[str]) -> Group:
    """The report for a person, for 1, 10, 100 … times the workload, to a million payments a second."""
    factors = [10**power for power in range(7) if power <= 2 or workload.rate * 10**power <= 1_000_000]
    needs = Table("", *(f"{factor:,}×" for factor in factors), box=None, pad_edge=False)
    for column in needs.columns[1:]:
        column.justify = "right"
    for name, cells in report(workload, windows, factors):
        needs.add_row(name, *cells)
    limits = Table("limit", "payments a second", "what to do then", box=None, pad_edge=False)
    for limit in limits_of(workload, windows):
        limits.add_row(limit.name, f"{limit.rate:,.0f}", limit.action)
    notes = [f"{name}: runs as native Flink SQL: rows and CPU are not in these figures" for name in natives]
    notes.append("Formulas, prices and what is assumed: flink_app/plan.py. A steady rate; customers pay evenly.")
    return Group(needs, "", "What gives way first, with more customers who pay as often as these:", limits, "", *notes)
