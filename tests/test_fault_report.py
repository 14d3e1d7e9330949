"""docs/faults.md: a part of the grid replaces its own rows and no others."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_a_later_part_replaces_its_rows_and_the_others_stay(tmp_path):
    from tests.faults.grid import FAULTS, Cell
    from tests.faults.report import write

    first, second = FAULTS[0].name, FAULTS[1].name
    path = tmp_path / "faults.md"

    def rows():
        return [line for line in path.read_text().splitlines() if line.startswith((f"| {first}", f"| {second}"))]

    write(path, [Cell(second, 1, "rocksdb"), Cell(first, 2, "heap", proof="a | b"), Cell(first, 1, "rocksdb")])
    before = rows()
    assert [line.split(" | ")[0] for line in before] == [f"| {first}", f"| {second}", f"| {first}"]
    write(path, [Cell(first, 1, "rocksdb", proof="killed"), Cell(first, 1, "rocksdb", proof="killed again")])
    assert "killed again" in rows()[0]
    assert rows()[1:] == before[1:]
