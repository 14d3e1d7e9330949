"""The gate: the first look at every record. It decodes, validates, judges lateness, masks, and packs by customer.

    admit(1,000 records) ──► one blob per customer bucket in the batch     accepted, in arrival order (see packing)
                         └─► one batch of rejects                          malformed, future, too_late; raw bytes intact

Lateness is a fact of the record (arrival time against event time), never of a watermark, so the same record leaves by
the same exit on every run:

                 arrival - L                         arrival           arrival + 5 s
    too_late  ──────[════════════ accepted ═════════════╪═══════════════════]────── future      both ends are accepted

Vectorised: a batch costs a few calls into C and, per event, some two Python-level steps. Nothing that a record holds
makes `admit` raise.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import packing
from operators.contract import CUSTOMER_ID, EVENT_ID, EVENT_TIME, Contract
from operators.decoding import Decoded, EventDecoder
from operators.masking import Masker

ACCEPTED: Final = "accepted"
MALFORMED: Final = "malformed"
FUTURE: Final = "future"
TOO_LATE: Final = "too_late"
EXITS: Final = (ACCEPTED, MALFORMED, FUTURE, TOO_LATE)

FUTURE_BOUND_MS: Final = 5_000
"""How far a payment's clock may run ahead of the stream's. Raising it keeps windows open that much longer."""

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Admission:
    """What became of a batch of records; every one of them is in `batches` or in `rejects`.

    Attributes:
        batches: (bucket key, blob) for each customer bucket with an accepted event; see `operators.packing`.
        rejects: packing.REJECT_SCHEMA in arrival order, or None when there are none.
        counts: records by exit, all of EXITS; they add up to the records that came in.
    """

    batches: list[tuple[int, bytes]]
    rejects: pa.RecordBatch | None
    counts: dict[str, int]


class Gate:
    """Admits the records of one contract. Holds no state between batches but a memory of masks.

    Pickles as its arguments, the masking key among them.
    """

    def __init__(
        self,
        contract: Contract,
        masking_key: str,
        bucket_keys: tuple[int, ...],
        future_bound_ms: int = FUTURE_BOUND_MS,
    ) -> None:
        """Prepare the decoder.

        `bucket_keys` (see `operators.buckets`) decides where a customer's state lives, as does the CRC-32 below:
        changing either sends customers to other buckets than the savepoint has them in.

        Raises:
            ValueError: the masking key is too short (only needed when a column is masked), or there is no bucket.
        """
        if not bucket_keys:
            raise ValueError("the gate needs at least one bucket")
        self._arguments = (contract, masking_key, bucket_keys, future_bound_ms)
        self._contract = contract
        self._future_bound_ms = future_bound_ms
        self._bucket_keys = bucket_keys
        self._decoder = EventDecoder(contract)
        self._schema = packing.event_schema(contract)
        self._masked = [at for at, column in enumerate(contract.columns) if column.pii]
        self._masker = Masker(masking_key) if self._masked else None
        self._customer, self._event, self._time = map(contract.names.index, (CUSTOMER_ID, EVENT_ID, EVENT_TIME))

    def admit(
        self,
        data: Sequence[bytes | None] | pa.BinaryArray,
        arrival_ms: Longs,
        shard: Sequence[str | None] | pa.Array,
        seq: Sequence[str | None] | pa.Array,
    ) -> Admission:
        """Judge a batch of records, given in arrival order; the four are columns of equal length.

        Args:
            data: the records' bytes; None is taken for an empty record, which is malformed.
            arrival_ms: arrival times, epoch milliseconds.
            shard: Kinesis shard of each record.
            seq: Kinesis sequence number of each record.
        """
        records = _records(data)
        if not records:
            return Admission([], None, dict.fromkeys(EXITS, 0))
        arrival = np.ascontiguousarray(arrival_ms, np.int64)
        raw = _raw_batch(records, arrival, shard, seq)
        decoded = self._decoder.decode(records, raw.column(0))
        ahead = np.zeros(len(records), np.int64)
        ahead[decoded.rows] = self._times(decoded) - arrival[decoded.rows]
        exits = np.full(len(records), EXITS.index(MALFORMED), np.int8)
        exits[decoded.rows] = self._judge(decoded, ahead[decoded.rows])
        counts = dict(zip(EXITS, np.bincount(exits, minlength=len(EXITS)).tolist(), strict=True))
        accepted = counts[ACCEPTED]
        return Admission(
            batches=self._pack(decoded, exits, raw) if accepted else [],
            rejects=self._reject(records, exits, raw, ahead) if accepted < len(records) else None,
            counts=counts,
        )

    def _times(self, decoded: Decoded) -> Longs:
        """Event times in epoch milliseconds, 0 where there is none."""
        times: Longs = decoded.columns[self._time].cast(pa.int64()).fill_null(0).to_numpy()
        return times

    def _judge(self, decoded: Decoded, ahead: Longs) -> npt.NDArray[np.int8]:
        """The exit of each decoded record, as an index into EXITS."""
        verdict = np.zeros(len(ahead), np.int8)
        verdict[ahead > self._future_bound_ms] = EXITS.index(FUTURE)
        verdict[-ahead > self._contract.lateness_ms] = EXITS.index(TOO_LATE)
        verdict[~decoded.fits] = EXITS.index(MALFORMED)
        return verdict

    def _pack(self, decoded: Decoded, exits: npt.NDArray[np.int8], raw: pa.RecordBatch) -> list[tuple[int, bytes]]:
        """A blob for each bucket; stable, so that arrival order holds inside."""
        customers = decoded.values[self._customer]
        accepted = np.flatnonzero(exits[decoded.rows] == 0)
        hashes = np.fromiter([zlib.crc32(customer.encode()) for customer in customers], np.int64, len(customers))
        buckets = (hashes % len(self._bucket_keys))[accepted]
        by_bucket = np.argsort(buckets, kind="stable")
        buckets = buckets[by_bucket]
        order = accepted[by_bucket]
        events = self._events(decoded, raw).take(pa.array(order))
        records = raw.take(pa.array(decoded.rows[order]))
        cuts = [0, *(np.flatnonzero(np.diff(buckets)) + 1).tolist(), len(buckets)]
        return [
            (
                self._bucket_keys[buckets[start]],
                packing.pack(events.slice(start, end - start), records.slice(start, end - start)),
            )
            for start, end in pairwise(cuts)
        ]

    def _events(self, decoded: Decoded, raw: pa.RecordBatch) -> pa.RecordBatch:
        """The decoded records under the event schema: masked, identified, with their arrival."""
        columns = list(decoded.columns)
        for at in self._masked:
            assert self._masker is not None
            columns[at] = pa.array(self._masker.mask(decoded.values[at]), pa.string())
        identity = _identities(decoded.values[self._customer], decoded.values[self._event])
        arrival = raw.column(1)
        if len(decoded.rows) < raw.num_rows:
            arrival = arrival.take(pa.array(decoded.rows))
        return pa.RecordBatch.from_arrays([*columns, *identity, arrival], schema=self._schema)

    def _reject(
        self, records: Sequence[bytes], exits: npt.NDArray[np.int8], raw: pa.RecordBatch, ahead: Longs
    ) -> pa.RecordBatch:
        """The rejected records as they came, with reason and detail; `ahead` is event time minus arrival."""
        rejected = np.flatnonzero(exits)
        reasons = [EXITS[code] for code in exits[rejected].tolist()]
        details = [
            self._decoder.reason(records[at]) if reason == MALFORMED else self._lateness_detail(reason, int(ahead[at]))
            for at, reason in zip(rejected.tolist(), reasons, strict=True)
        ]
        columns = raw.take(pa.array(rejected)).columns
        labels = [pa.array(reasons, pa.string()), pa.array(details, pa.string())]
        return pa.RecordBatch.from_arrays([*columns, *labels], schema=packing.REJECT_SCHEMA)

    def _lateness_detail(self, reason: str, ahead_ms: int) -> str:
        if reason == FUTURE:
            return f"event_time: {ahead_ms} ms after arrival; at most {self._future_bound_ms} ms are accepted"
        return f"event_time: {-ahead_ms} ms before arrival; at most {self._contract.lateness_ms} ms are accepted"

    def __repr__(self) -> str:
        return f"Gate({self._contract.table}, masking_key=***, {len(self._bucket_keys)} buckets)"

    def __reduce__(self) -> tuple[type[Gate], tuple[Contract, str, tuple[int, ...], int]]:
        return (Gate, self._arguments)


def _identities(customers: Sequence[str], events: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    """128 bits of BLAKE2b over customer and event id, as two uint64 columns.

    A cryptographic hash, so that nobody who chooses event ids can make two that collide and hide a payment as a
    duplicate of another. The length in front of the customer keeps ("a", "bc") and ("ab", "c") apart. The hashes are in
    the event log: another function, or another framing, makes stored events look new.
    """
    hashed = hashlib.blake2b
    digests = b"".join(
        [
            hashed(f"{len(customer)}:{customer}{event}".encode(), digest_size=16).digest()
            for customer, event in zip(customers, events, strict=True)
        ]
    )
    halves = np.frombuffer(digests, "<u8").reshape(-1, 2)
    return pa.array(np.ascontiguousarray(halves[:, 0])), pa.array(np.ascontiguousarray(halves[:, 1]))


def _records(data: Sequence[bytes | None] | pa.BinaryArray) -> list[bytes]:
    """The records as bytes objects, which decoding wants."""
    if not isinstance(data, pa.Array | pa.ChunkedArray):
        return [record if record is not None else b"" for record in data]
    parts = data.chunks if isinstance(data, pa.ChunkedArray) else [data]
    return [record for part in parts for record in _records_of(part.cast(pa.binary()))]


def _records_of(part: pa.BinaryArray) -> list[bytes]:
    """An Arrow array's values by its offsets: five times faster than `to_pylist`."""
    if part.null_count:
        part = part.fill_null(b"")
    _, offsets, values = part.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(part) + 1, part.offset * 4).tolist() if len(part) else [0]
    everything = values.to_pybytes() if values is not None else b""
    return [everything[start:end] for start, end in pairwise(bounds)]


def _raw_batch(
    records: Sequence[bytes],
    arrival: Longs,
    shard: Sequence[str | None] | pa.Array,
    seq: Sequence[str | None] | pa.Array,
) -> pa.RecordBatch:
    """The records as they came, packing.RAW_SCHEMA."""
    columns = [
        pa.array(records, pa.binary()),
        pa.array(arrival).cast(pa.timestamp("ms", "UTC")),
        _strings(shard),
        _strings(seq),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=packing.RAW_SCHEMA)


def _strings(values: Sequence[str | None] | pa.Array) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.cast(pa.string()) if isinstance(values, pa.Array) else pa.array(values, pa.string())
