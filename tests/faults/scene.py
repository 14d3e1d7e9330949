"""A job behind the fault proxy and payments on their way: what faults happen to.

Time in the stream runs SPEED times as fast as the wall clock: payments that are SPEED times as dense in event time are
sent squeezed, and the proxy tells the job arrival times that are stretched accordingly. So within seconds windows open,
become final (L is 2 minutes) and are pruned, before, while and after something goes wrong:

    wall clock      0 s           6 s              fault            …
    arrival time    0:00          2:00             3:20             …
    final rows            none yet |──────────────────────────────►
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from flink_app.generate import Chunk, Shares, payments
from flink_app.local.cluster import FlinkCluster
from flink_app.local.flink_rest import ENDED, ClusterError
from tests.e2e_stage import PROXIED_BUCKET, Application, Stage, World
from tests.faults import answers
from tests.faults.proxy import FaultProxy, Rule

SPEED = 20
CUSTOMERS, RATE = 40, 200.0  # records a second of wall clock
WARM = 2_000  # records that are read before anything happens: more than 3 minutes of the stream
SPAN_MS = 6 * 3_600_000
SLICE = 200
PATIENCE = 300  # seconds that anything may take on a busy machine; no verdict hangs on it
TROUBLE = Shares(duplicates=0.04, late=0.08, too_late=0.01, malformed=0.02, future=0.01)


@dataclass
class Act:
    """One fault in a scene.

    Attributes:
        rules: of the proxy.
        injected_ms: when it began, epoch milliseconds.
        restarts_before, failed_before: restarts and failed checkpoints of the job until then (those of the start).
        recovery_s: from then until it had recovered; None: there was nothing to recover from.
        restarts: restarts from then until it had recovered.
        told: what the fault remembers for its proof.
        replaced: exit codes of TaskManagers that ended by themselves, negative: the signal.
    """

    rules: list[Rule] = field(default_factory=list)
    injected_ms: float = 0.0
    restarts_before: int = 0
    failed_before: int = 0
    recovery_s: float | None = None
    restarts: int = 0
    told: str = ""
    replaced: list[int] = field(default_factory=list)


@dataclass
class Scene:
    """What a fault can reach.

    Attributes:
        world: stream, table and folders; asked directly, the job asks through the proxy.
        application: what is submitted.
        seed: of the payments.
        settings: Flink options of this job alone.
        parallelism: of the job.
        speed: of the stream's time, against the wall clock.
        span_ms: so far behind the wall clock it begins, as it must not overtake it.
        job: the id of the job that runs now.
        base_ms: first arrival time, as the job is told.
        real_ms: when that was.
        act: the fault that is on.
    """

    world: World
    application: Application
    seed: int
    settings: Mapping[str, str]
    parallelism: int = 2
    speed: int = SPEED
    span_ms: int = SPAN_MS
    job: str = ""
    base_ms: int = 0
    real_ms: int = 0
    act: Act = field(default_factory=Act)
    _enough: threading.Event = field(default_factory=threading.Event)
    _sender: threading.Thread | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _supervisor: threading.Thread | None = None
    _errors: list[BaseException] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        return self.world.stage

    @property
    def cluster(self) -> FlinkCluster:
        return self.world.stage.cluster

    @property
    def proxy(self) -> FaultProxy:
        return self.world.stage.proxy

    # ---- the job

    def submit(self, savepoint: str | None = None, *, may_fail: bool = False) -> None:
        """Start the job, from nothing or where another one stopped."""
        if self._supervisor is None:
            self._supervisor = threading.Thread(target=self._replace_dead_task_managers)
            self._supervisor.start()
        self.job = self.world.submit(
            self.application,
            parallelism=self.parallelism,
            savepoint=savepoint,
            flink=self.settings,
            may_fail=may_fail,
        )

    def submit_again(self, savepoint: str) -> None:
        """Go on with another job, which counts its restarts anew."""
        self.submit(savepoint)
        self.act.restarts_before = self.act.failed_before = 0

    def _replace_dead_task_managers(self) -> None:
        """As a container platform does it."""
        processes = self.cluster._task_managers
        while not self._over.wait(1):
            for dead in [process for process in processes if process.poll() is not None]:
                processes.remove(dead)
                self.act.replaced.append(dead.returncode)
                self.cluster.add_task_manager(wait=False)

    def restarts(self) -> int:
        """How often Flink has restarted the job."""
        (metric,) = self.cluster.rest(f"/jobs/{self.job}/metrics?get=numRestarts")
        return int(metric["value"])

    def failed_checkpoints(self) -> int:
        """How many checkpoints of the job have failed."""
        return int(self.cluster.checkpoints(self.job)["counts"]["failed"])

    def wait_checkpoint(self, since_ms: float) -> float:
        """Until a checkpoint has completed that began after `since_ms`; returns when it had, epoch milliseconds.

        Its barriers have passed source, gate, windows and every sink: everything read before counts and is handed over.
        """

        def completed() -> float | None:
            try:
                self.cluster.raise_if_failed(self.job)
                latest = self.cluster.checkpoints(self.job)["latest"]["completed"]
            except ClusterError as error:
                if "is FAILED" in str(error):
                    raise
                return None  # the JobManager is busy with a restart
            fresh = latest and latest["trigger_timestamp"] >= since_ms
            return float(latest["latest_ack_timestamp"]) if fresh else None

        return float(self.cluster.wait("a checkpoint after the fault", completed, PATIENCE))

    # ---- the fault

    def begin_act(self) -> Act:
        """Note when, and what Flink has counted until now."""
        self.act = Act(
            injected_ms=time.time() * 1000,
            restarts_before=self.restarts(),
            failed_before=self.failed_checkpoints(),
        )
        return self.act

    def end_act(self) -> None:
        """It hits no more: wait until the job has recovered."""
        recovered_ms = self.wait_checkpoint(time.time() * 1000)
        self.act.recovery_s = (recovered_ms - self.act.injected_ms) / 1000
        self.act.restarts = self.restarts() - self.act.restarts_before

    # ---- the payments

    def stream_ms(self, now_ms: float) -> float:
        """How far the stream's time is at a wall clock time."""
        return (now_ms - self.real_ms) * self.speed

    def start_clock(self) -> None:
        """From now on arrival times run `speed` times as fast as the wall clock, `span_ms` behind it at first."""
        self.real_ms = int(time.time() * 1000) + 300
        self.base_ms = self.real_ms - self.span_ms

        def arrival(at: float, _key: str) -> float:
            return (self.base_ms + self.stream_ms(at * 1000)) / 1000

        self.proxy.add(Rule("kinesis:GetRecords", answers.arrivals(arrival)))

    def start_sending(self, chunks: Iterable[Chunk], start_ms: int) -> None:
        """In a thread of its own, from `start_ms` (wall clock) on, until `stop_sending` or the last chunk."""

        def until_enough() -> Iterator[Chunk]:
            for chunk in chunks:
                if self._enough.is_set():
                    return
                yield chunk

        def send() -> None:
            try:
                self.world.send(until_enough(), start_ms)
            except BaseException as error:
                self._errors.append(error)
                raise

        self._sender = threading.Thread(target=send)
        self._sender.start()

    def stop_sending(self) -> None:
        """After the chunk that is on its way."""
        self._enough.set()
        self.join_sender()

    def join_sender(self) -> None:
        """Wait for the last chunk."""
        assert self._sender is not None
        self._sender.join()
        if self._errors:
            raise self._errors[0]

    def wait_stored(self) -> None:
        """Until the archive has as many records as were sent."""
        sent = self.world.sent.total()

        def all_there() -> bool:
            self.cluster.raise_if_failed(self.job)
            return self.world.account().records_in >= sent

        self.cluster.wait(f"{sent} records in the archive", all_there, PATIENCE)

    def close(self) -> None:
        """Leave no rule, no sender, no job."""
        self._over.set()
        if self._supervisor is not None:
            self._supervisor.join()
        self.proxy.clear()
        self._enough.set()
        if self._sender is not None:
            self._sender.join()
        with contextlib.suppress(ClusterError):  # what hangs ends with its TaskManager
            if self.job and self.cluster.job_state(self.job) not in ENDED:
                self.cluster.cancel(self.job)


