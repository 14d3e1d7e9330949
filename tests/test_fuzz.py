"""A small, fixed part of `make fuzz`; and what the fuzz would say if gate or bucket were wrong."""

from __future__ import annotations

import pytest

from operators.gate import Gate
from tests.fuzz.campaign import Campaign
from tests.fuzz.records import CONTRACT, Records
from tests.judge import judge


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_records_are_all_accounted_for(seed: int):
    campaign = Campaign(seed)
    for _ in range(3):
        campaign.batch(500)
        campaign.restart()
    campaign.finish()
    assert campaign.problems == []
    assert {exit_name for _, exit_name in campaign.exits} == {"accepted", "malformed", "future", "too_late"}
    assert sum(campaign.exits.values()) == campaign.sent == 1_500


def test_a_seed_gives_the_same_records_again_and_a_mebibyte_is_among_the_kinds():
    one, again = Records(3), Records(3)
    assert [one.next(10**12) for _ in range(1_000)] == [again.next(10**12) for _ in range(1_000)]
    assert max(len(record.data) for record in one.each_kind(10**12)) > 1_000_000


def test_the_fuzz_notices_a_record_that_is_lost(monkeypatch):
    admit = Gate.admit
    monkeypatch.setattr(Gate, "admit", lambda gate, *columns: admit(gate, *[column[:-1] for column in columns]))
    campaign = Campaign(1)
    campaign.batch(50)
    assert any("left by no exit" in problem for problem in campaign.problems)


def test_the_fuzz_notices_what_raises(monkeypatch):
    monkeypatch.setattr(Gate, "_judge", lambda *_: 1 / 0)
    campaign = Campaign(1)
    campaign.batch(50)
    assert "ZeroDivisionError" in campaign.problems[0]


def test_the_fuzz_notices_a_wrong_verdict(monkeypatch):
    """A gate that lets any future in."""
    init = Gate.__init__
    monkeypatch.setattr(Gate, "__init__", lambda gate, *arguments: init(gate, *arguments[:3], 10**12))
    campaign = Campaign(1)
    campaign.batch(500)
    assert any("the judge would not" in problem for problem in campaign.problems)


@pytest.mark.parametrize(
    ("text", "fits"),
    [("12.34", True), ("1234e-2", True), ("12.340", True), ("12.345", False), ("1e999999999", False), ("NaN", False)],
)
def test_the_judge_reads_amounts_exactly(text: str, fits: bool):
    record = (
        f'{{"event_id":"e","customer_id":"c","merchant_id":"m","amount":{text},"event_time":"2026-01-01T00:00:00Z"}}'
    )
    assert (judge(record.encode(), CONTRACT) is not None) == fits
