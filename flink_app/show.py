"""`show CUSTOMER`: a customer's features as they are stored, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

Item = Mapping[str, Any]
Features = Mapping[str, list[Item]]

_FIRST = ("window_start", "window_end")
_LAST = ("revision", "emitted_at")
_HIDDEN = {"customer_id", "feature_window", "feature_set", "expires_at"}


def customer_features(
    dynamodb: Any, table: str, customer: str, feature_set: str | None = None, limit: int = 10
) -> Features:
    """Feature set -> its newest rows, newest first; empty if nothing is stored.

    Args:
        dynamodb: boto3 client.
        table: features table.
        customer: customer_id.
        feature_set: only this one.
        limit: rows of each feature set at most; one query each, however much is stored.
    """
    names = [feature_set] if feature_set else feature_sets(dynamodb, table, customer)
    found = {
        name: _query(dynamodb, table, customer, "begins_with(feature_window, :w)", f"{name}#", limit) for name in names
    }
    return {name: rows for name, rows in sorted(found.items()) if rows}


def feature_tables(customer: str, features: Features) -> list[Table]:
    """One table a feature set, as a terminal shows it."""
    return [_table(f"{customer} · {name}", rows) for name, rows in features.items()]


def feature_sets(dynamodb: Any, table: str, customer: str) -> list[str]:
    """The customer's feature sets, found by jumping over each one's rows."""
    names: list[str] = []
    condition, value = "feature_window < :w", "\U0010ffff"
    while rows := _query(dynamodb, table, customer, condition, value, 1):
        names.append(rows[0]["feature_window"].partition("#")[0])
        value = f"{names[-1]}#"
    return names


def _query(dynamodb: Any, table: str, customer: str, condition: str, value: str, limit: int) -> list[Item]:
    from boto3.dynamodb.types import TypeDeserializer  # noqa: PLC0415 with boto3, which `--help` need not load

    answer = dynamodb.query(
        TableName=table,
        KeyConditionExpression=f"customer_id = :c AND {condition}",
        ExpressionAttributeValues={":c": {"S": customer}, ":w": {"S": value}},
        ScanIndexForward=False,
        Limit=limit,
    )
    decode = TypeDeserializer().deserialize
    return [{name: decode(attribute) for name, attribute in item.items()} for item in answer["Items"]]


def _table(title: str, rows: list[Item]) -> Table:
    names = {name for row in rows for name in row} - _HIDDEN - {*_FIRST, *_LAST}
    table = Table(title=title, title_justify="left", title_style="bold")
    columns = [*_FIRST, *sorted(names), *_LAST]
    for name in columns:
        table.add_column(name, justify="left" if name in {*_FIRST, "emitted_at"} else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(name, row.get(name)) for name in columns))
    return table


def _cell(name: str, value: object) -> str:
    if value is None:
        return "–"
    if name == "emitted_at":
        return datetime.fromtimestamp(int(str(value)) / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    return str(value)
