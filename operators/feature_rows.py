"""From partial aggregates to the rows that leave the operator, a column at a time.

WindowNumbers ──► aggregates ──► outputs ──► HAVING ──► WindowRows
                                                 live_batch │ final_batch
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.accumulators import Layout
from operators.expressions import compile_expression
from operators.interner import Interner
from operators.partials import WindowNumbers
from operators.window_spec import Granularity, WindowSpec

_LIVE_HEAD = (
    ("customer_id", pa.string()),
    ("feature_window", pa.string()),
    ("feature_set", pa.string()),
    ("window_start", pa.string()),
    ("window_end", pa.string()),
    ("revision", pa.int64()),
    ("emitted_at", pa.int64()),
    ("expires_at", pa.int64()),
)
_FINAL_HEAD = (("customer_id", pa.string()), ("window_start", pa.timestamp("ms")), ("window_end", pa.timestamp("ms")))
_FINAL_TAIL = (("revision", pa.int64()), ("feature_set", pa.string()), ("dt", pa.string()), ("hour", pa.string()))


@dataclass(frozen=True)
class Window:
    """One window of a feature set: [start, end) in epoch ms."""

    granularity: Granularity
    start: int
    end: int


@dataclass(frozen=True)
class WindowRows:
    """Rows of one window file, n of them, over one or more windows.

    Attributes:
        windows: the windows, in the order of `window`.
        window: which window each row belongs to, shape (n,).
        customer_id: strings, shape (n,).
        columns: the file's feature columns in SQL order, shape (n,) each.
        revision: how many events each row has counted, shape (n,).
    """

    windows: Sequence[Window]
    window: npt.NDArray[np.int64]
    customer_id: pa.Array
    columns: tuple[tuple[str, pa.Array], ...]
    revision: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.window)

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """End of each row's window, epoch ms, shape (n,)."""
        return np.array([window.end for window in self.windows], np.int64)[self.window]

    def where(self, mask: npt.NDArray[np.bool_]) -> WindowRows:
        """The rows for which the mask is True."""
        kept = pa.array(mask)
        columns = tuple((name, column.filter(kept)) for name, column in self.columns)
        return WindowRows(self.windows, self.window[mask], self.customer_id.filter(kept), columns, self.revision[mask])

    def per_window(self, *columns: tuple[Sequence[object], pa.DataType]) -> list[pa.Array]:
        """Columns that are the same for all rows of a window: a value per window in, a value per row out."""
        arrays = [pa.array(values, arrow_type) for values, arrow_type in columns]
        batch = pa.RecordBatch.from_arrays(arrays, [str(at) for at in range(len(arrays))])
        rows: list[pa.Array] = batch.take(pa.array(self.window)).columns
        return rows


def live_schema(specs: Sequence[WindowSpec]) -> pa.Schema:
    """Schema of the exit 'live': the head of the features table, then every window file's columns, each name once."""
    columns = {name: expression.type for spec in specs for name, expression in spec.outputs}
    return pa.schema([*_LIVE_HEAD, *columns.items()])


def final_schema(spec: WindowSpec) -> pa.Schema:
    """Schema of the exit 'final:<file>': as history stores it, partition columns last."""
    columns = [(name, expression.type) for name, expression in spec.outputs]
    return pa.schema([*_FINAL_HEAD, *columns, *_FINAL_TAIL])


def instant(epoch_ms: int) -> str:
    """`2026-01-31T12:00:30Z`, with milliseconds only where there are some."""
    moment = datetime.fromtimestamp(epoch_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{epoch_ms % 1000:03}Z" if epoch_ms % 1000 else f"{moment}Z"


class RowMaker:
    """Turns partials of one window file into rows.

    Args:
        spec: the window file.
        layout: of the slices that the partials come from.
        position: of the spec within the layout.
        customers: names behind the customer codes.
    """

    def __init__(self, spec: WindowSpec, layout: Layout, position: int, customers: Interner) -> None:
        self._spec = spec
        self._readers = layout.readers[position]
        self._revision = layout.revisions[position]
        self._customers = customers
        self._outputs = [(name, compile_expression(expression)) for name, expression in spec.outputs]
        self._having = compile_expression(spec.having) if spec.having is not None else None

    def rows(self, windows: Sequence[Window], numbers: WindowNumbers) -> WindowRows | None:
        """The rows that exist (at least one event counted) and that HAVING keeps; None: no row.

        Args:
            windows: what `numbers.window` counts.
            numbers: of those windows, or of some.
        """
        numbers = numbers.where(numbers.columns[self._revision] > 0)
        if not len(numbers.codes):
            return None
        present, window = np.unique(numbers.window, return_inverse=True)
        windows = [windows[at] for at in present.tolist()]
        customer_id = self._customers.decode(numbers.codes, pa.string())
        starts, ends = (
            pa.array(np.array(bound, np.int64)[window]).view(pa.timestamp("ms"))
            for bound in ([w.start for w in windows], [w.end for w in windows])
        )
        inputs = [customer_id, *(read(numbers.columns, numbers.counts) for read in self._readers), starts, ends]
        outputs = tuple((name, compute(inputs, len(window))) for name, compute in self._outputs)
        rows = WindowRows(windows, window, customer_id, outputs, numbers.columns[self._revision])
        if self._having is not None:
            rows = rows.where(np.asarray(pc.fill_null(self._having(inputs, len(window)), False)))
        return rows if len(rows) else None


def live_batch(rows: WindowRows, schema: pa.Schema, emitted_at_ms: int, ttl_seconds: int) -> pa.RecordBatch:
    """The rows as items of the features table; columns of other window files are NULL."""
    n, windows, string = len(rows), rows.windows, pa.string()
    ends = [instant(w.end) for w in windows]
    feature_window, feature_set, start, end, expires_at = rows.per_window(
        ([f"{w.granularity.feature_set}#{end}" for w, end in zip(windows, ends, strict=True)], string),
        ([w.granularity.feature_set for w in windows], string),
        ([instant(w.start) for w in windows], string),
        (ends, string),
        ([w.end // 1000 + ttl_seconds for w in windows], pa.int64()),
    )
    revision, emitted_at = pa.array(rows.revision), pa.repeat(pa.scalar(emitted_at_ms, pa.int64()), n)
    head = [rows.customer_id, feature_window, feature_set, start, end, revision, emitted_at, expires_at]
    own = dict(rows.columns)
    rest = [own[f.name] if f.name in own else pa.nulls(n, f.type) for f in list(schema)[len(head) :]]
    return pa.RecordBatch.from_arrays([*head, *rest], schema=schema)


def final_batch(rows: WindowRows, schema: pa.Schema) -> pa.RecordBatch:
    """The rows as history stores them."""
    windows, string = rows.windows, pa.string()
    ends = [instant(w.end) for w in windows]
    start, end, feature_set, day, hour = rows.per_window(
        ([w.start for w in windows], pa.timestamp("ms")),
        ([w.end for w in windows], pa.timestamp("ms")),
        ([w.granularity.feature_set for w in windows], string),
        ([end[:10] for end in ends], string),
        ([end[11:13] for end in ends], string),
    )
    own = [column for _, column in rows.columns]
    columns = [rows.customer_id, start, end, *own, pa.array(rows.revision), feature_set, day, hour]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
