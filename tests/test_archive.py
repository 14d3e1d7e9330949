"""The raw archive as a source: order of chunks, timestamps of every kind, errors."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flink_app.archive import ArchiveError, ArchiveStore, list_chunks, read_chunk
from operators.packing import RAW_SCHEMA

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def records(*arrivals_ms):
    count = len(arrivals_ms)
    arrival_time = pa.array([START + ms for ms in arrivals_ms], pa.timestamp("ms", "UTC"))
    columns = [pa.array([b"{}"] * count), arrival_time, pa.array(["shard-0"] * count), pa.array(["1"] * count)]
    return pa.Table.from_arrays(columns, schema=RAW_SCHEMA)


def write(folder, name, *arrivals_ms, row_group=2, **options):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(records(*arrivals_ms), file, row_group_size=row_group, **options)


def test_chunks_come_by_first_arrival_whatever_the_files_are_called(tmp_path):
    write(tmp_path, "dt=2026-01-01/hour=00/a.parquet", 500, 400, 900, 800)
    write(tmp_path, "dt=2026-01-01/hour=00/b.parquet", 100, 950, 600)
    chunks = list_chunks(ArchiveStore(str(tmp_path)))
    assert [chunk.first_arrival_ms - START for chunk in chunks] == [100, 400, 600, 800]
    assert [chunk.rows for chunk in chunks] == [2, 2, 1, 2]


def test_no_record_behind_a_chunk_arrived_before_the_chunk_began(tmp_path):
    write(tmp_path, "x", 70, 10, 30, 90, 20, 60, 50)
    write(tmp_path, "y", 40, 80, 0, 15)
    store = ArchiveStore(str(tmp_path))
    chunks = list_chunks(store)
    for at, chunk in enumerate(chunks):
        rest = pa.concat_arrays([read_chunk(store, later)["arrival_time"] for later in chunks[at:]])
        assert pa.compute.min(rest.cast(pa.int64())).as_py() == chunk.first_arrival_ms


def test_listing_twice_gives_the_same_order_also_for_equal_arrivals(tmp_path):
    for name in ("c", "a", "b"):
        write(tmp_path, name, 5, 5, 5, 5)
    store = ArchiveStore(f"file://{tmp_path}")
    assert list_chunks(store) == list_chunks(pickle.loads(pickle.dumps(store)))
    assert [(chunk.file[-1], chunk.row_group) for chunk in list_chunks(store)] == [
        (name, group) for name in "abc" for group in (0, 1)
    ]


@pytest.mark.parametrize(
    ("type_", "options"),
    [
        (pa.timestamp("ms", "UTC"), {}),
        (pa.timestamp("ms"), {}),
        (pa.timestamp("us", "UTC"), {}),
        (pa.timestamp("us"), {"write_statistics": False}),
        (pa.timestamp("ns"), {"version": "2.6"}),
        (pa.timestamp("ns"), {"use_deprecated_int96_timestamps": True}),
        (pa.timestamp("us", "Europe/Berlin"), {}),
    ],
)
def test_every_timestamp_encoding_gives_utc_milliseconds(tmp_path, type_, options):
    arrivals = pa.array([START + 1234, START + 77], pa.timestamp("ms", "UTC"))
    if type_.tz is None:
        arrivals = arrivals.cast(pa.int64()).cast(pa.timestamp("ms"))
    at = RAW_SCHEMA.get_field_index("arrival_time")
    table = records(0, 0).set_column(at, "arrival_time", arrivals.cast(type_))
    pq.write_table(table, tmp_path / "f", **options)
    store = ArchiveStore(str(tmp_path))
    (chunk,) = list_chunks(store)
    assert chunk.first_arrival_ms == START + 77
    batch = read_chunk(store, chunk)
    assert batch.schema == RAW_SCHEMA
    assert batch["arrival_time"].to_pylist()[0] == datetime(2026, 1, 1, 0, 0, 1, 234000, tzinfo=UTC)


def test_hidden_and_empty_files_are_not_read(tmp_path):
    write(tmp_path, "dt=2026-01-01/.part-0.inprogress", 1)
    write(tmp_path, "dt=2026-01-01/_SUCCESS", 1)
    with pytest.raises(ArchiveError, match="holds no Parquet file"):
        list_chunks(ArchiveStore(str(tmp_path)))


def test_what_is_no_raw_archive_is_named(tmp_path):
    pq.write_table(records(1).drop(["shard_id"]), tmp_path / "f")
    with pytest.raises(ArchiveError, match="no column shard_id"):
        list_chunks(ArchiveStore(str(tmp_path)))
    (tmp_path / "f").write_bytes(b"text, not Parquet")
    with pytest.raises(ArchiveError, match="not a Parquet file"):
        list_chunks(ArchiveStore(str(tmp_path)))
    with pytest.raises(ArchiveError, match="neither s3://"):
        ArchiveStore("gs://bucket/raw")