def squeezed(seed: int, start_ms: int, events: int = 200_000, rate: float = RATE) -> Iterator[Chunk]:
    """Payments of event time `start_ms` on, to be sent SPEED times as fast: `rate` a second of wall clock."""
    dense = rate / SPEED
    found = payments(seed=seed, events=events, customers=CUSTOMERS, rate=dense, start_ms=start_ms, shares=TROUBLE)
    return in_slices(found, SPEED)


def in_slices(chunks: Iterable[Chunk], speed: int) -> Iterator[Chunk]:
    """The same, to be sent `speed` times as fast, a few at a time."""
    for chunk in chunks:
        offsets = chunk.send_offsets_ms // speed
        for first in range(0, len(chunk.records), SLICE):
            part = slice(first, first + SLICE)
            yield Chunk(chunk.records[part], chunk.customers[part], offsets[part], chunk.exits[part])


def proxied_world(stage: Stage, name: str, changes: Mapping[str, Mapping[str, str]]) -> World:
    """A world whose job reaches Kinesis, DynamoDB and S3 through the proxy; the test itself does not."""
    groups: dict[str, Mapping[str, str]] = {
        group: {"path": f"s3://{PROXIED_BUCKET}/{name}/{group.lower()}"}
        for group in ("History", "Archive", "Quarantine", "Account")
    }
    world = stage.world(name, Aws={"endpoint": stage.proxy.endpoint}, **groups, **changes)
    properties = world.properties
    return replace(world, properties=replace(properties, aws=replace(properties.aws, endpoint=stage.aws.endpoint)))
