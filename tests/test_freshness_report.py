"""What half an hour has measured is kept, and becomes a document: no figure is lost on the way."""

from __future__ import annotations

import re

import pytest

from flink_app.freshness import Latencies
from tests.freshness import measured, report
from tests.freshness.hops import HOPS
from tests.freshness.measured import Measured
from tests.freshness.runs import CatchUp, Cost, Fresh

FRESH = Fresh(2_000.0, 12, Latencies([900.0, 1_700.0], [400.0, 500.0], 1), Latencies([800.0], [300.0]))
COST = Cost(50, 400.0, 500, counted=1_000, live_rows=250, requests=20, items=260, units=300, size=78_000, newest=130)
OUTAGE = CatchUp(waited=180_000, records=179_000, started_after=4.0, seconds=100.0)
TAKEN = {name: [10.0, 10.0 + number] for number, name in enumerate(HOPS)}
WHOLE = Measured(4_000.0, 5_000.0, [(0.5, True, FRESH)], TAKEN, [("hot", COST)], OUTAGE, ["make freshness"])


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(measured, "_FILE", tmp_path / "freshness.json")
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "freshness.md")
    monkeypatch.setattr(report, "PLOT", tmp_path / "freshness.svg")


def test_what_was_measured_is_found_again():
    assert measured.load() == Measured()
    WHOLE.save()
    assert measured.load() == WHOLE
    assert WHOLE.is_whole
    assert not Measured(4_000.0).is_whole


def test_the_document_has_the_figures_of_every_part():
    report.write(WHOLE)
    text = report.DOCUMENT.read_text()
    assert "$" not in text
    cells = re.findall(r"\| hot \| (.*) \|", text)[0].split(" | ")
    assert cells == ["500", "1,000", "0.25", "1.040", "0.30", "300", "13.0", "50"]
    assert "| 50% | 2,000 | window end | 2 | 1 | 1,300 |" in text
    assert "179,000 were read in the 100 s" in text
    assert "1,790 records a second" in text
    assert "make freshness" in text
    assert "| until the table has it | 12 | 14 | BatchWriteItem |" in text
    assert "| all | 55 | 60 |" in text
    assert "1,692 ms since window end, 800 ms since late payment: reached" in text
    assert report.PLOT.exists()
