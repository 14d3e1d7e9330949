"""The blob between gate and keyed operator: what goes in comes out, from fewer bytes, and damage is noticed."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from operators import packing
from operators.contract import Column, Contract

CONTRACT = Contract(
    table="events",
    columns=(
        Column("event_id", "STRING", nullable=False),
        Column("customer_id", "STRING", nullable=False),
        Column("amount", "DECIMAL(12, 2)", nullable=False),
        Column("event_time", "TIMESTAMP_LTZ(3)", nullable=False),
        Column("card_present", "BOOLEAN"),
        Column("visits", "INT"),
    ),
    lateness_ms=120_000,
)
SCHEMA = packing.event_schema(CONTRACT)


def events(count: int) -> pa.RecordBatch:
    """`count` events that differ in every column; every third has no `card_present`."""
    rows = [
        {
            "event_id": f"e{i}",
            "customer_id": f"c{i}",
            "amount": Decimal(i),
            "event_time": i,
            "card_present": None if i % 3 == 0 else i % 2 == 0,
            "visits": i,
            "_id_hi": 2**64 - 1 - i,
            "_id_lo": i,
            "_arrival": i + 5,
        }
        for i in range(count)
    ]
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def raw(count: int) -> pa.RecordBatch:
    """The records that `events(count)` could have come from; the shard of every second one is unknown."""
    columns = [
        pa.array([b"\x00\xff%d" % i for i in range(count)], pa.binary()),
        pa.array(range(count), pa.timestamp("ms", "UTC")),
        pa.array([None if i % 2 else "shard" for i in range(count)], pa.string()),
        pa.array([str(i) for i in range(count)], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=packing.RAW_SCHEMA)


@pytest.mark.parametrize("count", [0, 1, 7, 1_000])
def test_a_blob_gives_back_its_events_and_their_raw_records(count: int) -> None:
    blob = packing.pack(events(count), raw(count))

    assert packing.unpack_events(blob, SCHEMA).equals(events(count))
    assert packing.unpack_raw(blob).equals(raw(count))


def test_a_slice_is_packed_without_its_neighbours() -> None:
    blob = packing.pack(events(1_000).slice(500, 2), raw(1_000).slice(500, 2))

    assert packing.unpack_events(blob, SCHEMA).equals(events(1_000).slice(500, 2))
    assert len(blob) < 3_000


def test_a_blob_takes_less_than_half_of_what_it_holds() -> None:
    batches = events(1_000), raw(1_000)
    assert len(packing.pack(*batches)) * 2 < sum(batch.serialize().size for batch in batches)


def test_the_log_keeps_the_events_and_drops_the_raw_records() -> None:
    blob = packing.pack(events(10), raw(10))
    kept = packing.drop_raw(blob)

    assert len(kept) < len(blob)
    assert packing.drop_raw(kept) is kept
    assert packing.unpack_events(kept, SCHEMA).equals(events(10))
    assert packing.fingerprint_of(kept) == packing.fingerprint_of(blob)
    with pytest.raises(packing.PackingError, match="were dropped"):
        packing.unpack_raw(kept)


def test_the_fingerprint_changes_with_names_types_and_order_only() -> None:
    swapped = pa.schema([SCHEMA.field(1), SCHEMA.field(0), *list(SCHEMA)[2:]])
    retyped = SCHEMA.set(2, pa.field("amount", pa.decimal128(14, 2)))
    optional = SCHEMA.set(2, pa.field("amount", pa.decimal128(12, 2), nullable=True))

    prints = [packing.fingerprint(schema) for schema in (SCHEMA, swapped, retyped, SCHEMA.remove(5))]
    assert len(set(prints)) == len(prints)
    assert packing.fingerprint(optional) == prints[0]
    assert packing.fingerprint_of(packing.pack(events(1), raw(1))) == prints[0]


def test_the_fingerprint_is_what_stored_logs_were_written_with() -> None:
    assert packing.fingerprint(pa.schema([("a", pa.string()), ("b", pa.timestamp("ms", "UTC"))])) == 1886228507


def test_a_blob_of_another_schema_is_refused() -> None:
    blob = packing.pack(events(1), raw(1))
    with pytest.raises(packing.PackingError, match="written under event schema"):
        packing.unpack_events(blob, SCHEMA.remove(5))


def test_events_and_raw_records_must_be_as_many() -> None:
    with pytest.raises(packing.PackingError, match="2 events but 1 raw"):
        packing.pack(events(2), raw(1))


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:10], lambda b: b"XXXX" + b[4:], lambda b: b + b"\0"])
def test_a_damaged_blob_is_an_error_not_a_wrong_batch(damage: object) -> None:
    blob = damage(packing.pack(events(3), raw(3)))  # type: ignore[operator]
    for read in (packing.unpack_raw, packing.fingerprint_of, packing.drop_raw):
        with pytest.raises(packing.PackingError):
            read(blob)


def test_stored_events_take_on_a_column_that_the_contract_has_gained() -> None:
    wider = SCHEMA.insert(6, pa.field("loyalty", pa.int64()))
    conformed = packing.conform(events(3), wider)

    assert conformed.schema.equals(wider)
    assert conformed.column(6).null_count == 3
    assert packing.conform(conformed, SCHEMA).equals(events(3))


def test_stored_events_cannot_take_on_a_changed_type_or_a_column_that_must_not_be_null() -> None:
    with pytest.raises(packing.PackingError, match=r"column 'amount' is decimal128\(12, 2\) in stored events"):
        packing.conform(events(1), SCHEMA.set(2, pa.field("amount", pa.decimal128(14, 2))))
    with pytest.raises(packing.PackingError, match=r"column 'loyalty' does not exist .* int64 NOT NULL"):
        packing.conform(events(1), SCHEMA.append(pa.field("loyalty", pa.int64(), nullable=False)))


def test_a_batch_survives_the_stream_that_leaves_python() -> None:
    assert packing.read_ipc_stream(packing.ipc_stream(raw(5))).equals(raw(5))
