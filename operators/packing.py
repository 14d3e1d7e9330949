"""How events travel from the gate to the keyed operator: one blob for each customer bucket in a batch.

    offset 0        4             8                 12              16
           | "FWB2" | fingerprint | length(events)  | length(raw)   | events ... | raw ... |

Little-endian; `events` and `raw` are Arrow record batches without their schema (`RecordBatch.serialize`), each LZ4
behind its size (uint32): LZ4 takes less time than the copies it saves, as a blob crosses between Python and the JVM
three times, a network once, and stays in every checkpoint. `events` holds the accepted events in arrival order, `raw`
the records they came from, row by row; `raw` travels along only so that an event that turns out to be behind its window
can be quarantined as it was. The event log keeps `drop_raw(blob)`.

The fingerprint is a CRC-32 of the event schema's column names and types. Blobs live in Flink state: changing what the
fingerprint is made of, the header or the order of the columns makes every stored log unreadable.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import pyarrow as pa

from operators.contract import Contract

ID_HIGH: Final = "_id_hi"
ID_LOW: Final = "_id_lo"
ARRIVAL: Final = "_arrival"

RAW_SCHEMA: Final = pa.schema(
    [
        pa.field("data", pa.binary(), nullable=False),
        pa.field("arrival_time", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("shard_id", pa.string()),
        pa.field("sequence_number", pa.string()),
    ]
)
REJECT_SCHEMA: Final = pa.schema(
    [*RAW_SCHEMA, pa.field("reason", pa.string(), nullable=False), pa.field("detail", pa.string())]
)

_HEADER: Final = struct.Struct("<4sIII")
_MAGIC: Final = b"FWB2"
_SIZE: Final = struct.Struct("<I")
_LZ4: Final = pa.Codec("lz4_raw")
_RAW_DROPPED: Final = 0  # a record batch of no rows still has a header, so no length is ever 0


class PackingError(ValueError):
    """The bytes are not a blob, or not one of the schema that was asked for."""


def event_schema(contract: Contract) -> pa.Schema:
    """Schema of packed events: the contract's columns in order, a 128-bit event identity and the arrival time."""
    identity = [pa.field(name, pa.uint64(), nullable=False) for name in (ID_HIGH, ID_LOW)]
    arrival = pa.field(ARRIVAL, pa.timestamp("ms", "UTC"), nullable=False)
    return pa.schema([*contract.arrow_schema(), *identity, arrival])


def fingerprint(schema: pa.Schema) -> int:
    """CRC-32 of names and types in order; whether a column may be null does not matter to a reader."""
    return zlib.crc32(";".join(f"{field.name} {field.type}" for field in schema).encode())


class _LastFingerprint:
    """Fingerprint of the schema seen last: a job has one, and comparing costs 0.1 µs where computing costs 10."""

    schema: pa.Schema | None = None
    value = 0

    def of(self, schema: pa.Schema) -> int:
        if self.schema is None or not schema.equals(self.schema):
            self.schema, self.value = schema, fingerprint(schema)
        return self.value


_last = _LastFingerprint()


def pack(events: pa.RecordBatch, raw: pa.RecordBatch) -> bytes:
    """One blob of `events` (any event schema) and their `raw` records (RAW_SCHEMA), row for row.

    Raises:
        PackingError: the two have different numbers of rows.
    """
    if events.num_rows != raw.num_rows:
        raise PackingError(f"{events.num_rows} events but {raw.num_rows} raw records; each event needs its record")
    event_bytes, raw_bytes = _compressed(events), _compressed(raw)
    header = _HEADER.pack(_MAGIC, _last.of(events.schema), len(event_bytes), len(raw_bytes))
    return b"".join((header, event_bytes, raw_bytes))


