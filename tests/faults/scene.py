"""One cell of the grid: a job behind the fault proxy, payments on their way, one fault, and what is left of the laws.

Time in the stream runs SPEED times as fast as the wall clock: payments that are SPEED times as dense in event time are
sent squeezed, and the proxy tells the job arrival times that are stretched accordingly. So within a quarter of a minute
windows open, become final (L is 2 minutes) and are pruned, before, while and after something goes wrong:

    wall clock      0 s              5 s   fault            15 s
    arrival time    0:00            1:40                    5:00
    final rows            none yet    |  2:00 ──────────────►
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from flink_app.generate import Chunk, Shares, payments
from flink_app.local.cluster import FlinkCluster
from flink_app.local.flink_rest import ENDED, ClusterError
from tests.e2e_stage import PROXIED_BUCKET, Application, Stage, World
from tests.faults import answers
from tests.faults.proxy import FaultProxy, Rule

SPEED = 20
EVENTS, CUSTOMERS, RATE = 4_500, 40, 300.0  # records a second of wall clock
TROUBLE = Shares(duplicates=0.04, late=0.08, too_late=0.01, malformed=0.02, future=0.01)


@dataclass
class Scene:
    """What a fault can reach.

    Attributes:
        world: stream, table and folders; asked directly, the job asks through the proxy.
        application: what is submitted.
        seed: of the payments.
        settings: Flink options of this job alone.
        parallelism: of the job.
        job: the id of the job that runs now.
        base_ms: first arrival time, as the job is told.
        real_ms: when that was.
        rules: those of the fault.
        injected_ms: when the fault began, epoch milliseconds.
        restarts_before, failed_before: restarts and failed checkpoints of the job until then (those of the start).
        told: what the fault remembers for its proof.
    """

    world: World
    application: Application
    seed: int
    settings: Mapping[str, str]
    parallelism: int = 2
    job: str = ""
    base_ms: int = 0
    real_ms: int = 0
    rules: list[Rule] = field(default_factory=list)
    injected_ms: float = 0.0
    restarts_before: int = 0
    failed_before: int = 0
    told: str = ""
    _sender: threading.Thread | None = None
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

    def submit(self, savepoint: str | None = None) -> None:
        """Start the job, from nothing or where another one stopped."""
        self.job = self.world.submit(
            self.application, parallelism=self.parallelism, savepoint=savepoint, flink=self.settings
        )

    def restarts(self) -> int:
        """How often Flink has restarted the job."""
        (metric,) = self.cluster.rest(f"/jobs/{self.job}/metrics?get=numRestarts")
        return int(metric["value"])

    def begin_fault(self) -> None:
        """Note when, and what Flink has counted until now."""
        self.restarts_before, self.failed_before = self.restarts(), self.failed_checkpoints()
        self.injected_ms = time.time() * 1000

    def failed(self) -> int:
        """Checkpoints that have failed since the fault began."""
        return self.failed_checkpoints() - self.failed_before

    def failed_checkpoints(self) -> int:
        """How many checkpoints of the job have failed."""
        return int(self.cluster.checkpoints(self.job)["counts"]["failed"])

    def wait_checkpoint(self, since_ms: float, timeout: float = 120) -> float:
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

        return float(self.cluster.wait("a checkpoint after the fault", completed, timeout))

    # ---- the payments

    def start_sending(self, chunks: Iterable[Chunk], start_ms: int | None = None) -> None:
        """In a thread of its own, from `start_ms` on (the clock's start); `finish_sending` joins it."""
        begin_ms = self.real_ms if start_ms is None else start_ms

        def send() -> None:
            try:
                self.world.send(chunks, begin_ms)
            except BaseException as error:
                self._errors.append(error)
                raise

        self._sender = threading.Thread(target=send)
        self._sender.start()

    def start_clock(self, span_ms: int) -> None:
        """From now on arrival times run SPEED times as fast, and end about now after `span_ms`."""
        self.real_ms = int(time.time() * 1000) + 300
        self.base_ms = self.real_ms - span_ms

        def arrival(at: float, _key: str) -> float:
            return self.base_ms / 1000 + (at - self.real_ms / 1000) * SPEED

        self.proxy.add(Rule("kinesis:GetRecords", answers.arrivals(arrival)))

    def finish_sending(self) -> None:
        assert self._sender is not None
        self._sender.join()
        if self._errors:
            raise self._errors[0]

    def wait_stored(self, timeout: float = 120) -> None:
        """Until the archive has as many records as were sent."""
        sent = self.world.sent.total()

        def all_there() -> bool:
            self.cluster.raise_if_failed(self.job)
            return self.world.account().records_in >= sent

        self.cluster.wait(f"{sent} records in the archive", all_there, timeout)

    def close(self) -> None:
        """Leave no rule, no job."""
        self.proxy.clear()
        if self._sender is not None:
            self._sender.join()
        if self.job and self.cluster.job_state(self.job) not in ENDED:
            self.cluster.cancel(self.job)


def squeezed(seed: int, start_ms: int, events: int = EVENTS, customers: int = CUSTOMERS) -> list[Chunk]:
    """Payments of event time `start_ms` on, to be sent SPEED times as fast."""
    chunks = payments(
        seed=seed, events=events, customers=customers, rate=RATE / SPEED, start_ms=start_ms, shares=TROUBLE
    )
    return [replace(chunk, send_offsets_ms=chunk.send_offsets_ms // SPEED) for chunk in chunks]


def proxied_world(stage: Stage, name: str, changes: Mapping[str, Mapping[str, str]]) -> World:
    """A world whose job reaches Kinesis, DynamoDB and S3 through the proxy; the test itself does not."""
    groups: dict[str, Mapping[str, str]] = {
        group: {"path": f"s3://{PROXIED_BUCKET}/{name}/{group.lower()}"}
        for group in ("History", "Archive", "Quarantine", "Account")
    }
    world = stage.world(name, Aws={"endpoint": stage.proxy.endpoint}, **groups, **changes)
    properties = world.properties
    return replace(world, properties=replace(properties, aws=replace(properties.aws, endpoint=stage.aws.endpoint)))
