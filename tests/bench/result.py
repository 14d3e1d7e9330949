"""What one run took, and when its first rows could be read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import NO_BACKEND, Contender
from tests.bench.payload import BENCH, Payload


@dataclass(frozen=True)
class Setting:
    """Who runs, how, on what.

    Attributes:
        contender, payload: see there.
        backend: 'heap', 'rocksdb', or `NO_BACKEND`.
        parallelism: of a Flink job; cores of Spark, threads of DuckDB.
        limit: seconds after which the run is stopped.
    """

    contender: Contender
    payload: Payload
    backend: str
    parallelism: int
    limit: float

    @property
    def output(self) -> Path:
        """Where the contender's rows lie after a run."""
        name = self.contender.name.replace(" ", "-").replace(",", "")
        return BENCH / "out" / f"{name}-{self.backend}-p{self.parallelism}-{self.payload.events}"

    @property
    def title(self) -> str:
        """As the tables name it, without the parallelism."""
        return self.contender.name + ("" if self.backend == NO_BACKEND else f", {self.backend}")


@dataclass(frozen=True)
class Result:
    """What a run took. Seconds are wall clock; CPU and memory are the TaskManager's and its workers', or the program's.

    Attributes:
        title: who, on which backend.
        contender, backend, parallelism: the same apart.
        payments: records there were.
        events: records read; how many at the most if the time was over.
        finished: False if the time was over.
        cold_seconds: from the start of the first process (cluster, client and workers included) to the end.
        job_seconds: RUNNING to FINISHED; of a program, from 'ready' to its end.
        steady_seconds: from the first records past the reader to FINISHED: without starting workers and compiling; of a
            program the same as job_seconds.
        first_row_seconds: from the start of the first process until a file of rows could be read; None: never.
        jvm_cpu_seconds, python_cpu_seconds: from submission to the end, start-up of the job included.
        steady_jvm_seconds, steady_python_seconds: CPU within steady_seconds.
        jvm_peak_mb, python_peak_mb: resident memory, highest.
        rows_live, rows_final: rows out.
        checkpoints: completed.
        state_mb: of the largest checkpoint.
        load: of the machine, one-minute average, when it began.
    """

    title: str
    contender: str
    backend: str
    parallelism: int
    payments: int
    events: int
    finished: bool
    cold_seconds: float
    job_seconds: float
    steady_seconds: float
    first_row_seconds: float | None
    jvm_cpu_seconds: float
    python_cpu_seconds: float
    steady_jvm_seconds: float
    steady_python_seconds: float
    jvm_peak_mb: float
    python_peak_mb: float
    rows_live: int
    rows_final: int
    checkpoints: int
    state_mb: float
    load: float

    @property
    def cold_rate(self) -> float:
        """Events a second, everything started for it."""
        return self.events / self.cold_seconds

    @property
    def job_rate(self) -> float:
        """Events a second over the whole job."""
        return self.events / self.job_seconds

    @property
    def steady_rate(self) -> float:
        """Events a second without the start-up: warm."""
        return self.events / self.steady_seconds

    @property
    def cpu(self) -> float:
        """CPU seconds for a million events, JVM and Python, without the start-up."""
        return (self.steady_jvm_seconds + self.steady_python_seconds) / self.events * 1e6 if self.events else 0.0

    @property
    def cores(self) -> float:
        """Cores that were busy, JVM and Python, without the start-up."""
        return (self.steady_jvm_seconds + self.steady_python_seconds) / self.steady_seconds


class FirstRow:
    """Looks now and then whether there is a file of rows that a reader may read; hidden ones are being written.

    Attributes:
        seconds: when it was seen, after `started`; None: not yet.
    """

    def __init__(self, setting: Setting, started: float) -> None:
        self._folders = [setting.output / folder for folder in setting.contender.layouts]
        self._started = started
        self.seconds: float | None = None

    def look(self) -> None:
        """Look once; costs nothing as soon as there is one."""
        if self.seconds is not None:
            return
        if any(file.stat().st_size for folder in self._folders for file in folder.rglob("part-*")):
            self.seconds = time.time() - self._started


def load() -> float:
    """Of the machine, one-minute average."""
    return float(Path("/proc/loadavg").read_text().split()[0])
