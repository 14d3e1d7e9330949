"""What the slices add up: the aggregates of all windows, taken apart into shared, mergeable columns.

`SUM(amount)` and `AVG(amount)` of two window files need the same columns (the sum, and of how many values), which are
kept once. A column is a NumPy array with one value per customer; merging two partial results is one of three ufuncs:

    aggregate           columns (operation)                        result
    COUNT(*), COUNT(x)  count (add)                                int64
    SUM(x)              sum (add), count (add)                     NULL where count is 0; integers wrap as in Java
    SUM(x) of DECIMAL   high, low (add), count (add)               high * 2**32 + low: exact up to 2**31 events
    AVG(x)              as SUM                                     Flink's: integers truncate, DECIMAL rounds HALF_UP
    MIN(x), MAX(x)      min, max (minimum, maximum), count (add)   NULL where count is 0
    COUNT(DISTINCT x)   a set of (customer, value) pairs           int64

WHERE and FILTER are masks: a row that does not pass contributes the identity of the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.expressions import Expression, Unsupported, compile_expression
from operators.window_spec import Aggregate, WindowSpec

Values = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Filters = tuple[Expression, ...]
Reader = Callable[[Sequence[Values], Sequence[Values]], pa.Array]

_MERGE: dict[str, np.ufunc] = {"add": np.add, "min": np.minimum, "max": np.maximum}
_LIMB = 32
_LIMB_MASK = (1 << _LIMB) - 1
_LONG_DIGITS = 18  # a DECIMAL of so many digits fits into 64 bits


@dataclass(frozen=True)
class Component:
    """One mergeable column: `part` of `argument` over the rows that pass all `filters`.

    Attributes:
        part: 'count', 'sum', 'high', 'low', 'min' or 'max'.
        argument: expression over the contract's columns; None counts rows.
        filters: boolean expressions; a row counts where all are TRUE.
    """

    part: str
    argument: Expression | None
    filters: Filters

    @property
    def merge(self) -> np.ufunc:
        """The ufunc that merges two partial results."""
        return _MERGE[self.part if self.part in ("min", "max") else "add"]


@dataclass(frozen=True)
class DistinctValues:
    """The set of values of `argument` per customer, over the rows that pass all `filters`."""

    argument: Expression
    filters: Filters


class EventColumns:
    """The accepted events of one batch, with each expression evaluated at most once."""

    def __init__(
        self, batch: pa.RecordBatch, compiled: dict[Expression, Callable[[list[pa.Array], int], pa.Array]]
    ) -> None:
        self._columns = batch.columns
        self._rows = batch.num_rows
        self._compiled = compiled
        self._results: dict[Expression, pa.Array] = {}

    def column(self, expression: Expression) -> pa.Array:
        """The expression's value for each event."""
        if expression not in self._results:
            if expression not in self._compiled:
                self._compiled[expression] = compile_expression(expression)
            self._results[expression] = self._compiled[expression](self._columns, self._rows)
        return self._results[expression]

    def passes(self, filters: Filters) -> Mask | None:
        """Which events pass all filters; None: every event."""
        mask = None
        for expression in filters:
            passed = np.asarray(pc.fill_null(self.column(expression), False))
            mask = passed if mask is None else mask & passed
        return mask

    def values(self, component: Component) -> Values:
        """The component's contribution of each event, shape (n,)."""
        mask = self.passes(component.filters)
        if component.argument is None:
            return np.ones(self._rows, np.int64) if mask is None else mask.astype(np.int64)
        column = self.column(component.argument)
        if column.null_count:
            valid = np.asarray(column.is_valid())
            mask = valid if mask is None else mask & valid
        if component.part == "count":
            return np.ones(self._rows, np.int64) if mask is None else mask.astype(np.int64)
        numbers = _numbers(column)
        if component.part == "high":
            numbers = numbers >> _LIMB
        elif component.part == "low":
            numbers = numbers & _LIMB_MASK
        return numbers if mask is None else np.where(mask, numbers, _identity(component.part, numbers.dtype))

    def distinct(self, values: DistinctValues) -> tuple[Mask | None, pa.Array]:
        """Which events contribute a value to the set (None: all), and the values of these."""
        mask = self.passes(values.filters)
        column = self.column(values.argument)
        if column.null_count:
            valid = np.asarray(column.is_valid())
            mask = valid if mask is None else mask & valid
        return mask, column if mask is None else column.filter(pa.array(mask))


