"""SQL of sources and sinks: files with `${...}` placeholders for properties and the columns of batches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from string import Template
from typing import Final

import pyarrow as pa

from flink_app.sql_problems import SqlError, sql_problem

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


class Statement(str):  # noqa: SLOT000 a string that carries its file
    """One statement of a template, filled in, at the same lines as in its file.

    Attributes:
        file: below `sql/`, for messages.
    """

    file: Path

    @classmethod
    def of(cls, file: Path, sql: str) -> Statement:
        """A statement that knows its file."""
        statement = cls(sql)
        statement.file = file
        return statement


@contextmanager
def told_with_file(statement: str) -> Iterator[None]:
    """What Flink says against a statement while the block runs becomes a `SqlError` that names file, line and column.

    Raises:
        SqlError: instead of what py4j raised; a statement that came from no template is let through as it is.
    """
    try:
        yield
    except SqlError:
        raise
    except Exception as error:
        if not isinstance(statement, Statement):
            raise
        raise SqlError(sql_problem(Path("sql") / statement.file, statement, error)) from None


def statements(file: Path, **values: object) -> tuple[Statement, ...]:
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
    text = "\n".join("" if line.lstrip().startswith("--") else line for line in text.splitlines())
    try:
        filled = Template(text).substitute({name: str(value) for name, value in values.items()})
    except KeyError as error:
        raise SqlError(f"sql/{file}: unknown placeholder ${{{error.args[0]}}}; known: {', '.join(values)}") from None
    parts = _STATEMENT_END.split(filled)
    lines = accumulate((part.count("\n") + 1 for part in parts), initial=0)  # each part's end took its line end along
    placed = zip(parts, lines, strict=False)
    return tuple(Statement.of(file, "\n" * above + part.rstrip()) for part, above in placed if part.strip())


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
