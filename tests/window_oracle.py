"""The oracle for windows drawn by chance (`window_definitions`): loops over events, nothing of the product's."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.oracle import Event, Row
from tests.window_definitions import CONDITIONS, COUNTED, Definition, Measure

Key = tuple[str, str, int]  # feature set, customer_id, window end in epoch ms


def final_rows(definitions: tuple[Definition, ...], events: list[Event]) -> dict[Key, Row]:
    """Every row of every definition over these events."""
    rows = {}
    for definition in definitions:
        for name, (size, slide) in definition.grids.items():
            members: dict[Key, list[Event]] = {}
            for event in events:
                if definition.where is None or CONDITIONS[definition.where].of(event):
                    for end in window_ends(event["time"], size, slide, definition.offset_ms):
                        members.setdefault((name, event["customer_id"], end), []).append(event)
            for key, group in members.items():
                if definition.more_than is None or len(group) > definition.more_than:
                    rows[key] = row_of(definition, group)
    return rows


def window_ends(time: int, size: int, slide: int, offset: int) -> list[int]:
    """Ends of the windows [end - size, end) that contain the moment; ends are offset + size + k * slide."""
    last_start = (time - offset) // slide * slide + offset
    return [start + size for start in range(last_start, time - size, -slide)]


def row_of(definition: Definition, group: list[Event]) -> Row:
    """The columns of one row, and its revision."""
    row: Row = {f"{definition.name}_{i}": measured(measure, group) for i, measure in enumerate(definition.measures)}
    return row | {"revision": len(group)}


def measured(measure: Measure, group: list[Event]) -> Any:
    """One aggregate over the events of a row, as SQL defines it."""
    if measure.condition is not None:
        group = [event for event in group if CONDITIONS[measure.condition].of(event)]
    if measure.argument is None:
        return len(group)
    values = [value for event in group if (value := COUNTED[measure.argument].of(event)) is not None]
    if measure.function == "COUNT":
        return len(set(values)) if measure.distinct else len(values)
    if not values:
        return None
    if measure.function == "AVG":
        return average(values)
    return {"SUM": sum, "MIN": min, "MAX": max}[measure.function](values)


def average(values: list[Any]) -> Any:
    """DECIMAL: six digits, HALF_UP; whole numbers: cut toward zero; DOUBLE: as it is."""
    if isinstance(values[0], Decimal):
        return (sum(values) / len(values)).quantize(Decimal("0.000001"), ROUND_HALF_UP)
    if isinstance(values[0], int):
        return int(abs(sum(values)) // len(values)) * (1 if sum(values) >= 0 else -1)
    return sum(values) / len(values)
