"""Batches of packed events (see `operators.packing`) as the keyed operator handles them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.packing import ARRIVAL
from operators.partials import Codes

_LARGE = 16_384  # rows: a pass over so many events costs little more than the events themselves


def epoch_ms(column: pa.Array) -> Codes:
    """A timestamp('ms') column as numbers, shape (n,)."""
    return np.asarray(column.view(pa.int64()))


def newest_arrival(events: pa.RecordBatch) -> int:
    """The latest arrival time of a batch, epoch ms."""
    return int(epoch_ms(events.column(events.schema.get_field_index(ARRIVAL))).max())


def filtered(batch: pa.RecordBatch, mask: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """The rows for which the mask is True."""
    if mask.all():
        return batch
    kept = pa.array(mask)
    return pa.RecordBatch.from_arrays([column.filter(kept) for column in batch.columns], schema=batch.schema)


def concatenated(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of all rows in order; at least one batch."""
    if len(batches) == 1:
        return batches[0]
    columns = [pa.concat_arrays(parts) for parts in zip(*(batch.columns for batch in batches), strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=batches[0].schema)


def in_large_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in order, in fewer batches."""
    gathered: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows:
            gathered.append(batch)
        if sum(part.num_rows for part in gathered) >= _LARGE:
            yield concatenated(gathered)
            gathered = []
    if gathered:
        yield concatenated(gathered)