@dataclass
class Layout:
    """Which columns the slices keep for a group of windows, and how each window reads its aggregates from them.

    Attributes:
        components: the mergeable columns, each once.
        distincts: the sets of distinct values, each once.
        revisions: per window, the component that counts its events.
        readers: per window, one function per aggregate from (columns, distinct counts) to the result column.
    """

    components: list[Component] = field(default_factory=list)
    distincts: list[DistinctValues] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)
    readers: list[list[Reader]] = field(default_factory=list)

    @classmethod
    def of(cls, specs: Sequence[WindowSpec]) -> Layout:
        """The shared layout of several windows.

        Raises:
            Unsupported: an aggregate that these columns cannot express; the window then runs as native Flink SQL.
        """
        layout = cls()
        for spec in specs:
            where: Filters = () if spec.where is None else (spec.where,)
            layout.revisions.append(layout._component("count", None, where))
            layout.readers.append([layout._reader(aggregate, where) for aggregate in spec.aggregates])
        return layout

    def _component(self, part: str, argument: Expression | None, filters: Filters) -> int:
        return _position(self.components, Component(part, argument, filters))

    def _reader(self, aggregate: Aggregate, where: Filters) -> Reader:
        filters = where if aggregate.filter is None else (*where, aggregate.filter)
        argument, function = aggregate.argument, aggregate.function
        if aggregate.distinct:
            if function != "COUNT" or argument is None:
                raise Unsupported(f"{function}(DISTINCT …)")
            distinct = _position(self.distincts, DistinctValues(argument, filters))
            return lambda _columns, counts: pa.array(counts[distinct])
        if function == "COUNT":
            counted = self._component("count", argument, filters)
            return lambda columns, _counts: pa.array(columns[counted])
        if argument is None or function not in ("SUM", "$SUM0", "AVG", "MIN", "MAX"):
            raise Unsupported(f"aggregate {function}")
        _check_argument(function, argument.type)
        count = self._component("count", argument, filters)
        if function in ("MIN", "MAX"):
            extreme = self._component(function.lower(), argument, filters)
            return lambda columns, _counts: _extreme(columns[extreme], columns[count], aggregate.type)
        if pa.types.is_decimal(argument.type):
            high, low = self._component("high", argument, filters), self._component("low", argument, filters)
            return _decimal_reader(function, high, low, count, argument.type.scale, aggregate.type)
        total = self._component("sum", argument, filters)
        return _number_reader(function, total, count, aggregate.type)


def _position(items: list[Any], item: Any) -> int:
    if item not in items:
        items.append(item)
    return items.index(item)


def _check_argument(function: str, argument: pa.DataType) -> None:
    if pa.types.is_decimal(argument) and argument.precision <= _LONG_DIGITS:
        return
    if pa.types.is_integer(argument) or pa.types.is_float64(argument):
        return
    if function in ("MIN", "MAX") and pa.types.is_timestamp(argument):
        return
    raise Unsupported(f"{function} of {argument}")


def _identity(part: str, dtype: np.dtype[Any]) -> Any:
    if part not in ("min", "max"):
        return 0
    if dtype.kind == "f":
        return np.inf if part == "min" else -np.inf
    limits = np.iinfo(dtype)
    return limits.max if part == "min" else limits.min


def _numbers(column: pa.Array) -> Values:
    """Numbers behind a column: int64 (unscaled DECIMAL, epoch milliseconds) or float64; undefined where NULL."""
    if pa.types.is_decimal(column.type):
        buffer = column.buffers()[1]
        words = np.frombuffer(buffer, np.int64).reshape(-1, 2)
        return words[column.offset : column.offset + len(column), 0]
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    buffer = column.buffers()[1]
    dtype = np.dtype(column.type.to_pandas_dtype())
    numbers = np.frombuffer(buffer, dtype)[column.offset : column.offset + len(column)]
    return numbers if dtype.kind == "f" else numbers.astype(np.int64, copy=False)


