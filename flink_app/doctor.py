"""What holds a lagging job up: figures in (doctor_flink, doctor_cloudwatch), a verdict with its evidence out.

    producers ─► stream ─► consumer ─► Python (gate, windows) ─► sinks (DynamoDB, S3)
                   │          │                  │                  │
                   │          │                  │                  └ its tasks are busy, those before it wait
                   │          │                  └ the windows' task is busy, or the containers' CPU is full
                   │          └ records wait in the stream, and nothing behind the reader is busy
                   └ producers are refused, or each shard takes nearly what it can take

Checkpoints stand beside the flow: they fail, or take as long as there is between two, though no task is held up.

The first that holds, from the sink upwards: whoever waits behind a slow sink looks slow too, never the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

BEHIND_MS: Final = 15_000.0  # a record that waits longer makes a row older than the stack's freshness objective
FRESHNESS_MS: Final = 15_000.0  # FreshnessObjectiveMs of deploy/stack.yaml
HELD_UP_MS: Final = 500.0  # of a second: a task that waits for the next one half of its time has no reserve left
BUSY_MS: Final = 800.0  # of a second; a task's other 200 are the gaps between batches, so more does not come
CPU_PERCENT: Final = 80.0  # the alarm busy-cpu has the same
ROW_BATCH_MS: Final = 100.0  # BatchWriteItem takes 5 to 20; four writers of 25 rows then write 1,000 rows a second
CHECKPOINTS_FAILED: Final = 2.0  # one is a restart or a lost machine
CHECKPOINT_MS: Final = 10_000.0  # below that a checkpoint is no burden, however short the interval
SHARD_RECORDS: Final = 900.0  # of the 1,000 a second that a shard takes: a steady 90 % is throttled in its peaks
SHARD_BYTES: Final = 900_000.0  # of 1 MB a second
SETTLED_SECONDS: Final = 30.0  # after a start: workers load, the backlog of the pause is read


class Verdict(Enum):
    """What holds the job up; the value is what a person reads."""

    HEALTHY = "healthy"
    NOT_ENOUGH_DATA = "not enough data"
    STREAM = "stream bound"
    CONSUMER = "consumer bound"
    CHECKPOINT = "checkpoint bound"
    PYTHON = "Python bound"
    SINK = "sink bound"


class Part(Enum):
    """Which part of the job a task is, by its name."""

    SOURCE = "source and gate"
    WINDOWS = "windows"
    SINK = "sink"


@dataclass(frozen=True)
class Task:
    """One task (vertex) of the job; its slowest subtask counts.

    Attributes:
        name: as a person knows it.
        part: of the job.
        busy_ms: in a second; None for the source, which cannot tell.
        held_up_ms: in a second, waiting for the task behind it (backpressure).
    """

    name: str
    part: Part
    busy_ms: float | None
    held_up_ms: float


@dataclass(frozen=True)
class Symptoms:
    """Measured figures; None: nobody publishes it here, or nothing was there to measure.

    Attributes:
        tasks: of Flink; CloudWatch knows none.
        settled_seconds: how long the job has been running since its last (re)start.
        behind_ms: how long the oldest unread record has waited in the stream.
        freshness_ms: from a window's end until its row left the windows.
        shard_records, shard_bytes: written per second and shard, by what a reader that keeps up has read.
        producers_refused: writes that the stream refused, a minute.
        reads_refused: GetRecords that the stream refused, a minute.
        rows_refused: writes that the features table refused, a minute.
        row_batch_ms: how long a BatchWriteItem takes (CloudWatch; Flink's gauge is negative while one is under way).
        cpu_percent: of the fullest container, Python workers included.
        checkpoints_failed: in the time looked at.
        checkpoint_ms: the newest one's duration, or the age of one under way.
        checkpoint_interval_ms: from one to the next.
    """

    tasks: tuple[Task, ...] = ()
    settled_seconds: float | None = None
    behind_ms: float | None = None
    freshness_ms: float | None = None
    shard_records: float | None = None
    shard_bytes: float | None = None
    producers_refused: float | None = None
    reads_refused: float | None = None
    rows_refused: float | None = None
    row_batch_ms: float | None = None
    cpu_percent: float | None = None
    checkpoints_failed: float | None = None
    checkpoint_ms: float | None = None
    checkpoint_interval_ms: float | None = None

    @property
    def busiest(self) -> Task | None:
        """The task that holds the others up: the first busy one on the way of a record that waits for no other."""
        order = list(Part)
        found = [task for task in self.tasks if (task.busy_ms or 0.0) >= BUSY_MS and task.held_up_ms < HELD_UP_MS]
        return min(found, key=lambda task: (order.index(task.part), -(task.busy_ms or 0.0)), default=None)


@dataclass(frozen=True)
class Evidence:
    """One figure beside its threshold.

    Attributes:
        metric: what was measured.
        value: in `unit`; None: not known here.
        threshold: in `unit`.
        unit: of both.
    """

    metric: str
    value: float | None
    threshold: float
    unit: str

    @property
    def is_over(self) -> bool:
        """At the threshold counts."""
        return self.value is not None and self.value >= self.threshold


@dataclass(frozen=True)
class Diagnosis:
    """The verdict, why, and what to do.

    Attributes:
        verdict: the first that holds.
        evidence: figures that speak for it; of a healthy job all that were looked at.
        also: what holds too, and may be a consequence.
    """

    verdict: Verdict
    evidence: tuple[Evidence, ...]
    also: tuple[Verdict, ...] = ()


def diagnose(seen: Symptoms) -> Diagnosis:
    """The verdict over the figures of one look."""
    if _is_too_little(seen):
        running = Evidence("running since the last start", seen.settled_seconds, SETTLED_SECONDS, "s")
        return Diagnosis(Verdict.NOT_ENOUGH_DATA, (running,))
    found = {verdict: evidence for verdict, rule in _RULES.items() if (evidence := rule(seen))}
    if not found:  # what lags without a cause that is known here is not called healthy
        return Diagnosis(Verdict.NOT_ENOUGH_DATA if _lag(seen) else Verdict.HEALTHY, _looked_at(seen))
    verdict, *also = found
    return Diagnosis(verdict, found[verdict], tuple(also))


def _is_too_little(seen: Symptoms) -> bool:
    if seen.settled_seconds is not None and seen.settled_seconds < SETTLED_SECONDS:
        return True
    return seen.behind_ms is None and seen.freshness_ms is None and not seen.tasks


def _lag(seen: Symptoms) -> tuple[Evidence, ...]:
    """What says that records wait; empty: nothing."""
    held_up = max((task.held_up_ms for task in seen.tasks if task.part is Part.SOURCE), default=None)
    return _over(
        Evidence("oldest unread record has waited", seen.behind_ms, BEHIND_MS, "ms"),
        Evidence("window end to row", seen.freshness_ms, FRESHNESS_MS, "ms"),
        Evidence("source waits for the tasks behind it", held_up, HELD_UP_MS, "ms a second"),
    )


def _sink(seen: Symptoms) -> tuple[Evidence, ...]:
    lag, busiest = _lag(seen), seen.busiest
    refused = Evidence("writes refused by the features table", seen.rows_refused, 1, "a minute")
    slow = Evidence("BatchWriteItem takes", seen.row_batch_ms, ROW_BATCH_MS, "ms")
    if busiest is not None:  # Flink says where: the features table's answers only explain it
        is_sink = busiest.part is Part.SINK
        return (*lag, _busy(busiest), *_over(refused, slow)) if lag and is_sink else ()
    told = _over(refused, slow) if not seen.tasks else ()
    return (*lag, *told) if lag and told else ()


def _python(seen: Symptoms) -> tuple[Evidence, ...]:
    lag, busiest = _lag(seen), seen.busiest
    if busiest is not None:
        return (*lag, _busy(busiest)) if lag and busiest.part is Part.WINDOWS else ()
    full = _over(Evidence("CPU of the fullest container", seen.cpu_percent, CPU_PERCENT, "%"))
    return (*lag, *full) if lag and full else ()


def _checkpoint(seen: Symptoms) -> tuple[Evidence, ...]:
    if _sink(seen) or _python(seen):
        return ()  # its barriers wait behind the records: a consequence
    longest = max(CHECKPOINT_MS, seen.checkpoint_interval_ms or 0.0)
    return _over(
        Evidence("checkpoints failed", seen.checkpoints_failed, CHECKPOINTS_FAILED, "of the last ones"),
        Evidence("a checkpoint takes", seen.checkpoint_ms, longest, "ms"),
    )


def _consumer(seen: Symptoms) -> tuple[Evidence, ...]:
    behind = _over(Evidence("oldest unread record has waited", seen.behind_ms, BEHIND_MS, "ms"))
    if not behind or _sink(seen) or _python(seen):
        return ()
    idle = [Evidence(f"{task.name} is busy", task.busy_ms, BUSY_MS, "ms a second") for task in seen.tasks]
    free = [Evidence("CPU of the fullest container", seen.cpu_percent, CPU_PERCENT, "%")]
    refused = Evidence("GetRecords refused by the stream", seen.reads_refused, 1, "a minute")
    against = [fact for fact in idle + free if fact.value is not None]
    told = (*_over(refused), *against)
    return (*behind, *told) if told else ()


def _stream(seen: Symptoms) -> tuple[Evidence, ...]:
    refused = _over(Evidence("writes refused by the stream", seen.producers_refused, 1, "a minute"))
    if seen.behind_ms is None or seen.behind_ms >= BEHIND_MS:
        return refused  # a reader that catches up reads more than producers write
    return (
        *refused,
        *_over(
            Evidence("records of a shard", seen.shard_records, SHARD_RECORDS, "a second"),
            Evidence("bytes of a shard", seen.shard_bytes, SHARD_BYTES, "a second"),
        ),
    )


_RULES: Final[dict[Verdict, Callable[[Symptoms], tuple[Evidence, ...]]]] = {  # in the order of precedence
    Verdict.SINK: _sink,
    Verdict.PYTHON: _python,
    Verdict.CHECKPOINT: _checkpoint,
    Verdict.CONSUMER: _consumer,
    Verdict.STREAM: _stream,
}


def _busy(task: Task) -> Evidence:
    return Evidence(f"{task.name} is busy", task.busy_ms, BUSY_MS, "ms a second")


def _over(*evidence: Evidence) -> tuple[Evidence, ...]:
    return tuple(fact for fact in evidence if fact.is_over)


def _looked_at(seen: Symptoms) -> tuple[Evidence, ...]:
    everything = (
        Evidence("oldest unread record has waited", seen.behind_ms, BEHIND_MS, "ms"),
        Evidence("window end to row", seen.freshness_ms, FRESHNESS_MS, "ms"),
        *(_busy(task) for task in seen.tasks),
        Evidence("CPU of the fullest container", seen.cpu_percent, CPU_PERCENT, "%"),
        Evidence("checkpoints failed", seen.checkpoints_failed, CHECKPOINTS_FAILED, "of the last ones"),
        Evidence("writes refused by the stream", seen.producers_refused, 1, "a minute"),
        Evidence("writes refused by the features table", seen.rows_refused, 1, "a minute"),
        Evidence("records of a shard", seen.shard_records, SHARD_RECORDS, "a second"),
    )
    return tuple(fact for fact in everything if fact.value is not None)
