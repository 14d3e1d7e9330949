"""The gate inside Flink, logic in `operators.gate`: a function over a stream's columns, or a reader of archive chunks.

Keyed by      nothing
State         none: a record is decided alone
TTL, Timers   none
Exits         rows (bucket, blob): accepted events by bucket, rejected ones (an Arrow stream) under REJECTED_BUCKET
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyflink.common import Row, Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import ProcessFunction, RuntimeContext
from pyflink.table import DataTypes, FunctionContext
from pyflink.table.udf import ScalarFunction, UserDefinedScalarFunctionWrapper, udf

from operators.buckets import REJECTED_BUCKET
from operators.gate import EXITS, Admission, Gate
from operators.operator_stats import METRIC_GROUP
from operators.packing import ipc_stream

GATED_TYPE: Final[TypeInformation] = Types.ROW_NAMED(
    ["bucket", "batch"], [Types.INT(), Types.PRIMITIVE_ARRAY(Types.BYTE())]
)
CHUNK_TYPE: Final[TypeInformation] = Types.ROW_NAMED(["chunk", "clock_ms"], [Types.INT(), Types.LONG()])
TICKET_TYPE: Final[TypeInformation] = Types.ROW_NAMED(
    ["chunk", "padding", "clock"], [Types.INT(), Types.STRING(), Types.INSTANT()]
)


class _Counting:
    """A gate that counts what it lets out; made where it runs."""

    def __init__(self, gate: Gate, metrics: Any) -> None:
        self._gate = gate
        group = metrics.add_group(METRIC_GROUP)
        self._counters = {name: group.counter(f"gate_{name}") for name in EXITS}

    def rows(self, data: Any, arrival_ms: npt.NDArray[np.int64], shard: Any, seq: Any) -> list[tuple[int, bytes]]:
        """(bucket, blob) for every blob that leaves."""
        admission: Admission = self._gate.admit(data, arrival_ms, shard, seq)
        for name, count in admission.counts.items():
            self._counters[name].inc(count)  # by zero too: Flink knows a counter of ours only from its first inc on
        if admission.rejects is None:
            return admission.batches
        return [*admission.batches, (REJECTED_BUCKET, ipc_stream(admission.rejects))]


def gate_function(gate: Gate) -> UserDefinedScalarFunctionWrapper:
    """The gate as a vectorised SQL function of (data, arrival_time, shard_id, sequence_number).

    n records in, n rows ROW<bucket INT, batch BYTES> out, because that is what Flink demands: the blobs first (there
    are never more than records), then NULLs. It is declared not deterministic: a deterministic one whose result is used
    twice (as a value and in a filter) Flink evaluates twice, the second time on other batches.
    """
    row = DataTypes.ROW([DataTypes.FIELD("bucket", DataTypes.INT()), DataTypes.FIELD("batch", DataTypes.BYTES())])
    return udf(GateColumns(gate), result_type=row, func_type="pandas", deterministic=False)


class GateColumns(ScalarFunction):  # type: ignore[misc]
    """See `gate_function`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def is_deterministic(self) -> bool:
        return False

    def open(self, function_context: FunctionContext) -> None:
        self._counting = _Counting(self._gate, function_context.get_metric_group())

    def eval(self, data: pd.Series, arrival_time: pd.Series, shard_id: pd.Series, number: pd.Series) -> pd.DataFrame:
        arrival_ms = arrival_time.to_numpy("datetime64[ms]").astype(np.int64)
        rows = self._counting.rows(data.tolist(), arrival_ms, shard_id.tolist(), number.tolist())
        filler: list[Any] = [None] * (len(data) - len(rows))
        columns: dict[str, list[Any]] = {"bucket": [bucket for bucket, _ in rows], "batch": [blob for _, blob in rows]}
        return pd.DataFrame({name: pd.Series(values + filler, dtype=object) for name, values in columns.items()})


class GateChunks(ProcessFunction):  # type: ignore[misc]
    """Reads a chunk of the archive for every ticket and sends its records through the gate, in slices.

    Args:
        gate: see `operators.gate`.
        read: chunk number -> its records (packing.RAW_SCHEMA).
        batch_rows: records that the gate sees at a time.
    """

    def __init__(self, gate: Gate, read: Callable[[int], pa.RecordBatch], batch_rows: int) -> None:
        self._gate, self._read, self._batch_rows = gate, read, batch_rows

    def open(self, runtime_context: RuntimeContext) -> None:
        self._counting = _Counting(self._gate, runtime_context.get_metrics_group())

    def process_element(self, value: Row, ctx: Any) -> Iterator[Row]:  # noqa: ARG002 - the signature is PyFlink's
        """One ticket: field 0 is the chunk's number."""
        records = self._read(value[0])
        for start in range(0, records.num_rows, self._batch_rows):
            data, arrival, shard, seq = records.slice(start, self._batch_rows).columns
            arrival_ms = arrival.cast(pa.int64()).to_numpy()
            for bucket, blob in self._counting.rows(data, arrival_ms, shard, seq):
                yield Row(bucket, blob)


class ChunkClock(ProcessFunction):  # type: ignore[misc]
    """Chunk number -> (number, clock): the watermark that holds from this chunk on.

    Args:
        clocks_ms: first arrival - L - 1 ms of each chunk, ascending.
    """

    def __init__(self, clocks_ms: tuple[int, ...]) -> None:
        self._clocks_ms = clocks_ms

    def process_element(self, value: int, ctx: Any) -> Iterator[Row]:  # noqa: ARG002 - the signature is PyFlink's
        yield Row(value, self._clocks_ms[value])
