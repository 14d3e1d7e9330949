"""docs/faults.md: a part of the grid replaces its own rows and no others."""

from __future__ import annotations

from tests.faults.grid import FAULTS, Cell
from tests.faults.report import write

FIRST, SECOND = FAULTS[0].name, FAULTS[1].name


def rows(path):
    return [line for line in path.read_text().splitlines() if line.startswith(("| " + FIRST, "| " + SECOND))]


def test_a_later_part_replaces_its_rows_and_the_others_stay(tmp_path):
    path = tmp_path / "faults.md"
    write(path, [Cell(SECOND, 1, "rocksdb"), Cell(FIRST, 2, "heap", proof="a | b"), Cell(FIRST, 1, "rocksdb")])
    before = rows(path)
    assert [line.split(" | ")[0] for line in before] == [f"| {FIRST}", f"| {SECOND}", f"| {FIRST}"]
    write(path, [Cell(FIRST, 1, "rocksdb", proof="killed"), Cell(FIRST, 1, "rocksdb", proof="killed again")])
    assert "killed again" in rows(path)[0]
    assert rows(path)[1:] == before[1:]
