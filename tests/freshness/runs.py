"""One run each: what this machine sustains; how fresh rows are at a rate; their cost; how soon an outage is made up.

The demo's job, on an embedded AWS and a cluster of its own, with the properties of `local up` and the demo's JVM.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flink_app.account import AccountBook
from flink_app.delivery import to_kinesis
from flink_app.demo import SHORT_RUN
from flink_app.freshness import FreshnessProbe, Latencies
from flink_app.generate import Chunk, payments
from flink_app.local.aws import STREAM, LocalAws, embedded_aws, job_properties
from flink_app.local.cluster import FlinkCluster
from flink_app.local.places import LOCAL
from flink_app.properties import Properties, read_properties, write_properties
from flink_app.run import local_cluster, records_read
from tests.bench.contenders import application_copy, submit_copy, without_bundle_settings
from tests.faults import past
from tests.faults.proxy import FaultProxy, Rule
from tests.freshness.hops import Hops
from tests.freshness.puts import Puts

CUSTOMERS: Final = 2_000
SEED: Final = 7
SECONDS: Final = 60
WARM_UP_SECONDS: Final = 30  # half of the machine compiles the JVM's classes in the first ones
FLOOD: Final = 20_000.0  # records a second, more than sender, stream and job together manage here
HOPS_RATE: Final = 1_500.0  # records a second: the proxy takes each apart, on the same cores
OUTAGE_SECONDS: Final = 3_600
OUTAGE_RATE: Final = 50.0  # records a second before and after it
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
        counted, live_rows: by the job's account.
        requests, items, units, size, newest: what DynamoDB took, see `Puts`.
    """

    customers: int
    rate: float
    interval_ms: int
    counted: int
    live_rows: int
    requests: int
    items: int
    units: int
    size: int
    newest: int


@dataclass(frozen=True)
class CatchUp:
    """What an outage left, and how soon it was made up.

    Attributes:
        waited: records.
        records: of them that were read; fewer than waited when patience ended.
        started_after: seconds from when all tasks ran to the first record read.
        seconds: from there to the last.
    """

    waited: int
    records: int
    started_after: float
    seconds: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


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
        probe = FreshnessProbe(
            run.aws.client("dynamodb"), run.properties.features.table, warm_up_ms=1_000 * WARM_UP_SECONDS
        )
        probe.start()
        behind_ms = _send(run, rate, CUSTOMERS, seconds + WARM_UP_SECONDS, probe.expect)
        time.sleep(5)  # the last windows' rows
        probe.finish()
    return Fresh(rate, behind_ms, probe.fresh, probe.corrected)


def hops(say: Callable[[str], None], *, seconds: int = SECONDS) -> dict[str, list[float]]:
    """Payments at HOPS_RATE, late ones followed at the proxy: name of a hop -> milliseconds that it took each."""
    followed = Hops()
    rules = [Rule("kinesis:GetRecords", followed.read), Rule("dynamodb:BatchWriteItem", followed.written)]
    with _running(say, rules=rules) as run:
        warm_ms = time.time() * 1000 + _HEAD_START_MS + 1_000 * WARM_UP_SECONDS
        _send(run, HOPS_RATE, CUSTOMERS, seconds + WARM_UP_SECONDS, followed.follow)
        time.sleep(5)  # the last rows
    return followed.milliseconds(warm_ms)


def cost(customers: int, rate: float, interval_ms: int, say: Callable[[str], None], *, seconds: int = SECONDS) -> Cost:
    """Payments of so many customers, with every write counted; drained, so that every window has its row."""
    puts = Puts()
    with _running(say, interval_ms=interval_ms, rules=[Rule("dynamodb:BatchWriteItem", puts)]) as run:
        book = AccountBook(run.properties)
        _send(run, rate, customers, seconds, lambda _chunk, _start_ms: None)
        run.cluster.wait(
            "every record read", lambda: records_read(run.cluster, run.job) >= int(rate * seconds), _PATIENCE
        )
        run.cluster.stop_with_savepoint(run.job, drain=True)
        account = book.close()
    taken = (puts.requests, puts.items, puts.units, puts.size, puts.newest)
    return Cost(customers, rate, interval_ms, account.counted, account.live_rows, *taken)


def catch_up(say: Callable[[str], None], *, outage_seconds: int = OUTAGE_SECONDS) -> CatchUp:
    """A job that starts where OUTAGE_RATE payments a second have waited for so long, each with its arrival time."""
    waiting = 0

    def wait_in_stream(aws: LocalAws) -> None:
        nonlocal waiting
        start_ms = int(time.time() * 1000) - outage_seconds * 1000
        events = int(OUTAGE_RATE * outage_seconds)
        for chunk in payments(seed=SEED, events=events, customers=CUSTOMERS, rate=OUTAGE_RATE, start_ms=start_ms):
            past.put(aws.client("kinesis"), STREAM, chunk, start_ms)
            waiting += len(chunk.records)

    with _running(say, rules=[Rule("kinesis:GetRecords", past.TOLD_THEN)], before=wait_in_stream) as run:
        running = time.monotonic()
        seen = [(running, 0)]
        for at, read in _reads(run, _PATIENCE):
            seen.append((at, read))
            if read >= waiting:
                break
    began = max(at for at, read in seen if not read)
    ended, read = seen[-1]
    return CatchUp(waiting, read, began - running, ended - began)


@contextlib.contextmanager
def _running(
    say: Callable[[str], None],
    *,
    tuned: bool = True,
    interval_ms: int | None = None,
    rules: Sequence[Rule] = (),
    before: Callable[[LocalAws], None] = lambda _: None,
) -> Iterator[_Run]:
    """The job, until its cluster ends; not tuned, with PyFlink's bundles; with rules, behind the proxy.

    `before` is called when there is a stream, and no job yet.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_aws(LOCAL / "freshness-aws", say) as aws,
        FaultProxy(aws.endpoint) as proxy,
    ):
        groups = job_properties(aws)
        for rule in rules:
            proxy.add(rule)
            groups["Aws"]["endpoint"] = proxy.endpoint
        if interval_ms is not None:
            groups["Features"]["emit.interval.ms"] = str(interval_ms)
        path = Path(folder) / "application_properties.json"
        write_properties(path, groups)
        properties = read_properties(path)
        before(aws)
        with local_cluster(properties, 1, say, SHORT_RUN) as cluster:
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
