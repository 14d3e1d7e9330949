"""What Flink says about a broken SQL file, as one line a person can act on: `file:line:column: message; do this`.

FraudWindowsError
└── SqlError    one line for each problem of sql/events.sql and sql/windows/
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flink_app.errors import FraudWindowsError

_WINDOW_FUNCTIONS = ("TUMBLE", "HOP", "CUMULATE", "SESSION")


class SqlError(FraudWindowsError):
    """Problems of the SQL files, collected: `sql/windows/velocity.sql:7:12: column 'amout' not found in events`."""


def sql_problem(path: Path, sql: str, error: BaseException, columns: Iterable[str] = (), table: str = "") -> str:
    """One line for a failure of Flink's parser or planner on the text of `path`.

    Args:
        path: file as it should be named.
        sql: text given to Flink, with the same lines and columns as the file.
        error: what py4j raised.
        columns: column names to suggest for a misspelt one.
        table: the only table that exists; empty if there are several.
    """
    line, column, message = _locate(error)
    if line is None and (window := _unknown_window(sql)):
        line, column, message = window
    message = _suggest(_readable(message), list(columns), table)
    if line is None:
        line, column = _first_word(sql)
    return f"{path}:{line}:{column}: {message}"


def _unknown_window(sql: str) -> tuple[int, int, str] | None:
    """The place of `TABLE(TUMBEL(TABLE …`, for which Flink names none."""
    for call in re.finditer(r"\bTABLE\s*\(\s*(\w+)\s*\(\s*(?:DATA\s*=>\s*)?TABLE\b", sql, re.IGNORECASE):
        if call[1].upper() not in _WINDOW_FUNCTIONS:
            near = difflib.get_close_matches(call[1].upper(), _WINDOW_FUNCTIONS, 1, 0.6)
            hint = f"; did you mean '{near[0]}'?" if near else f"; want one of {', '.join(_WINDOW_FUNCTIONS)}"
            return *position(sql, call.start(1)), f"unknown window function '{call[1]}'{hint}"
    return None


def _first_word(sql: str) -> tuple[int, int]:
    """Where the statement begins: the place for errors without one."""
    blank = re.sub(r"--[^\n]*", lambda comment: " " * len(comment[0]), sql)
    found = re.search(r"\S", blank)
    if found is None:
        return 1, 1
    return position(sql, found.start())


def position(text: str, index: int) -> tuple[int, int]:
    """Line and column, both from 1, of a place in a text."""
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1


def _causes(error: BaseException) -> Iterator[Any]:
    java = getattr(error, "java_exception", None)
    while java is not None and hasattr(java, "getClass"):
        yield java
        java = java.getCause()


def _locate(error: BaseException) -> tuple[int | None, int | None, str]:
    """(line, column, message) of the innermost cause that knows its place; else (None, None, last message)."""
    message = str(error).splitlines()[0] if str(error) else type(error).__name__
    for java in _causes(error):
        name, text = java.getClass().getSimpleName(), java.getMessage() or ""
        if name == "CalciteContextException" and java.getPosLine() > 0:
            return java.getPosLine(), java.getPosColumn(), re.sub(r"^(From|At) line.*?: ", "", text, flags=re.DOTALL)
        if name == "SqlParseException" and java.getPos() is not None and java.getPos().getLineNum() > 0:
            place = java.getPos()
            return place.getLineNum(), place.getColumnNum(), re.sub(r" at line \d+, column \d+\.?", "", text)
        message = text or message
    if found := re.search(r"line (\d+), column (\d+)", message):
        return int(found[1]), int(found[2]), message
    return None, None, message


def _readable(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    first = lines[0] if lines else "Flink refused the query without a message"
    if options := re.search(r"Unsupported options:\n\n(.*?)\n\n", message, re.DOTALL):
        return f"{first.rstrip('.')}: {', '.join(options[1].split())}"
    first = re.sub(r"^Encountered \"(<EOF>|[^\"]*?)\s*\"?\.?(Was expecting.*)?$", r"unexpected '\1'", first)
    first = re.sub(r"^(?:[a-z]+\.)+\w+(?:Exception|Error): ", "", first).replace("VARCHAR(2147483647)", "STRING")
    if first.startswith("Unsupported SQL query! sqlQuery()"):
        first = "want one SELECT, got another kind of statement"
    return re.sub(r"RECORDTYPE\([^<>]*\)", "TABLE", first).rstrip(".")


def _suggest(message: str, columns: list[str], table: str) -> str:
    if missing := re.search(r"(?:Column|Unknown identifier) '([^']+)'", message):
        name = missing[1].rsplit(".", 1)[-1]
        near = difflib.get_close_matches(name.lower(), columns, 1, 0.6)
        return f"column '{name}' not found in {table or 'any table'}" + (f"; did you mean '{near[0]}'?" if near else "")
    if missing := re.search(r"Object '([^']+)' not found", message):
        return f"table '{missing[1]}' not found" + (f"; the only table is '{table}' (sql/events.sql)" if table else "")
    if unknown := re.search(r"No match found for function signature (.+)", message):
        return f"unknown function {unknown[1]}"
    return message
