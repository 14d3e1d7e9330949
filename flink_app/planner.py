"""The SQL folder, compiled by Flink's own planner: the contract and what each window file becomes.

    plan = plan_sql(Path("sql"))
    plan.contract, plan.windows, plan.columns

Planning happens in an environment of its own, which never runs a job. All problems of all files are collected into
one `SqlError`. A query that is valid but does not fit the slices becomes a `NativeWindow`, with the reason.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyflink.java_gateway import get_gateway
from pyflink.table import EnvironmentSettings, TableEnvironment

from flink_app.contract_sql import flink_type, read_contract
from flink_app.sql_problems import SqlError, sql_problem
from flink_app.window_checks import FeatureColumn, clashes, column_problems, header_problems, place_of_select
from flink_app.window_files import WindowFile, read_window_files
from flink_app.window_plan import WindowQuery, window_query
from operators.accumulators import Layout
from operators.contract import CUSTOMER_ID, Contract
from operators.expressions import Unsupported
from operators.window_spec import Granularity, WindowSpec

ROW_NAMES = (CUSTOMER_ID, "window_start", "window_end")
_sinks = itertools.count(1)


@dataclass(frozen=True)
class NativeWindow:
    """A window file that runs as Flink SQL, once, at the watermark, over the accepted and de-duplicated events.

    Attributes:
        name: stem of the file, and its only feature set.
        sql: the statement, selecting from the contract's table name.
        columns: feature columns (name, Flink type) in SQL order, without customer_id, window_start, window_end.
        reason: why it does not run as slices, for `check`.
    """

    name: str
    sql: str
    columns: tuple[FeatureColumn, ...]
    reason: str


@dataclass(frozen=True)
class PlannedWindow:
    """One window file after the planner.

    Attributes:
        file: as a person wrote it.
        columns: feature columns (name, Flink type as declared) in SQL order.
        spec: how the keyed operator runs it; None for a native window.
        native: how Flink SQL runs it; None for slices.
    """

    file: WindowFile
    columns: tuple[FeatureColumn, ...]
    spec: WindowSpec | None = None
    native: NativeWindow | None = None

    @property
    def name(self) -> str:
        """Stem of the file."""
        return self.file.name

    @property
    def kind(self) -> str:
        """'slices' or 'native'."""
        return "slices" if self.spec is not None else "native"

    @property
    def reason(self) -> str:
        """Why it runs natively; empty for slices."""
        return self.native.reason if self.native is not None else ""

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """Names of the rows it writes."""
        return tuple(g.feature_set for g in self.spec.granularities) if self.spec is not None else (self.name,)


@dataclass(frozen=True)
class SqlPlan:
    """Everything the job needs to know of the SQL folder."""

    contract: Contract
    windows: tuple[PlannedWindow, ...]

    @property
    def specs(self) -> tuple[WindowSpec, ...]:
        """The windows that run as slices."""
        return tuple(window.spec for window in self.windows if window.spec is not None)

    @property
    def natives(self) -> tuple[NativeWindow, ...]:
        """The windows that run as Flink SQL."""
        return tuple(window.native for window in self.windows if window.native is not None)

    @property
    def columns(self) -> tuple[FeatureColumn, ...]:
        """All feature columns of all windows, each once, by first appearance: the features table's attributes."""
        return tuple(dict.fromkeys(column for window in self.windows for column in window.columns))


def plan_sql(folder: Path, shown: Path | None = None, planning: TableEnvironment | None = None) -> SqlPlan:
    """Reads and compiles `events.sql` and `windows/*.sql` of a folder.

    Args:
        folder: the SQL folder.
        shown: the folder as messages should name it; `folder` itself if None.
        planning: an unused `planning_environment()`; a new one if None.

    Raises:
        SqlError: every problem found, each one line.
    """
    shown = shown or folder
    files = read_window_files(folder / "windows", shown / "windows")
    planning = planning or planning_environment()
    contract = read_contract(folder / "events.sql", planning, shown / "events.sql")
    return SqlPlan(contract, plan_windows(files, contract, planning))


