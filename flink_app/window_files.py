"""The files of `sql/windows/`: names, headers and the one statement of each; Flink's planner reads the statement later.

A header is the comment at the top, lines `-- key: value`. purpose, grain and owner are for people;

    -- rollup: 1 MINUTE, 5 MINUTES, 15 MINUTES    the same query at more sizes; the first is the query's own
    -- emit: EVERY 5 SECONDS                      live rows already before the window ends

Other comments are just comments. The stem of the file is the feature set (`card_velocity`); a rollup has one feature
set for each size, `customer_spend_1m`, `_5m`, `_15m`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flink_app.sql_problems import SqlError, position

_UNIT_MS = {"SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}
_KEYS = ("purpose", "grain", "owner", "rollup", "emit")
_STEM = re.compile(r"[a-z][a-z0-9_]*")
_HEADER = re.compile(r"--\s*([A-Za-z_]+)\s*:\s*(.*?)\s*$")
_TOKEN = re.compile(r"'(?:[^']|'')*'|`(?:[^`]|``)*`|--[^\n]*|/\*.*?\*/|;", re.DOTALL)


@dataclass(frozen=True)
class WindowFile:
    """One window file as a person wrote it.

    Attributes:
        name: stem of the file.
        path: where it is, as shown in messages.
        sql: the statement without `;`, at the same lines and columns as in the file.
        rollup_ms: sizes of the header's rollup, ascending; empty without one.
        emit_every_ms: of the header's emit; None without one.
        purpose: of the header, for `check`; empty without one.
    """

    name: str
    path: Path
    sql: str
    rollup_ms: tuple[int, ...] = ()
    emit_every_ms: int | None = None
    purpose: str = ""

    def feature_set(self, size_ms: int) -> str:
        """Name of the feature set with this window size: the stem, for a rollup `<stem>_<size>`."""
        return f"{self.name}_{size_suffix(size_ms)}" if self.rollup_ms else self.name

    def place_of(self, key: str) -> str:
        """`file:line` of a header line, for messages."""
        for number, text in enumerate(self.sql.splitlines(), 1):
            if (header := _HEADER.match(text.strip())) and header[1].lower() == key:
                return f"{self.path}:{number}:1"
        return f"{self.path}:1:1"


def read_window_files(folder: Path, shown: Path | None = None) -> tuple[WindowFile, ...]:
    """All `*.sql` files of a folder, by name.

    Args:
        folder: e.g. `sql/windows`.
        shown: the folder as messages should name it; `folder` itself if None.

    Raises:
        SqlError: no folder, no file in it, a name or header that cannot be used; all problems together.
    """
    paths = sorted(folder.glob("*.sql")) if folder.is_dir() else []
    if not paths:
        raise SqlError(f"{shown or folder}: no window files; add one SELECT per file, e.g. {folder.name}/velocity.sql")
    files: list[WindowFile] = []
    problems: list[str] = []
    for path in paths:
        try:
            files.append(parse_window_file((shown or folder) / path.name, path.read_text(encoding="utf-8")))
        except SqlError as error:
            problems.extend(error.problems)
        except UnicodeDecodeError as error:
            problems.append(f"{path}:1:1: not UTF-8 ({error.reason} at byte {error.start})")
    if problems:
        raise SqlError(*problems)
    return tuple(files)


def parse_window_file(path: Path, text: str) -> WindowFile:
    """Header and statement of one file.

    Raises:
        SqlError: with every problem of the file.
    """
    problems = []
    if not _STEM.fullmatch(path.stem):
        problems.append(f"{path}: the file name is the feature set: want [a-z][a-z0-9_]*.sql, got '{path.name}'")
    header, header_problems = _header(path, text)
    problems += header_problems
    rollup: tuple[int, ...] = ()
    emit: int | None = None
    if "rollup" in header:
        rollup, problem = _rollup(*header["rollup"])
        problems += problem
    if "emit" in header:
        emit, problem = _emit(*header["emit"])
        problems += problem
    sql = ""
    try:
        sql = single_statement(path, text)
    except SqlError as error:
        problems += error.problems
    if problems:
        raise SqlError(*problems)
    return WindowFile(path.stem, path, sql, rollup, emit, header.get("purpose", ("", ""))[1])


def size_suffix(size_ms: int) -> str:
    """A window size as the end of a feature set's name: 300000 -> '5m', in the largest unit that divides it."""
    for unit, milliseconds in reversed(_UNIT_MS.items()):
        if size_ms % milliseconds == 0:
            return f"{size_ms // milliseconds}{unit[0].lower()}"
    raise ValueError(f"a window size of {size_ms} ms is not in whole seconds")


def single_statement(path: Path, text: str) -> str:
    """The text of a file with one statement, its closing `;` blanked out, so that Flink's positions are the file's.

    Raises:
        SqlError: nothing but comments, or something behind the first `;`.
    """
    semicolons = [token.start() for token in _TOKEN.finditer(text) if token[0] == ";"]
    end = semicolons[0] if semicolons else len(text)
    if not _without_comments(text[:end]).strip():
        raise SqlError(f"{path}:1:1: no statement in the file")
    behind = _without_comments(text[end:]).replace(";", " ")
    if behind.strip():
        line, column = position(text, end + len(behind) - len(behind.lstrip()))
        raise SqlError(f"{path}:{line}:{column}: a second statement; want exactly one in a file")
    return text[:end]


def _without_comments(text: str) -> str:
    """Comments as blanks; everything else where it was."""
    return _TOKEN.sub(lambda t: re.sub(r"[^\n]", " ", t[0]) if t[0][:2] in ("--", "/*") else t[0], text)


def _header(path: Path, text: str) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Key -> (place, value) of the comment lines at the top, and problems."""
    found: dict[str, tuple[str, str]] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.strip().startswith("--"):
            break
        entry = _HEADER.match(line.strip())
        if entry is None:
            continue
        key, place = entry[1].lower(), f"{path}:{number}:1"
        if key in found:
            problems.append(f"{place}: a second '-- {key}:' line; want one")
        elif key in _KEYS:
            found[key] = (place, entry[2])
        elif near := difflib.get_close_matches(key, ("rollup", "emit"), 1, 0.7):
            problems.append(f"{place}: unknown header '-- {key}:'; did you mean '-- {near[0]}:'?")
    return found, problems


def _size_ms(text: str) -> int | None:
    size = re.fullmatch(r"(\d+)\s+(SECOND|MINUTE|HOUR|DAY)S?", text.strip(), re.IGNORECASE)
    return int(size[1]) * _UNIT_MS[size[2].upper()] if size and int(size[1]) else None


def _rollup(place: str, value: str) -> tuple[tuple[int, ...], list[str]]:
    wanted = "want sizes like '1 MINUTE, 5 MINUTES, 15 MINUTES'"
    sizes = [_size_ms(part) for part in value.split(",")]
    if None in sizes:
        return (), [f"{place}: rollup '{value}' is not understood; {wanted}"]
    known = tuple(size for size in sizes if size is not None)
    for smaller, larger in pairwise(known):
        if larger <= smaller or larger % smaller:
            got = f"{size_suffix(larger)} after {size_suffix(smaller)}"
            return (), [f"{place}: rollup sizes must ascend, each a multiple of the one before; got {got}"]
    return known, []


def _emit(place: str, value: str) -> tuple[int | None, list[str]]:
    every = re.fullmatch(r"EVERY\s+(.+)", value.strip(), re.IGNORECASE)
    size = _size_ms(every[1]) if every else None
    return size, [] if size else [f"{place}: emit '{value}' is not understood; want 'EVERY 5 SECONDS'"]
