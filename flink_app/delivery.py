"""Where generated payments go: to a Kinesis stream at a steady rate, or into a file.

A `.parquet` file has the raw archive's layout, in arrival order, as if the stream had been read without a pause; a
`.jsonl` file has one record a line (a broken record may be no JSON).
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flink_app.errors import FraudWindowsError
from flink_app.generate import CHUNK, START_MS, Chunk, Truth
from operators.packing import RAW_SCHEMA

ROW_GROUP = 50_000
PUT_RECORDS = 500  # what one PutRecords call takes
PUT_BYTES = 4_500_000
SENDERS = 4
MAX_TRIES = 30

Progress = Callable[[int], None]


class DeliveryError(FraudWindowsError):
    """Records could not be delivered."""


@dataclass(frozen=True)
class Delivery:
    """What was delivered.

    Attributes:
        truth: expected exit of every record.
        seconds: from the first record to the last.
        slip_ms: how far behind its plan the sender was at worst; beyond SLIP_TOLERANCE_MS the truth is not sure.
    """

    truth: Truth
    seconds: float
    slip_ms: int = 0


def to_kinesis(
    chunks: Iterable[Chunk],
    kinesis: Any,
    stream: str,
    *,
    start_ms: int,
    progress: Progress = lambda _: None,
    stop: threading.Event | None = None,
) -> Delivery:
    """Send each record when its time has come, `start_ms` + its send offset.

    Several threads send batches of up to 500; records of one customer may overtake each other within a second.
    Throttled or failed records are sent again. Raises DeliveryError when an error is for good.

    Args:
        chunks: from generate.payments with the same start_ms.
        kinesis: boto3 client; needs SENDERS connections.
        stream: name.
        start_ms: epoch milliseconds; in the past means at once.
        progress: called with the number of records that a call has delivered.
        stop: when set, what is not sent yet is not sent; the truth then covers the records sent.
    """
    sender = _Sender(kinesis, stream, progress)
    truth, slip_ms = Truth(), 0
    began = time.monotonic()
    try:
        for chunk in chunks:
            sent_all = True
            for first, last in _batches(chunk):
                ahead_ms = start_ms + int(chunk.send_offsets_ms[last - 1]) - time.time() * 1000
                if ahead_ms > 0 and (stop or threading.Event()).wait(ahead_ms / 1000):
                    sent_all = False
                slip_ms = max(slip_ms, int(-ahead_ms))
                if not sent_all or (stop and stop.is_set()):
                    truth.add(chunk.head(first))
                    return Delivery(truth, time.monotonic() - began, slip_ms)
                sender.send(chunk.records[first:last], chunk.customers[first:last])
            truth.add(chunk)
    finally:
        sender.close()
    sender.raise_error()
    return Delivery(truth, time.monotonic() - began, slip_ms)


def to_file(
    chunks: Iterable[Chunk],
    path: Path,
    *,
    start_ms: int = START_MS,
    shards: int = 4,
    progress: Progress = lambda _: None,
) -> Delivery:
    """Write a `.parquet` or `.jsonl` file. Raises DeliveryError for any other name or a folder that is not there."""
    writers = {".parquet": _write_parquet, ".jsonl": _write_lines}
    if path.suffix not in writers:
        raise DeliveryError(f"--to {path}: wanted kinesis, FILE.parquet or FILE.jsonl")
    truth = Truth()

    def counted() -> Iterator[Chunk]:
        for chunk in chunks:
            yield chunk
            truth.add(chunk)
            progress(len(chunk.records))

    began = time.monotonic()
    try:
        writers[path.suffix](counted(), path, start_ms, shards)
    except OSError as error:
        raise DeliveryError(f"--to {path}: {error.strerror or error} · name a file in a folder that exists") from error
    return Delivery(truth, time.monotonic() - began)


def _write_lines(chunks: Iterator[Chunk], path: Path, _start_ms: int, _shards: int) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(b"\n".join(chunk.records) + b"\n")


def _write_parquet(chunks: Iterator[Chunk], path: Path, start_ms: int, shards: int) -> None:
    shard_of: dict[str, str] = {}
    position = 0
    with pq.ParquetWriter(path, RAW_SCHEMA, compression="zstd") as writer:
        for group in _groups(chunks, ROW_GROUP // CHUNK):
            batches = []
            for chunk in group:
                batches.append(_raw_batch(chunk, start_ms, shards, position, shard_of))
                position += len(chunk.records)
            writer.write_table(pa.Table.from_batches(batches), row_group_size=ROW_GROUP)


def _raw_batch(chunk: Chunk, start_ms: int, shards: int, position: int, shard_of: dict[str, str]) -> pa.RecordBatch:
    """The records as Kinesis would have stored them; sequence numbers grow with the arrival."""
    for customer in set(chunk.customers) - shard_of.keys():
        digest = int.from_bytes(hashlib.md5(customer.encode(), usedforsecurity=False).digest(), "big")
        shard_of[customer] = f"shardId-{digest * shards >> 128:012d}"  # Kinesis hashes the partition key just so
    columns = [
        pa.array(chunk.records, pa.binary()),
        pa.array((chunk.send_offsets_ms + start_ms).astype("datetime64[ms]")).cast(RAW_SCHEMA.field(1).type),
        pa.array([shard_of[customer] for customer in chunk.customers]),
        pa.array([f"{number:056d}" for number in range(position, position + len(chunk.records))]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=RAW_SCHEMA)


def _groups(chunks: Iterator[Chunk], size: int) -> Iterator[list[Chunk]]:
    group: list[Chunk] = []
    for chunk in chunks:
        group.append(chunk)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _batches(chunk: Chunk) -> Iterator[tuple[int, int]]:
    """Ranges of records that go out together: within the limits of a call, and no more than 200 ms of the plan."""
    sizes = np.cumsum([len(record) + len(name) for record, name in zip(chunk.records, chunk.customers, strict=True)])
    first, count = 0, len(chunk.records)
    while first < count:
        due = int(np.searchsorted(chunk.send_offsets_ms, chunk.send_offsets_ms[first] + 200, side="right"))
        fits = int(np.searchsorted(sizes, (sizes[first - 1] if first else 0) + PUT_BYTES, side="right"))
        last = max(first + 1, min(due, fits, first + PUT_RECORDS, count))
        yield first, last
        first = last


class _Sender:
    """Threads that put batches onto the stream; the first error for good ends them all."""

    def __init__(self, kinesis: Any, stream: str, progress: Progress) -> None:
        self._kinesis, self._stream, self._progress = kinesis, stream, progress
        self._batches: queue.Queue[list[dict[str, Any]] | None] = queue.Queue(2 * SENDERS)
        self._errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def send(self, records: list[bytes], keys: list[str]) -> None:
        self.raise_error()
        self._batches.put([{"Data": d, "PartitionKey": k} for d, k in zip(records, keys, strict=True)])

    def close(self) -> None:
        for _ in self._threads:
            self._batches.put(None)
        for thread in self._threads:
            thread.join()

    def raise_error(self) -> None:
        if self._errors:
            error = self._errors[0]
            if isinstance(error, FraudWindowsError):
                raise error
            raise DeliveryError(f"stream {self._stream}: {error}") from error

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            if self._errors:
                continue  # only empty the queue
            try:
                self._put(batch)
            except Exception as error:  # noqa: BLE001 it is raised in the thread that sends
                self._errors.append(error)

    def _put(self, batch: list[dict[str, Any]]) -> None:
        left = batch
        for tried in range(MAX_TRIES):
            answer = self._kinesis.put_records(StreamName=self._stream, Records=left)
            failed = [r for r, told in zip(left, answer["Records"], strict=True) if "ErrorCode" in told]
            self._progress(len(left) - len(failed))
            if not failed:
                return
            left = failed
            time.sleep(min(2.0, 0.1 * 1.5**tried))
        raise DeliveryError(f"stream {self._stream}: {len(left)} records refused {MAX_TRIES} times · lower --rate")
