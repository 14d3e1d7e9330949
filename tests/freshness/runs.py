"""One run each: what this machine sustains; how fresh rows are at a rate; what they cost in DynamoDB writes.

The demo's job, on an embedded AWS and a cluster of its own, with the properties of `local up`.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flink_app.account import Account, AccountBook
from flink_app.delivery import to_kinesis
from flink_app.freshness import WARM_UP_MS, FreshnessProbe, Latencies
from flink_app.generate import Chunk, payments
from flink_app.local.aws import STREAM, LocalAws, embedded_aws, job_properties
from flink_app.local.cluster import FlinkCluster
from flink_app.local.places import LOCAL
from flink_app.properties import Properties, read_properties, write_properties
from flink_app.run import local_cluster, records_read
from tests.bench.contenders import application_copy, submit_copy, without_bundle_settings
from tests.faults.proxy import FaultProxy, Rule
from tests.freshness.puts import Puts

CUSTOMERS: Final = 2_000
SEED: Final = 7
SECONDS: Final = 90
FLOOD: Final = 4_000.0  # records a second; far more, and the embedded AWS would do nothing but take them
_HEAD_START_MS: Final = 1_000
_PATIENCE: Final = 300


@dataclass(frozen=True)
class Fresh:
    """How fresh rows were.

    Attributes:
        rate: records a second that were sent.
        behind_ms: how far the sender was behind its plan at worst.
        ended: from a window's end until its row was read from the table.
        corrected: from a late payment's planned sending until the corrected row was.
    """

    rate: float
    behind_ms: int
    ended: Latencies
    corrected: Latencies


@dataclass(frozen=True)
class Cost:
    """What live rows cost.

    Attributes:
        customers, rate, interval_ms: who paid, how often, and `emit.interval.ms`.
        account: of the run.
        puts: what DynamoDB took.
    """

    customers: int
    rate: float
    interval_ms: int
    account: Account
    puts: Puts


@dataclass(frozen=True)
class _Run:
    aws: LocalAws
    cluster: FlinkCluster
    job: str
    properties: Properties


def sustained(say: Callable[[str], None], *, tuned: bool = True, seconds: int = 40) -> float:
    """Records a second that the job reads while FLOOD are sent, what has waited since the start among them.

    Rows are written to DynamoDB all the while; the sender and the embedded AWS run on the same cores. The first third
    is start-up, and left out. No upper bound: a job that has caught up reads no more than is sent.
    """
    with _running(say, tuned=tuned) as run:
        stop = threading.Event()
        start_ms = int(time.time() * 1000) + _HEAD_START_MS
        chunks = payments(
            seed=SEED, events=int(2 * FLOOD * seconds), customers=CUSTOMERS, rate=FLOOD, start_ms=start_ms
        )
        kinesis = run.aws.client("kinesis")
        sender = threading.Thread(
            target=to_kinesis, args=(chunks, kinesis, STREAM), kwargs={"start_ms": start_ms, "stop": stop}
        )
        sender.start()
        try:
            time.sleep(seconds / 3)
            seen = list(_reads(run, seconds * 2 / 3))
        finally:
            stop.set()
            sender.join()
    (began, before), (ended, after) = seen[0], seen[-1]
    return (after - before) / (ended - began)


def _reads(run: _Run, seconds: float) -> Iterator[tuple[float, int]]:
    """(clock, records read) every second; Flink collects metrics when it is asked, and answers with the last ones."""
    records_read(run.cluster, run.job)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(1)
        yield time.monotonic(), records_read(run.cluster, run.job)


def freshness(rate: float, say: Callable[[str], None], *, tuned: bool = True, seconds: int = SECONDS) -> Fresh:
    """Payments at this rate while the features table is watched."""
    with _running(say, tuned=tuned) as run:
        probe = FreshnessProbe(run.aws.client("dynamodb"), run.properties.features.table)
        probe.start()
        behind_ms = _send(run, rate, CUSTOMERS, seconds + WARM_UP_MS // 1000, probe.expect)
        time.sleep(5)  # the last windows' rows
        probe.finish()
    return Fresh(rate, behind_ms, probe.fresh, probe.corrected)


def cost(customers: int, rate: float, interval_ms: int, say: Callable[[str], None], *, seconds: int = SECONDS) -> Cost:
    """Payments of so many customers, with every write counted; stopped without a drain, so no row is written twice."""
    puts = Puts()
    with _running(say, interval_ms=interval_ms, rule=Rule("dynamodb:BatchWriteItem", puts)) as run:
        book = AccountBook(run.properties)
        _send(run, rate, customers, seconds, lambda _chunk, _start_ms: None)
        run.cluster.wait(
            "every record read", lambda: records_read(run.cluster, run.job) >= int(rate * seconds), _PATIENCE
        )
        time.sleep(2)  # the last ticks
        run.cluster.stop_with_savepoint(run.job, drain=False)
        return Cost(customers, rate, interval_ms, book.close(), puts)


@contextlib.contextmanager
def _running(
    say: Callable[[str], None], *, tuned: bool = True, interval_ms: int | None = None, rule: Rule | None = None
) -> Iterator[_Run]:
    """The job, until its cluster ends; not tuned, with PyFlink's bundles; with a rule, behind the proxy."""
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_aws(LOCAL / "freshness-aws", say) as aws,
        FaultProxy(aws.endpoint) as proxy,
    ):
        groups = job_properties(aws)
        if rule is not None:
            proxy.add(rule)
            groups["Aws"]["endpoint"] = proxy.endpoint
        if interval_ms is not None:
            groups["Features"]["emit.interval.ms"] = str(interval_ms)
        path = Path(folder) / "application_properties.json"
        write_properties(path, groups)
        properties = read_properties(path)
        with local_cluster(properties, 1, say) as cluster:
            copy = application_copy() if tuned else without_bundle_settings(application_copy())
            yield _Run(aws, cluster, submit_copy(cluster, copy, path, 1), properties)


def _send(run: _Run, rate: float, customers: int, seconds: int, told: Callable[[Chunk, int], None]) -> int:
    """Send for so long, event time is now; returns how far the sender fell behind, milliseconds."""
    start_ms = int(time.time() * 1000) + _HEAD_START_MS
    events = int(rate * seconds)
    chunks, ahead = itertools.tee(payments(seed=SEED, events=events, customers=customers, rate=rate, start_ms=start_ms))

    def expected() -> Iterator[Chunk]:
        for chunk in chunks:
            told(next(ahead), start_ms)
            yield chunk

    return to_kinesis(expected(), run.aws.client("kinesis"), STREAM, start_ms=start_ms).slip_ms