def unpack_events(blob: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """The events of a blob.

    Raises:
        PackingError: not a blob, cut short, or written under another schema than `schema` (see `conform`).
    """
    written, events_length, _ = _read_header(blob)
    if written != _last.of(schema):
        wanted = _last.of(schema)
        raise PackingError(f"the blob was written under event schema {written:08x}, not {wanted:08x}: {schema.names}")
    return _decompressed(blob, _HEADER.size, events_length, schema)


def unpack_raw(blob: bytes) -> pa.RecordBatch:
    """The raw records of a blob (RAW_SCHEMA), row for row with its events.

    Raises:
        PackingError: not a blob, cut short, or one that went through `drop_raw`.
    """
    _, events_length, raw_length = _read_header(blob)
    if raw_length == _RAW_DROPPED:
        raise PackingError("the blob's raw records were dropped; only its events are left")
    return _decompressed(blob, _HEADER.size + events_length, raw_length, RAW_SCHEMA)


def fingerprint_of(blob: bytes) -> int:
    """Fingerprint of the event schema that a blob was written under.

    Raises:
        PackingError: not a blob.
    """
    return _read_header(blob)[0]


def drop_raw(blob: bytes) -> bytes:
    """The same blob without its raw records; a blob that has none comes back as it is.

    Raises:
        PackingError: not a blob.
    """
    written, events_length, raw_length = _read_header(blob)
    if raw_length == _RAW_DROPPED:
        return blob
    header = _HEADER.pack(_MAGIC, written, events_length, _RAW_DROPPED)
    return b"".join((header, memoryview(blob)[_HEADER.size : _HEADER.size + events_length]))


def conform(events: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Events written under an older (or newer) contract, as `schema` wants them: a column they lack is NULL.

    Raises:
        PackingError: a column has changed its type, or is NOT NULL and missing.
    """
    columns = []
    for field in schema:
        at = events.schema.get_field_index(field.name)
        if at >= 0 and events.schema.field(at).type == field.type:
            columns.append(events.column(at))
        elif at < 0 and field.nullable:
            columns.append(pa.nulls(events.num_rows, field.type))
        else:
            was = "does not exist" if at < 0 else f"is {events.schema.field(at).type}"
            wanted = f"{field.type}{'' if field.nullable else ' NOT NULL'}"
            raise PackingError(f"column '{field.name}' {was} in stored events, the contract wants {wanted}")
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def ipc_stream(batch: pa.RecordBatch) -> bytes:
    """One batch as a whole Arrow IPC stream (schema, batch, end), as the job's table function ARROW_ROWS reads it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def read_ipc_stream(stream: bytes) -> pa.RecordBatch:
    """The one batch of a stream that `ipc_stream` wrote, as views of it."""
    with pa.ipc.open_stream(pa.py_buffer(stream)) as reader:
        return reader.read_next_batch()


def _compressed(batch: pa.RecordBatch) -> bytes:
    plain = batch.serialize()
    packed: bytes = _LZ4.compress(plain, asbytes=True)
    return _SIZE.pack(plain.size) + packed


def _decompressed(blob: bytes, start: int, length: int, schema: pa.Schema) -> pa.RecordBatch:
    (size,) = _SIZE.unpack_from(blob, start)
    packed = pa.py_buffer(blob).slice(start + _SIZE.size, length - _SIZE.size)
    return pa.ipc.read_record_batch(_LZ4.decompress(packed, size), schema)


def _read_header(blob: bytes) -> tuple[int, int, int]:
    """Fingerprint, length of events, length of raw."""
    if len(blob) < _HEADER.size:
        raise PackingError(f"{len(blob)} bytes are not a blob of events; the header alone takes {_HEADER.size}")
    magic, written, events_length, raw_length = _HEADER.unpack_from(blob)
    if magic != _MAGIC:
        raise PackingError(f"not a blob of events: it begins with {magic!r}, wanted {_MAGIC!r}")
    if len(blob) != _HEADER.size + events_length + raw_length:
        wanted = _HEADER.size + events_length + raw_length
        raise PackingError(f"the blob of events has {len(blob)} bytes, its header says {wanted}")
    return written, events_length, raw_length
