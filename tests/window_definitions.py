"""Window definitions that are drawn by chance: one object, read by the product as trees and by the oracle as Python.

The two readings of a column or a condition stand side by side below and share no code; what SQL makes of them is the
referee's business (`test_referee`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import strategies as st

from operators.contract import Column as ContractColumn
from operators.contract import Contract
from operators.expressions import Call, Column, Expression, Literal
from operators.window_spec import Aggregate, Granularity, WindowSpec
from tests import delivered

LATENESS_MS = 10_000  # short, so that few events meet many edges
CONTRACT = Contract(
    "events",
    (*delivered.CONTRACT.columns, ContractColumn("points", "BIGINT"), ContractColumn("score", "DOUBLE")),
    LATENESS_MS,
)

Event = dict[str, Any]
_BOOL, _MONEY, _LONG, _DOUBLE, _TEXT = pa.bool_(), pa.decimal128(12, 2), pa.int64(), pa.float64(), pa.string()


class Reading(NamedTuple):
    """One expression twice: as the operator's tree, and as a plain function of an event (None is NULL)."""

    tree: Expression
    of: Callable[[Event], Any]


def _column(name: str) -> Column:
    index = CONTRACT.names.index(name)
    return Column(index, CONTRACT.columns[index].arrow_type)


def _is(name: str, value: str) -> Call:
    return Call("=", (_column(name), Literal(value, _TEXT)), _BOOL)


CONDITIONS = {
    "ecom": Reading(_is("channel", "ecom"), lambda event: event.get("channel") == "ecom"),
    "shown": Reading(_column("card_present"), lambda event: event.get("card_present") is True),
    "large": Reading(
        Call(">", (_column("amount"), Literal(Decimal("2.00"), _MONEY)), _BOOL), lambda event: event["amount"] > 2
    ),
    "no_channel": Reading(
        Call("IS NULL", (_column("channel"),), _BOOL), lambda event: event.get("channel") is None
    ),
}  # fmt: skip
ARGUMENTS = {
    "amount": Reading(_column("amount"), lambda event: event["amount"]),
    "ecom_amount": Reading(
        Call("CASE", (_is("channel", "ecom"), _column("amount"), Literal(None, _MONEY)), _MONEY),
        lambda event: event["amount"] if event.get("channel") == "ecom" else None,
    ),
    "points": Reading(_column("points"), lambda event: None if event.get("points") is None else int(event["points"])),
    "score": Reading(_column("score"), lambda event: None if event.get("score") is None else float(event["score"])),
}
COUNTED = ARGUMENTS | {
    "merchant": Reading(_column("merchant_id"), lambda event: event["merchant_id"]),
    "channel": Reading(_column("channel"), lambda event: event.get("channel")),
}


@dataclass(frozen=True)
class Measure:
    """One aggregate: function(argument) FILTER (WHERE condition); the argument None is COUNT(*)."""

    function: str
    argument: str | None
    condition: str | None
    distinct: bool = False


@dataclass(frozen=True)
class Definition:
    """One window file. `sizes_ms` has several entries for a rollup; `more_than` is HAVING COUNT(*) > that."""

    name: str
    sizes_ms: tuple[int, ...]
    slide_ms: int
    offset_ms: int
    measures: tuple[Measure, ...]
    where: str | None = None
    more_than: int | None = None
    emit_every_ms: int | None = None

    @property
    def grids(self) -> dict[str, tuple[int, int]]:
        """Feature set -> (size, slide)."""
        if len(self.sizes_ms) == 1:
            return {self.name: (self.sizes_ms[0], self.slide_ms)}
        return {f"{self.name}_{size}": (size, size) for size in self.sizes_ms}

    @property
    def spec(self) -> WindowSpec:
        """As the product runs it."""
        aggregates = tuple(_aggregate(measure) for measure in (*self.measures, Measure("COUNT", None, None)))
        columns = delivered.outputs(*[(f"{self.name}_{i}", each.type) for i, each in enumerate(aggregates)])
        more = Call(">", (Column(len(aggregates), _LONG), Literal(self.more_than, _LONG)), _BOOL)
        return WindowSpec(
            name=self.name,
            granularities=tuple(Granularity(name, size) for name, (size, _) in self.grids.items()),
            slide_ms=self.slide_ms,
            offset_ms=self.offset_ms,
            where=None if self.where is None else CONDITIONS[self.where].tree,
            aggregates=aggregates,
            outputs=columns[:-1],
            having=None if self.more_than is None else more,
            emit_every_ms=self.emit_every_ms,
        )


