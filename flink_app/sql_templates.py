"""SQL of sources and sinks: files with `${...}` placeholders for properties and the columns of batches."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Final

import pyarrow as pa

from flink_app.sql_problems import SqlError

SQL: Final = Path(__file__).resolve().parent.parent / "sql"

_STATEMENT_END = re.compile(r";[ \t]*(?:--[^\n]*)?(?:\n|$)")
_FLINK_TYPES = {
    pa.string(): "STRING",
    pa.binary(): "BYTES",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.timestamp("ms"): "TIMESTAMP(3)",
    pa.timestamp("ms", "UTC"): "TIMESTAMP_LTZ(3)",
}


def statements(file: Path, **values: object) -> tuple[str, ...]:
    """The statements of a template, filled in.

    Args:
        file: below `sql/`, e.g. `Path("sinks/features.sql")`.
        values: for its placeholders.

    Raises:
        SqlError: no such file, or a placeholder that nobody fills.
    """
    try:
        text = (SQL / file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SqlError(f"sql/{file}: no such file") from None
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    try:
        filled = Template(text).substitute({name: str(value) for name, value in values.items()})
    except KeyError as error:
        raise SqlError(f"sql/{file}: unknown placeholder ${{{error.args[0]}}}; known: {', '.join(values)}") from None
    return tuple(part.strip() for part in _STATEMENT_END.split(filled) if part.strip())


def text(value: str) -> str:
    """A value that a template has between quotes."""
    return value.replace("'", "''")


def endpoint_option(endpoint: str) -> str:
    """The option line of a local AWS; nothing for the real one."""
    return f"'aws.endpoint' = '{text(endpoint)}'," if endpoint else ""


def columns(schema: pa.Schema) -> str:
    """Columns of a batch as SQL declares them: a table's body, and what ARROW_ROWS is told."""
    return ", ".join(f"`{field.name}` {flink_type(field.type)}" for field in schema)


def names(schema: pa.Schema) -> str:
    """The column names, quoted."""
    return ", ".join(f"`{field.name}`" for field in schema)


def flink_type(arrow_type: pa.DataType) -> str:
    """The SQL type of an Arrow type that leaves an operator.

    Raises:
        ValueError: no operator emits it.
    """
    if pa.types.is_decimal(arrow_type):
        return f"DECIMAL({arrow_type.precision}, {arrow_type.scale})"
    if arrow_type not in _FLINK_TYPES:
        raise ValueError(f"Arrow type {arrow_type} has no SQL type here")
    return _FLINK_TYPES[arrow_type]
