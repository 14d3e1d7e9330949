"""`sql/events.sql` -> `operators.contract.Contract`, read by Flink's own parser and type system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyflink.java_gateway import get_gateway
from pyflink.table import TableEnvironment

from flink_app.sql_problems import SqlError, sql_problem
from flink_app.window_files import single_statement
from operators.contract import Column, Contract, ContractError

_CONNECTOR_FOR_PLANNING = "datagen"


def read_contract(path: Path, planning: TableEnvironment, shown: Path | None = None) -> Contract:
    """The event contract of a file with one CREATE TABLE; the table also becomes known to the planning environment.

    Args:
        path: `sql/events.sql`.
        planning: an environment that never runs a job (`flink_app.planner.planning_environment`).
        shown: the path as messages should name it; `path` itself if None.

    Raises:
        SqlError: with file:line:column where Flink knows it.
    """
    shown = shown or path
    if not path.is_file():
        raise SqlError(f"{shown}: no such file; it holds the event contract, one CREATE TABLE")
    sql = single_statement(shown, path.read_text(encoding="utf-8"))
    try:
        schema, table = _resolve(sql, planning)
    except ValueError as error:
        raise SqlError(f"{shown}: {error}") from None
    except Exception as error:  # noqa: BLE001 py4j raises a different class for each Java exception
        raise SqlError(sql_problem(shown, sql, error)) from None
    try:
        return _contract(schema, table)
    except ContractError as error:
        raise SqlError(f"{shown}: {error}") from None


def _resolve(sql: str, planning: TableEnvironment) -> tuple[Any, str]:
    """(Java ResolvedSchema, table name). The contract names no connector, so planning borrows one."""
    environment = planning._j_tenv  # noqa: SLF001 PyFlink has no public way to parse without running
    operation = environment.getParser().parse(sql).get(0)
    if operation.getClass().getSimpleName() != "CreateTableOperation":
        raise ValueError(f"want one CREATE TABLE, got {operation.asSummaryString().split(':')[0]}")
    table = operation.getCatalogTable()
    if not table.getOptions().isEmpty():
        raise ValueError("the contract names no connector; remove the WITH clause (sources are in sql/sources/)")
    options = get_gateway().jvm.java.util.HashMap()
    options.put("connector", _CONNECTOR_FOR_PLANNING)
    identifier = operation.getTableIdentifier()
    catalog = environment.getCatalogManager()
    catalog.createTable(table.copy(options), identifier, False)  # False: an existing table is an error
    return catalog.getTable(identifier).get().getResolvedSchema(), identifier.getObjectName()


def _contract(schema: Any, table: str) -> Contract:
    columns = []
    for column in schema.getColumns():
        if not column.isPhysical():
            raise ContractError(f"column '{column.getName()}' is computed; the contract has plain columns only")
        kind = column.getDataType()
        comment = column.getComment().orElse("") or ""
        columns.append(
            Column(
                name=column.getName(),
                type=flink_type(kind),
                nullable=kind.getLogicalType().isNullable(),
                pii=comment.strip().lower() == "pii",
            )
        )
    return Contract(table=table, columns=tuple(columns), lateness_ms=_lateness_ms(schema))


def flink_type(data_type: Any) -> str:
    """A Java DataType as Flink prints it, without NOT NULL: `DECIMAL(12, 2)`, `TIMESTAMP_LTZ(3)`."""
    return str(data_type.nullable().toString()).replace(" *ROWTIME*", "").replace(" *PROCTIME*", "")


def _lateness_ms(schema: Any) -> int:
    wanted = "want WATERMARK FOR event_time AS event_time - INTERVAL '2' MINUTE, the lateness bound"
    watermarks = schema.getWatermarkSpecs()
    if watermarks.isEmpty():
        raise ContractError(f"no WATERMARK clause; {wanted}")
    watermark = watermarks.get(0)
    node = watermark.getWatermarkExpression().getRexNode()
    summary = watermark.getWatermarkExpression().asSummaryString()
    if watermark.getRowtimeAttribute() != "event_time":
        raise ContractError(f"the WATERMARK is for '{watermark.getRowtimeAttribute()}'; {wanted}")
    if node.getKind().toString() == "INPUT_REF":
        return 0
    if node.getKind().toString() == "MINUS":
        left, right = node.getOperands().get(0), node.getOperands().get(1)
        if left.getKind().toString() == "INPUT_REF" and right.getKind().toString() == "LITERAL" and _is_time(right):
            return int(str(right.getValue()))
    raise ContractError(f"the WATERMARK expression is {summary}; {wanted}")


def _is_time(literal: Any) -> bool:
    return "MONTH" not in literal.getType().toString() and "YEAR" not in literal.getType().toString()
