"""The least that the core of a stage costs: a library call on the same payments, in one process, nothing around it."""

from __future__ import annotations

import hashlib
import io
import itertools
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import msgspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from operators.buckets import bucket_keys
from operators.gate import Gate
from tests.bench.payload import Payload
from tests.delivered import CONTRACT

_PAYMENTS: Final = 100_000
_BATCH: Final = 16_000  # records that the gate gets at a time, as from an archive with four buckets
_ROUNDS: Final = 5
_SECONDS: Final = 2  # that each process works at a time

FLOORS: Final = {  # what each measures, in words
    "read": "reading the record's bytes from Parquet",
    "parse": "orjson parse",
    "decode": "msgspec decode into a typed object",
    "hash": "BLAKE2b of the id",
    "gate": "**this gate, alone on the machine**",
    "copy": "Arrow copy: write the columns as IPC and read them",
    "member": "look up in a set, add",
    "update": "dict update",
    "write": "PyArrow write of the columns as Parquet, ZSTD",
}


class _Payment(msgspec.Struct, gc=False):
    event_id: str
    customer_id: str
    merchant_id: str
    amount: msgspec.Raw
    event_time: str
    currency: str | None = None
    country: str | None = None
    channel: str | None = None
    device_id: str | None = None
    email: str | None = None
    card_present: bool | None = None


@dataclass(frozen=True)
class Floors:
    """Attributes:
    payments: how many were used; malformed ones left out.
    micros: key of FLOORS -> microseconds per payment.
    """

    payments: int
    micros: dict[str, float]


def floors(payload: Payload) -> Floors:
    """Measure them all, a few seconds."""
    file, whole, gate = _archive(payload), _first_payments(payload), _gate()
    records = [record for record in whole.column("data").to_pylist() if _is_payment(record)]
    payments = [msgspec.json.decode(record, type=_Payment) for record in records]
    ids = [f"{payment.customer_id}{payment.event_id}".encode() for payment in payments]
    customers = [payment.customer_id for payment in payments]
    columns = {name: [getattr(payment, name) for payment in payments] for name in _Payment.__struct_fields__}
    table = pa.table({name: values for name, values in columns.items() if name != "amount"})
    decode = msgspec.json.Decoder(_Payment).decode
    work: dict[str, Callable[[], object]] = {
        "read": lambda: next(pq.ParquetFile(file).iter_batches(_PAYMENTS, columns=["data"])),
        "parse": lambda: _each(orjson.loads, records),
        "decode": lambda: _each(decode, records),
        "hash": lambda: _each(lambda text: hashlib.blake2b(text, digest_size=16).digest(), ids),
        "gate": lambda: _admitted(gate, whole),
        "copy": lambda: _copied(table),
        "member": lambda: _seen(ids),
        "update": lambda: _counted(customers),
        "write": lambda: pq.write_table(table, io.BytesIO(), compression="zstd"),
    }
    assert work.keys() == FLOORS.keys()
    return Floors(len(records), {name: _best(do) / len(records) * 1e6 for name, do in work.items()})


def together(payload: Payload) -> float:
    """How many times what one process admits through its gate do two, at the same time, sharing nothing."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(_gate_rate, [payload] * 2))  # both are up, and have imported
        ratios = []
        for _ in range(_ROUNDS):
            alone = pool.submit(_gate_rate, payload).result()
            ratios.append(sum(pool.map(_gate_rate, [payload] * 2)) / alone)
    return statistics.median(ratios)


def _gate_rate(payload: Payload) -> float:
    """Payments a second through a gate, for some seconds."""
    whole = _first_payments(payload)
    gate = _gate()
    began, passes = time.perf_counter(), 0
    while time.perf_counter() - began < _SECONDS:
        _admitted(gate, whole)
        passes += 1
    return passes * whole.num_rows / (time.perf_counter() - began)


def _first_payments(payload: Payload) -> pa.RecordBatch:
    return next(pq.ParquetFile(_archive(payload)).iter_batches(_PAYMENTS))


def _archive(payload: Payload) -> Path:
    (file,) = sorted(payload.raw.rglob("*.parquet"))
    return file


def _gate() -> Gate:
    return Gate(CONTRACT, "a local key, which is no secret", bucket_keys(4))


def _admitted(gate: Gate, records: pa.RecordBatch) -> None:
    for start in range(0, records.num_rows, _BATCH):
        data, arrival, shard, number = records.slice(start, _BATCH).columns
        gate.admit(data, arrival.cast(pa.int64()).to_numpy(), shard, number)


def _is_payment(record: bytes) -> bool:
    try:
        msgspec.json.decode(record, type=_Payment)
    except (msgspec.MsgspecError, UnicodeError):
        return False
    return True


def _best(do: Callable[[], object]) -> float:
    def once() -> float:
        began = time.perf_counter()
        do()
        return time.perf_counter() - began

    return min(once() for _ in range(_ROUNDS))


def _each(do: Callable[[bytes], object], values: list[bytes]) -> None:
    for _ in itertools.islice(map(do, values), len(values)):
        pass


def _copied(table: pa.Table) -> pa.Table:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _seen(ids: list[bytes]) -> set[bytes]:
    seen: set[bytes] = set()
    for each in ids:
        if each not in seen:
            seen.add(each)
    return seen


def _counted(customers: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for customer in customers:
        counts[customer] = counts.get(customer, 0) + 1
    return counts
