"""`fraud-windows run`: the job on a real local Flink cluster, from start to printed account."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from flink_app.account import Account, AccountBook
from flink_app.local.cluster import FlinkCluster
from flink_app.local.cluster_config import ClusterSettings
from flink_app.local.flink_rest import ENDED, ClusterError
from flink_app.local.places import JAR, LOCAL, MAIN, ROOT
from flink_app.preflight import check_endpoints
from flink_app.properties import Properties, properties_path, read_properties
from flink_app.window_files import read_window_files

_POLL_SECONDS = 0.5
_PY_FILES = (ROOT / "flink_app", ROOT / "operators")


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        account: of law 1, over what this run stored.
        savepoint: where the job can go on; None for an archive, which ends by itself.
    """

    account: Account
    savepoint: str | None


def run_job(
    properties: Path | None = None,
    *,
    until_idle: float | None = None,
    parallelism: int = 1,
    savepoint: str | None = None,
    drain: bool = True,
    say: Callable[[str], None] = print,
) -> RunResult:
    """Run the job until it is idle, a signal comes, or its archive ends; then say where every record went.

    Args:
        properties: the properties file; None: the one that `local up` wrote, or the managed service's.
        until_idle: seconds without a record after which the run stops; None: only a signal stops it.
        parallelism: of the job.
        savepoint: where an earlier run stopped.
        drain: make the open windows final before stopping; False: stop so that a later run goes on from the savepoint.
        say: takes each line of progress.

    Raises:
        FraudWindowsError: what is wrong, a line each.
    """
    path = properties_path(properties)
    read = read_properties(properties)
    read_window_files(ROOT / "sql" / "windows", Path("sql/windows"))
    check_endpoints(read)  # what is left to find wrong needs the planner: main.py tells it, four seconds later
    book = AccountBook(read)
    with local_cluster(read, parallelism, say) as cluster:
        job = submit(cluster, path, parallelism, savepoint)
        say(f"job {job} is running · web UI {cluster.url} · logs {cluster.logs}")
        stopped_at = watch(cluster, job, until_idle, drain=drain, say=say)
    account = book.close()
    say("account of this run")
    for line in account.lines():
        say(line)
    if stopped_at is not None and not drain:
        say(f"go on with: fraud-windows run --savepoint {stopped_at}")
    return RunResult(account, stopped_at)


def local_cluster(
    properties: Properties, parallelism: int, say: Callable[[str], None], options: Mapping[str, str] | None = None
) -> FlinkCluster:
    """A cluster with the slots that the job needs; `options` of Flink on top."""
    groups = 2 if properties.runtime.separate_workers else 1
    settings = ClusterSettings(
        slots=parallelism * groups, s3_endpoint=properties.aws.endpoint or None, extra=options or {}
    )
    return FlinkCluster(settings, directory=LOCAL / "flink", progress=say)


def submit(cluster: FlinkCluster, properties: Path, parallelism: int, savepoint: str | None = None) -> str:
    """Submit the application as the managed service does, and wait until it runs; returns the job id."""
    job = cluster.submit(
        MAIN,
        jar=JAR,
        py_files=_PY_FILES,
        properties=properties.resolve(),
        parallelism=parallelism,
        savepoint=savepoint,
        allow_non_restored=savepoint is not None,  # the sink of a removed window file has nowhere to go
    )
    cluster.wait_running(job, timeout=120)
    return job


def watch(
    cluster: FlinkCluster, job: str, until_idle: float | None, *, drain: bool, say: Callable[[str], None]
) -> str | None:
    """Show progress until the job ends or is to be stopped; returns its savepoint (None: it ended by itself)."""
    records, moved_at, shown_at = -1, time.monotonic(), 0.0
    with _stop_signals() as stop:
        while not stop.is_set():
            if cluster.job_state(job) in ENDED:
                cluster.raise_if_failed(job)
                return None
            now, seen = time.monotonic(), records_read(cluster, job)
            if seen != records:
                records, moved_at = seen, now
            if now - shown_at >= 5:
                shown_at = now
                say(f"{records:,} records read")
            if until_idle is not None and now - moved_at >= until_idle:
                say(f"no record for {until_idle:g} s")
                break
            stop.wait(_POLL_SECONDS)
        say("stopping: open windows become final" if drain else "stopping with a savepoint")
        return cluster.stop_with_savepoint(job, drain=drain)


def records_read(cluster: FlinkCluster, job: str) -> int:
    """How many records the source has emitted since the job (re)started."""
    try:
        return int(cluster.metric(job, r"^Source__.*\.numRecordsOut$"))
    except ClusterError:  # the job is restarting
        return 0


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM set the event; a second one ends the program the usual way."""
    stop = threading.Event()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    for number in handlers:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