def _nulls(count: Values) -> Mask | None:
    empty = count == 0
    return empty if empty.any() else None


def _extreme(extreme: Values, count: Values, result: pa.DataType) -> pa.Array:
    nulls = _nulls(count)
    if pa.types.is_decimal(result):
        return decimal_array(np.column_stack((extreme, extreme >> 63)), nulls, result)
    if pa.types.is_timestamp(result):
        return pa.array(extreme, pa.int64(), mask=nulls).view(result)
    return pa.array(extreme.astype(result.to_pandas_dtype()), result, mask=nulls)


def _number_reader(function: str, total: int, count: int, result: pa.DataType) -> Reader:
    dtype = result.to_pandas_dtype()
    if function == "AVG":

        def average(columns: Sequence[Values], _counts: Sequence[Values]) -> pa.Array:
            sums, counts = columns[total], columns[count]
            nulls, divisor = _nulls(counts), np.maximum(counts, 1)
            if sums.dtype.kind == "f":
                return pa.array((sums / divisor).astype(dtype), result, mask=nulls)
            truncated = np.where(sums < 0, -(-sums // divisor), sums // divisor)  # toward zero, as Java divides
            return pa.array(truncated.astype(dtype), result, mask=nulls)

        return average
    nullable = function == "SUM"
    return lambda columns, _counts: pa.array(
        columns[total].astype(dtype), result, mask=_nulls(columns[count]) if nullable else None
    )


def _decimal_reader(function: str, high: int, low: int, count: int, scale: int, result: pa.DataType) -> Reader:
    if function == "AVG":
        return lambda columns, _counts: _decimal_average(columns[high], columns[low], columns[count], scale, result)
    if result.scale != scale:
        raise Unsupported(f"SUM of scale {scale} declared as {result}")

    def total(columns: Sequence[Values], _counts: Sequence[Values]) -> pa.Array:
        carried = columns[high] + (columns[low] >> _LIMB)
        words = np.column_stack(((carried << _LIMB) | (columns[low] & _LIMB_MASK), carried >> _LIMB))
        return decimal_array(words, _nulls(columns[count]) if function == "SUM" else None, result)

    return total


def _decimal_average(high: Values, low: Values, count: Values, scale: int, result: pa.DataType) -> pa.Array:
    """Sum / count as Flink's DecimalAvg does it: HALF_UP at the scale of the result."""
    nulls, divisor = _nulls(count), np.maximum(count, 1)
    factor = 10 ** (result.scale - scale)
    carried = high + (low >> _LIMB)
    bound = (1 << 62) // (factor << _LIMB)
    if len(carried) == 0 or (np.abs(carried).max() < bound and divisor.max() < 1 << 31):
        scaled = ((carried << _LIMB) | (low & _LIMB_MASK)) * factor
        rounded = np.sign(scaled) * ((2 * np.abs(scaled) + divisor) // (2 * divisor))
        return decimal_array(np.column_stack((rounded, rounded >> 63)), nulls, result)
    unit, context = Decimal(1).scaleb(-result.scale), Context(prec=76, rounding=ROUND_HALF_UP)
    sums = [(above << _LIMB) + below for above, below in zip(high.tolist(), low.tolist(), strict=True)]
    averages = [
        context.divide(Decimal(s).scaleb(-scale, context), Decimal(n)).quantize(unit, ROUND_HALF_UP, context)
        for s, n in zip(sums, divisor.tolist(), strict=True)
    ]
    return pa.array(averages, result, mask=nulls)


def decimal_array(words: npt.NDArray[np.int64], nulls: Mask | None, arrow_type: pa.DataType) -> pa.Array:
    """A decimal128 column from its 64-bit words (low, high), shape (n, 2), without a Python object per value."""
    validity = None if nulls is None else pa.py_buffer(np.packbits(~nulls, bitorder="little").tobytes())
    values = pa.py_buffer(np.ascontiguousarray(words, dtype=np.int64))
    return pa.Array.from_buffers(arrow_type, len(words), [validity, values])