def _aggregate(measure: Measure) -> Aggregate:
    argument = None if measure.argument is None else COUNTED[measure.argument].tree
    condition = None if measure.condition is None else CONDITIONS[measure.condition].tree
    result = _LONG
    if measure.function != "COUNT":
        result = argument.type
        if result == _MONEY and measure.function in ("SUM", "AVG"):
            result = delivered.TOTAL if measure.function == "SUM" else delivered.MEAN
    return Aggregate(measure.function, argument, condition, measure.distinct, result)


_conditions = st.none() | st.sampled_from(sorted(CONDITIONS))
_counts = st.builds(Measure, st.just("COUNT"), st.none() | st.sampled_from(sorted(COUNTED)), _conditions)
_distinct = st.builds(Measure, st.just("COUNT"), st.sampled_from(sorted(COUNTED)), _conditions, st.just(True))
_numbers = st.builds(
    Measure, st.sampled_from(["SUM", "AVG", "MIN", "MAX"]), st.sampled_from(sorted(ARGUMENTS)), _conditions
)
_offsets = st.sampled_from([0, 0, 250, 1, -300])


@st.composite
def _one(draw: st.DrawFn, name: str) -> Definition:
    unit = draw(st.sampled_from([500, 1_000]))
    if draw(st.booleans()):
        sizes = [unit * draw(st.integers(1, 6))]
        for _ in range(draw(st.integers(0, 2))):
            sizes.append(sizes[-1] * draw(st.integers(2, 3)))
        slide = sizes[0]
    else:
        sizes, slide = [unit * draw(st.integers(1, 16))], unit * draw(st.integers(1, 16))
    return Definition(
        name=name,
        sizes_ms=tuple(sizes),
        slide_ms=slide,
        offset_ms=draw(_offsets),
        measures=tuple(draw(st.lists(_counts | _distinct | _numbers, min_size=1, max_size=5))),
        where=draw(st.none() | _conditions),
        more_than=draw(st.sampled_from([None, None, None, 0, 1])),
        emit_every_ms=draw(st.sampled_from([None, None, 1_000, 1_500])),
    )


def definitions(at_most: int = 3) -> st.SearchStrategy[tuple[Definition, ...]]:
    """One to three window files, with sizes and slides in any proportion, on grids that may or may not fit together."""
    return st.integers(1, at_most).flatmap(lambda n: st.tuples(*[_one(f"w{i}") for i in range(n)]))


def rolled_up() -> st.SearchStrategy[Definition]:
    """A window file with at least two granularities and columns that can be added up by hand."""
    measures = tuple(
        Measure(function, argument, None, distinct)
        for function, argument, distinct in (
            ("COUNT", None, False), ("SUM", "amount", False), ("MIN", "amount", False), ("MAX", "amount", False),
            ("COUNT", "merchant", True),
        )
    )  # fmt: skip
    return st.builds(
        lambda first, second, third, offset, one: replace(
            one, sizes_ms=(first, first * second, first * second * third), slide_ms=first, offset_ms=offset
        ),
        st.sampled_from([500, 1_000, 2_000]), st.integers(2, 4), st.integers(2, 3), _offsets,
        st.just(Definition("roll", (1,), 1, 0, measures)),
    )  # fmt: skip
