"""Rules that a window query must keep beyond being valid SQL: its row, its names, its header. Pure; messages only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from flink_app.sql_problems import position
from flink_app.window_files import WindowFile, size_suffix
from flink_app.window_plan import WindowQuery

RESERVED = ("feature_window", "feature_set", "revision", "emitted_at", "expires_at", "dt", "hour")
_ROW = {"customer_id": "STRING", "window_start": "TIMESTAMP(3)", "window_end": "TIMESTAMP(3)"}
_FEATURE_TYPE = re.compile(
    r"STRING|BOOLEAN|TINYINT|SMALLINT|INT|BIGINT|FLOAT|DOUBLE|DECIMAL\(\d+, \d+\)|DATE|TIMESTAMP(_LTZ)?\(\d\)"
)


class FeatureColumn(NamedTuple):
    """A column of a window row: its name and its type as Flink declares it, without NOT NULL."""

    name: str
    type: str


def column_problems(file: WindowFile, columns: Sequence[FeatureColumn]) -> list[str]:
    """What is wrong with the output columns of one query."""
    place = place_of_select(file)
    types = {column.name: column.type for column in columns}
    problems = []
    for name, wanted in _ROW.items():
        if name not in types:
            problems.append(f"{place}: no column '{name}' in the SELECT; a window row is named by {', '.join(_ROW)}")
        elif types[name] != wanted:
            problems.append(f"{place}: column '{name}' is {types[name]}, want {wanted}")
    if len(columns) == len([name for name in _ROW if name in types]):
        problems.append(f"{place}: no feature in the SELECT, only {', '.join(types)}; add at least one aggregate")
    for name, kind in types.items():
        if name in RESERVED:
            problems.append(f"{place}: column '{name}' is reserved for the stored row; give it another name")
        elif (twice := re.fullmatch(r"(.+?)\d+", name)) and twice[1] in types and not _written(name, file.sql):
            problems.append(f"{place}: two columns are named '{twice[1]}'; rename one")  # Flink renames it silently
        elif re.fullmatch(r"EXPR\$\d+", name):
            problems.append(f"{place}: column {int(name[5:]) + 1} has no name; add AS <name>")
        elif not _FEATURE_TYPE.fullmatch(kind):
            problems.append(f"{place}: column '{name}' is {kind}; a feature is a text, number, boolean or timestamp")
    return problems


def _written(name: str, sql: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", sql) is not None


def place_of_select(file: WindowFile) -> str:
    """`file:line:column` of the first SELECT outside comments."""
    text = re.sub(r"--[^\n]*|/\*.*?\*/", lambda c: re.sub(r"[^\n]", " ", c[0]), file.sql, flags=re.DOTALL)
    found = re.search(r"\bSELECT\b", text, re.IGNORECASE)
    line, column = position(text, found.start() if found else 0)
    return f"{file.path}:{line}:{column}"


def header_problems(file: WindowFile, query: WindowQuery | None, reason: str) -> list[str]:
    """Header lines that do not fit the query; `query` is None for a native window, then `reason` says why."""
    problems = []
    for key, value in (("rollup", file.rollup_ms), ("emit", file.emit_every_ms)):
        if value and query is None:
            problems.append(f"{file.place_of(key)}: {key} needs a window that runs as slices; this one has {reason}")
    if query is None:
        return problems
    if file.rollup_ms and query.kind != "TUMBLE":
        problems.append(f"{file.place_of('rollup')}: rollup needs TUMBLE, got {query.kind}")
    elif file.rollup_ms and file.rollup_ms[0] != query.size_ms:
        got, own = size_suffix(file.rollup_ms[0]), size_suffix(query.size_ms)
        problems.append(f"{file.place_of('rollup')}: the first size must be the query's own, {own}, got {got}")
    if file.emit_every_ms and query.having is not None:
        problems.append(f"{file.place_of('emit')}: emit with HAVING; a live row, once written, cannot be taken back")
    if file.emit_every_ms and file.emit_every_ms >= query.size_ms:
        problems.append(
            f"{file.place_of('emit')}: emit must be shorter than the window of {size_suffix(query.size_ms)}"
        )
    return problems


def clashes(windows: Sequence[tuple[WindowFile, Sequence[FeatureColumn], Sequence[str]]]) -> list[str]:
    """Names that two files use differently: all windows share one table.

    Args:
        windows: (file, feature columns, feature sets) of each.
    """
    problems = []
    columns: dict[str, tuple[str, WindowFile]] = {}
    sets: dict[str, WindowFile] = {}
    for file, features, feature_sets in windows:
        for name, kind in features:
            known, other = columns.setdefault(name, (kind, file))
            if known != kind:
                problems.append(
                    f"{place_of_select(file)}: column '{name}' is {kind} here and {known} in {other.path};"
                    " all windows share one table, rename one or CAST it"
                )
        for name in feature_sets:
            first = sets.setdefault(name, file)
            if first is not file:
                problems.append(f"{file.path}: feature set '{name}' is written by {first.path} too; rename one file")
    return problems
