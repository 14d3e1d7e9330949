"""One point of a curve: the job over a stream made for it, on a cluster of its own; one restore of so many events."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from flink_app.delivery import to_file
from flink_app.errors import FraudWindowsError
from flink_app.generate import START_MS, Shares, payments
from flink_app.local.cluster import FlinkCluster
from operators.event_log import EventLog
from operators.packing import event_schema
from tests.bench.agreement import rows_out
from tests.bench.contenders import FlinkContender, application_copy, job_properties, submit_copy
from tests.bench.payload import BENCH, RATE, SEED, Payload
from tests.bench.race import race
from tests.bench.result import Result, Setting
from tests.bucket_harness import Bucket
from tests.curves.axes import Load

_FOLDER: Final = BENCH / "curve"
_LIMIT_SECONDS: Final = 300


@dataclass(frozen=True)
class Restore:
    """A bucket that starts from its state, without Flink around it.

    Attributes:
        events: in its event log, without duplicates.
        seconds: until it may take the next payment, windows warm.
        log_bytes: of the event log.
    """

    events: int
    seconds: float
    log_bytes: int


class CurveError(FraudWindowsError):
    """A point that does not count."""


def measure(load: Load, events: int, backend: str, say: Callable[[str], None]) -> Result:
    """Run the job over `events` payments of this kind.

    Raises:
        CurveError: it did not end.
        AssertionError: its account is not the truth about the payments.
    """
    shutil.rmtree(_FOLDER, ignore_errors=True)
    archive = _FOLDER / "raw" / "dt=2026-01-01" / "hour=00" / "part-0.parquet"
    archive.parent.mkdir(parents=True)
    stream = payments(
        seed=SEED,
        events=events,
        customers=load.customers,
        rate=RATE,
        shares=Shares(late=load.late),
        merchants=load.merchants,
    )
    payload = Payload(_FOLDER, events, to_file(stream, archive).truth, 0.0)
    setting = Setting(_job(load), payload, backend, 1, _LIMIT_SECONDS)
    result = race(setting, say)
    if not result.finished:
        raise CurveError(f"{load}: not within {_LIMIT_SECONDS} s")
    _, rows = rows_out(setting.output, payload.truth)
    return replace(result, rows_final=rows)


def _job(load: Load) -> FlinkContender:
    def start(cluster: FlinkCluster, payload: Payload, output: Path, parallelism: int) -> str:
        copy = application_copy()
        if load.windows is not None:
            shutil.rmtree(copy / "sql" / "windows")
            (copy / "sql" / "windows").mkdir()
            for stem, text in load.windows.items():
                (copy / "sql" / "windows" / f"{stem}.sql").write_text(text)
        properties = job_properties(payload, output, separate_workers=False, buckets=4 * parallelism, live=False)
        return submit_copy(cluster, copy, properties, parallelism)

    return FlinkContender(name="curve", layouts={"features": "final Parquet"}, gives_work="read and gate", submit=start)


def restore(events: int) -> Restore:
    """Count so many payments in one bucket, then start another one from its state."""
    bucket = Bucket(now_ms=START_MS)
    for chunk in payments(seed=SEED, events=events, customers=20_000, rate=RATE):
        bucket.send(list(zip(chunk.records, (START_MS + chunk.send_offsets_ms).tolist(), strict=True)))
    bucket.restored(now_ms=START_MS)  # the first one in a process also loads what it needs
    began = time.perf_counter()
    again = bucket.restored(now_ms=START_MS)
    seconds = time.perf_counter() - began
    log = EventLog(again.state.log, again.state.schemas, event_schema(again.settings.contract))
    log_bytes = log.restore()
    return Restore(sum(some.num_rows for _, some in log.replay()), seconds, log_bytes)
