"""The features table beside the final rows: after a drained stop the two must say the same (laws 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from operators.feature_rows import instant

Key = tuple[str, str]  # customer_id, feature_window
Row = dict[str, Any]

_WINDOW = {"customer_id", "feature_set", "window_start", "window_end"}
_NOT_FEATURES = _WINDOW | {"feature_window", "emitted_at", "expires_at"}
_NOT_COLUMNS = _WINDOW | {"dt", "hour"}


def stored_items(dynamodb: Any, table: str) -> dict[Key, Row]:
    """Every item of the features table by its key: revision and the window's own columns."""
    items = {}
    for page in dynamodb.get_paginator("scan").paginate(TableName=table):
        for item in page["Items"]:
            values = {name: _value(attribute) for name, attribute in item.items()}
            key = (values["customer_id"], values["feature_window"])
            items[key] = {name: value for name, value in values.items() if name not in _NOT_FEATURES}
    return items


def final_rows(folder: Path) -> dict[Key, Row]:
    """Every final row of a history folder by the same key; of several revisions the largest. A NULL is absent."""
    rows: dict[Key, Row] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            feature_set = next(part[12:] for part in file.parts if part.startswith("feature_set="))
            for row in ds.dataset(file, format="parquet").to_table().to_pylist():
                key = (row["customer_id"], f"{feature_set}#{instant(_epoch_ms(row['window_end']))}")
                if key not in rows or rows[key]["revision"] <= row["revision"]:
                    rows[key] = {n: v for n, v in row.items() if n not in _NOT_COLUMNS and v is not None}
    return rows


def differences(stored: Mapping[Key, Row], final: Mapping[Key, Row]) -> Iterator[str]:
    """What the table and the final rows disagree about, a line each."""
    for key in sorted(stored.keys() | final.keys()):
        name = " ".join(key)
        if key not in stored:
            yield f"{name}: final row, but no item"
        elif key not in final:
            yield f"{name}: item, but no final row"
        else:
            item, row = stored[key], final[key]
            columns = [c for c in sorted(item.keys() | row.keys()) if not _same(item.get(c), row.get(c))]
            if columns:
                yield f"{name}: " + ", ".join(f"{c} is {item.get(c)}, final {row.get(c)}" for c in columns)


def _same(stored: Any, final: Any) -> bool:
    """Equal; a DOUBLE is a decimal number in the table, with as many digits as tell it from every other DOUBLE."""
    return bool(float(stored) == final if isinstance(final, float) and stored is not None else stored == final)


def _value(attribute: Mapping[str, Any]) -> Any:
    kind, value = next(iter(attribute.items()))
    return Decimal(value) if kind == "N" else value


def _epoch_ms(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)