def planning_environment(*, short_lived: bool = False) -> TableEnvironment:
    """A table environment that only plans, in UTC, with aggregates in one phase (a plan that is one line).

    Args:
        short_lived: True for a process that ends after planning: half the start-up cost of a JVM not yet running.
    """
    if short_lived:
        os.environ.setdefault("JVM_ARGS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    environment.get_config().set("table.local-time-zone", "UTC")
    environment.get_config().set("table.optimizer.agg-phase-strategy", "ONE_PHASE")
    return environment


def plan_windows(
    files: Sequence[WindowFile], contract: Contract, planning: TableEnvironment
) -> tuple[PlannedWindow, ...]:
    """Compiles window files against a contract that `read_contract` put into the same environment.

    Raises:
        SqlError: every problem of every file, each one line.
    """
    windows: list[PlannedWindow] = []
    problems: list[str] = []
    for file in files:
        try:
            windows.append(_plan_window(file, contract, planning))
        except SqlError as error:
            problems.extend(error.problems)
    problems += clashes([(w.file, w.columns, w.feature_sets) for w in windows])
    if problems:
        raise SqlError(*problems)
    return tuple(windows)


def _plan_window(file: WindowFile, contract: Contract, planning: TableEnvironment) -> PlannedWindow:
    columns, plan = _compile(file, contract, planning)
    features = tuple(column for column in columns if column.name not in ROW_NAMES)
    try:
        if plan is None:
            raise Unsupported("Flink cannot describe its plan")
        query = window_query(plan, [column.name for column in columns], contract)
        spec = _spec(file, query)
        Layout.of([spec])
    except Unsupported as reason:
        query = None
        spec = None
        native = NativeWindow(file.name, file.sql, features, str(reason))
    if problems := header_problems(file, query, native.reason if query is None else ""):
        raise SqlError(*problems)
    return PlannedWindow(file, features, spec) if spec is not None else PlannedWindow(file, features, native=native)


def _spec(file: WindowFile, query: WindowQuery) -> WindowSpec:
    sizes = file.rollup_ms or (query.size_ms,)
    return WindowSpec(
        name=file.name,
        granularities=tuple(Granularity(file.feature_set(size), size) for size in sizes),
        slide_ms=query.slide_ms,
        offset_ms=query.offset_ms,
        where=query.where,
        aggregates=query.aggregates,
        outputs=query.outputs,
        having=query.having,
        emit_every_ms=file.emit_every_ms,
    )


def _compile(
    file: WindowFile, contract: Contract, planning: TableEnvironment
) -> tuple[tuple[FeatureColumn, ...], str | None]:
    """Output columns of a query and its compiled plan (None where Flink has none for a valid query).

    `explain` comes first: compiling accepts some queries that Flink then refuses to run.

    Raises:
        SqlError: Flink refuses the query, or its columns cannot be a window row.
    """
    try:
        query = planning.sql_query(file.sql)._j_table  # noqa: SLF001 compilePlan is not in PyFlink's API
        columns = _columns(query)
        if problems := column_problems(file, columns):
            raise SqlError(*problems)
        pipeline = _into_a_sink(query, planning)
        explained = _explain(pipeline)
    except SqlError:
        raise
    except Exception as error:  # noqa: BLE001 py4j raises a different class for each Java exception
        raise SqlError(sql_problem(file.path, file.sql, error, contract.names, contract.table)) from None
    if not _only_inserts(explained):
        place = place_of_select(file)
        raise SqlError(f"{place}: the query changes rows that it has written; group by window_start and window_end")
    try:
        return columns, str(pipeline.compilePlan().asJsonString())
    except Exception:  # noqa: BLE001 valid for Flink, but without a compiled plan
        return columns, None


def _columns(query: Any) -> tuple[FeatureColumn, ...]:
    """Output columns with Flink types; CHAR and VARCHAR of any length are STRING."""
    columns = []
    for column in query.getResolvedSchema().getColumns():
        kind = flink_type(column.getDataType())
        columns.append(FeatureColumn(column.getName(), "STRING" if kind.startswith(("CHAR(", "VARCHAR(")) else kind))
    return tuple(columns)


def _into_a_sink(query: Any, planning: TableEnvironment) -> Any:
    """The query as a pipeline into a table of its own row type that swallows everything."""
    api = get_gateway().jvm.org.apache.flink.table.api
    schema = api.Schema.newBuilder().fromRowDataType(query.getResolvedSchema().toPhysicalRowDataType()).build()
    name = f"planned_{next(_sinks)}"
    planning._j_tenv.createTemporaryTable(name, api.TableDescriptor.forConnector("blackhole").schema(schema).build())  # noqa: SLF001
    return query.insertInto(name)


def _only_inserts(explained: str) -> bool:
    """Whether the node below the sink never updates or deletes a row."""
    physical = explained.split("== Optimized Physical Plan ==", 1)[-1]
    modes = re.findall(r"changelogMode=\[(.*?)\]", physical)
    return len(modes) > 1 and modes[1] == "I"


def _explain(pipeline: Any) -> str:
    gateway = get_gateway()
    api = gateway.jvm.org.apache.flink.table.api
    details = gateway.new_array(api.ExplainDetail, 1)
    details[0] = api.ExplainDetail.CHANGELOG_MODE
    return str(pipeline.explain(api.ExplainFormat.TEXT, details))
