"""The raw archive as a source: Parquet row groups in arrival order.

The archive of a Kinesis run (`raw/dt=YYYY-MM-DD/hour=HH/*.parquet`) is taken apart into chunks, one for each row group.
Chunks are sorted by their first arrival, so the first arrival of a chunk bounds every record that is still to come:

    chunk      0        1          2                      records inside a chunk and overlaps between chunks may be
    arrival    |-----------|                              in any order; what counts is that nothing behind chunk i
                   |----------|                           arrived before its first arrival
                        |-------------|
    clock      ^   ^    ^   first arrival of chunk i, the watermark's base while chunk i is read

Reading needs a folder, or `s3://` through boto3: range requests, so that listing reads footers only.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from flink_app.aws_clients import client
from flink_app.errors import FraudWindowsError
from operators.packing import RAW_SCHEMA

ARRIVAL_TIME: Final = "arrival_time"
_HIDDEN = (".", "_")  # files in progress and markers, as every reader of such folders skips them


class ArchiveError(FraudWindowsError):
    """`Source: path` cannot be read as a raw archive."""


class EmptyArchiveError(ArchiveError):
    """It can be read, but no Parquet file is there."""


@dataclass(frozen=True)
class Chunk:
    """One row group.

    Attributes:
        file: path or S3 key, relative to nothing: as `ArchiveStore.open` wants it.
        row_group: its number in the file.
        rows: number of records.
        first_arrival_ms: the earliest arrival time in it, milliseconds since the epoch, UTC.
    """

    file: str
    row_group: int
    rows: int
    first_arrival_ms: int


@dataclass(frozen=True)
class ArchiveStore:
    """Where the archive lies; picklable, the S3 client is made where it is used.

    Attributes:
        path: a folder, `file://` folder or `s3://bucket/prefix`.
        region: AWS region.
        endpoint: URL of a local AWS; empty for real AWS.
    """

    path: str
    region: str = ""
    endpoint: str = ""
    _location: tuple[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        url = urlsplit(self.path)
        if url.scheme in {"s3", "s3a"}:
            object.__setattr__(self, "_location", (url.netloc, url.path.strip("/")))
        elif url.scheme in {"", "file"}:
            object.__setattr__(self, "_location", ("", url.path))
        else:
            raise ArchiveError(f"Source: path '{self.path}' is neither s3://bucket/prefix nor a folder")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_client"}

    @cached_property
    def _client(self) -> Any:
        return client("s3", self.region, self.endpoint)

    def files(self) -> list[str]:
        """All Parquet files below the path, sorted by name.

        Raises:
            EmptyArchiveError: nothing there.
            ArchiveError: S3 says no.
        """
        bucket, prefix = self._location
        found = sorted(self._s3_keys(bucket, prefix) if bucket else self._local_files(Path(prefix)))
        if not found:
            wanted = "wanted a raw archive: dt=…/hour=…/*"
            raise EmptyArchiveError(f"Source: path '{self.path}' holds no Parquet file; {wanted}")
        return found

    def open(self, file: str) -> pq.ParquetFile:
        """A file for reading parts of it."""
        bucket, _ = self._location
        return pq.ParquetFile(pa.PythonFile(_S3Object(self._client, bucket, file), mode="r") if bucket else file)

    def _local_files(self, folder: Path) -> Iterator[str]:
        for file in folder.rglob("*"):
            if file.is_file() and not any(part.startswith(_HIDDEN) for part in file.relative_to(folder).parts):
                yield str(file)

    def _s3_keys(self, bucket: str, prefix: str) -> Iterator[str]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - a folder needs no AWS

        listing = self._client.get_paginator("list_objects_v2")
        pages = listing.paginate(Bucket=bucket, Prefix=f"{prefix}/" if prefix else "")
        try:
            for item in (item for page in pages for item in page.get("Contents", ())):
                name = item["Key"][len(prefix) :].strip("/")
                if item["Size"] and not any(part.startswith(_HIDDEN) for part in name.split("/")):
                    yield item["Key"]
        except (BotoCoreError, ClientError) as error:
            raise ArchiveError(f"Source: path '{self.path}': {error}") from error


@dataclass(frozen=True)
class ChunkReader:
    """Chunk number -> its records; picklable, runs in the workers."""

    store: ArchiveStore
    chunks: tuple[Chunk, ...]

    def __call__(self, number: int) -> pa.RecordBatch:
        return read_chunk(self.store, self.chunks[number])


def list_chunks(store: ArchiveStore) -> tuple[Chunk, ...]:
    """All row groups of the archive by first arrival (then file and number, so that two listings agree).

    Raises:
        ArchiveError: no files, a file that is not Parquet, or one without the raw columns.
    """
    chunks = [chunk for file in store.files() for chunk in _chunks_of(store, file)]
    return tuple(sorted(chunks, key=lambda chunk: (chunk.first_arrival_ms, chunk.file, chunk.row_group)))


def read_chunk(store: ArchiveStore, chunk: Chunk) -> pa.RecordBatch:
    """The records of one row group, RAW_SCHEMA."""
    table = store.open(chunk.file).read_row_group(chunk.row_group, columns=RAW_SCHEMA.names)
    columns = {name: _whole(table.column(name)) for name in RAW_SCHEMA.names}
    columns[ARRIVAL_TIME] = _milliseconds(columns[ARRIVAL_TIME])
    return pa.RecordBatch.from_arrays(
        [columns[wanted.name].cast(wanted.type) for wanted in RAW_SCHEMA], schema=RAW_SCHEMA
    )


def _chunks_of(store: ArchiveStore, file: str) -> Iterator[Chunk]:
    try:
        parquet = store.open(file)
    except pa.ArrowInvalid as error:
        raise ArchiveError(f"{file}: not a Parquet file: {error}") from error
    missing = [name for name in RAW_SCHEMA.names if name not in parquet.schema_arrow.names]
    if missing:
        got = ", ".join(parquet.schema_arrow.names)
        raise ArchiveError(f"{file}: not a raw archive: no column {', '.join(missing)}; got {got}")
    arrival = parquet.schema_arrow.names.index(ARRIVAL_TIME)
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        if group.num_rows:
            statistics = group.column(arrival).statistics
            if statistics is not None and statistics.has_min_max:
                values = pa.array([statistics.min], parquet.schema_arrow.field(arrival).type)
            else:  # INT96 has none
                values = parquet.read_row_group(number, columns=[ARRIVAL_TIME]).column(0).combine_chunks()
            first = pa.compute.min(_milliseconds(values).cast(pa.int64())).as_py()
            yield Chunk(file, number, group.num_rows, first)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """In one piece; `combine_chunks` would copy even a single one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _milliseconds(arrivals: pa.Array) -> pa.Array:
    """Any Parquet timestamp (INT64 of every unit or INT96, with a zone or without: UTC) in milliseconds, UTC."""
    unzoned = arrivals.cast(pa.timestamp(arrivals.type.unit))
    return unzoned.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()).cast(pa.timestamp("ms", "UTC"))


class _S3Object(io.RawIOBase):
    """An S3 object as a file: every read is one range request."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._size: int = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        span = f"bytes={self._at}-{end - 1}"
        body = self._client.get_object(Bucket=self._bucket, Key=self._key, Range=span)["Body"]
        data: bytes = body.read()
        self._at += len(data)
        return data
