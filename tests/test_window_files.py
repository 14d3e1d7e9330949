"""Window files as text: names, headers, statements. No Flink."""

from __future__ import annotations

from pathlib import Path

import pytest

from flink_app.sql_problems import SqlError
from flink_app.window_files import parse_window_file, read_window_files, single_statement, size_suffix

PATH = Path("sql/windows/spend.sql")


def test_a_header_gives_rollup_emit_and_purpose():
    file = parse_window_file(
        PATH, "-- purpose: spend: all of it\n-- rollup: 1 MINUTE, 5 MINUTES\n-- emit: every 5 seconds\nSELECT 1;\n"
    )
    assert (file.name, file.rollup_ms, file.emit_every_ms) == ("spend", (60_000, 300_000), 5_000)
    assert file.purpose == "spend: all of it"
    assert file.feature_set(300_000) == "spend_5m"
    assert file.place_of("emit") == "sql/windows/spend.sql:3:1"


def test_a_file_without_rollup_has_one_feature_set_named_like_the_file():
    assert parse_window_file(PATH, "SELECT 1").feature_set(60_000) == "spend"


def test_a_header_ends_at_the_first_statement_line():
    assert parse_window_file(PATH, "SELECT 1\n-- rollup: nonsense\n").rollup_ms == ()


@pytest.mark.parametrize(
    ("size", "suffix"), [(30_000, "30s"), (60_000, "1m"), (5_400_000, "90m"), (7_200_000, "2h"), (86_400_000, "1d")]
)
def test_a_size_is_named_in_the_largest_unit_that_divides_it(size, suffix):
    assert size_suffix(size) == suffix


def test_a_closing_semicolon_is_taken_off_and_positions_stay():
    assert single_statement(PATH, "-- a; b\nSELECT ';' AS x; -- end\n/* ; */") == "-- a; b\nSELECT ';' AS x"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-- only words\n", "sql/windows/spend.sql:1:1: no statement in the file"),
        ("SELECT 1;\n  SELECT 2", "sql/windows/spend.sql:2:3: a second statement; want exactly one in a file"),
        (
            "-- rollup: 1 MINUTE\n-- rollup: 1 MINUTE\nSELECT 1",
            "sql/windows/spend.sql:2:1: a second '-- rollup:' line; want one",
        ),
        ("-- rollup: 5 MINUTES, 1 MINUTE\nSELECT 1", "sql/windows/spend.sql:1:1: rollup sizes must ascend"),
        ("-- rollup: a while\nSELECT 1", "sql/windows/spend.sql:1:1: rollup 'a while' is not understood"),
        ("-- rollup: 0 MINUTES\nSELECT 1", "sql/windows/spend.sql:1:1: rollup '0 MINUTES' is not understood"),
        ("-- emit: 5 SECONDS\nSELECT 1", "sql/windows/spend.sql:1:1: emit '5 SECONDS' is not understood"),
        ("-- rollups: 1 MINUTE\nSELECT 1", "sql/windows/spend.sql:1:1: unknown header '-- rollups:'; did you mean"),
    ],
)
def test_a_bad_file_says_where_and_what(text, problem):
    with pytest.raises(SqlError) as caught:
        parse_window_file(PATH, text)
    assert caught.value.problems[0].startswith(problem)


def test_a_file_name_must_be_able_to_name_a_feature_set():
    with pytest.raises(SqlError, match="the file name is the feature set"):
        parse_window_file(Path("sql/windows/Spend-2.sql"), "SELECT 1")


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(SqlError, match="sql/windows: no window files"):
        read_window_files(tmp_path, Path("sql/windows"))


def test_a_folder_is_read_by_name_and_all_problems_come_together(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.sql").write_text("SELECT 1", encoding="utf-8")
    assert [file.name for file in read_window_files(tmp_path)] == ["a", "b"]
    for name in ("c", "d"):
        (tmp_path / f"{name}.sql").write_text("", encoding="utf-8")
    with pytest.raises(SqlError) as caught:
        read_window_files(tmp_path, Path("w"))
    assert caught.value.problems == ("w/c.sql:1:1: no statement in the file", "w/d.sql:1:1: no statement in the file")
