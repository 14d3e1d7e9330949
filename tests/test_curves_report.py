"""Points are kept one by one, and become a document whose tables have them all, in the order of the axes."""

from __future__ import annotations

import pytest
import typer

from tests.curves import __main__ as curves
from tests.curves import measured, report
from tests.curves.axes import AXES
from tests.curves.measure import Restore
from tests.curves.measured import Measured
from tests.made_results import run

SLIDES = [(1.0, run(20.0, 30.0)), (5.0, run(10.0, 15.0))]
FEW = [(1_000.0, run(12.0, 18.0)), (1_000_000.0, run(24.0, 36.0))]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(measured, "_FILE", tmp_path / "curves.json")
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "curves.md")
    monkeypatch.setattr(report, "PLOT", tmp_path / "curves.svg")


def found():
    restores = [Restore(10_000, 0.02, 400_000), Restore(1_000_000, 1.0, 40_000_000)]
    return Measured(1_000_000, "rocksdb", {"slide": SLIDES, "customers": FEW}, restores, ["make curves"])


def test_what_was_measured_is_found_again_but_only_for_the_same_size_and_backend():
    assert measured.load(1_000_000, "rocksdb") == Measured(1_000_000, "rocksdb")
    found().save()
    assert measured.load(1_000_000, "rocksdb") == found()
    assert measured.load(300_000, "rocksdb") == Measured(300_000, "rocksdb")
    assert measured.load(1_000_000, "heap") == Measured(1_000_000, "heap")


def test_the_document_has_every_point():
    report.write(found())
    text = report.DOCUMENT.read_text()
    assert text.index(AXES["customers"].name) < text.index(AXES["slide"].name) < text.index("## Restore")
    assert "| 1 | 20.0 | 30.0 | 0.0 | 0.00 | 30.0 | 1 | 1 | 1 |" in text
    assert "| 1,000,000 | 24.0 |" in text
    assert "| 1,000,000 | 1.00 | 1.00 | 40 |" in text
    assert "commands: `make curves`\n" in text
    assert report.PLOT.read_text().count("<svg") == 1


def test_a_part_that_is_measured_again_leaves_the_others(monkeypatch, capsys):
    found().save()
    monkeypatch.setattr(curves, "measure", lambda load, events, backend, say: run(5.0, 5.0))
    curves.main(events=1_000_000, part=["slide"], backend="rocksdb")
    again = measured.load(1_000_000, "rocksdb")
    assert again.curves["customers"] == FEW
    assert {seen.steady_seconds for _, seen in again.curves["slide"]} == {5.0}
    assert again.restores == found().restores
    assert "slide of a 30 s window, s 1: 5.0 µs/event" in capsys.readouterr().out


def test_a_part_that_there_is_none_of_is_told():
    with pytest.raises(typer.BadParameter, match="slides is none of customers, windows"):
        curves._known(["slides"])
