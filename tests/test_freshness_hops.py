"""A late payment is followed from the plan of its sending to the table that has its row, hop by hop."""

from __future__ import annotations

import base64
import json

import pytest

from flink_app.generate import Shares, payments
from operators.feature_rows import instant
from tests.faults.requests import Answer, Request
from tests.freshness.hops import HOPS, Hops

START_MS = 1_767_225_600_000


@pytest.fixture
def late(monkeypatch):
    """Hops that follow one late payment; (hops, its record, its customer, when it is to be sent, a clock to set)."""
    (chunk,) = payments(seed=7, events=2_000, customers=50, rate=100.0, start_ms=START_MS, shares=Shares(late=0.02))
    hops = Hops()
    hops.follow(chunk, START_MS)
    event, followed = next(iter(hops._sent.items()))
    record = next(record for record in chunk.records if event.encode() in record)
    clock = [0.0]
    monkeypatch.setattr("time.time", lambda: clock[0] / 1000)
    return hops, record, followed.customer, followed.moments[0], clock


def read(hops, record, arrival_ms):
    entry = {"Data": base64.b64encode(record).decode(), "ApproximateArrivalTimestamp": arrival_ms / 1000}
    answer = Answer(200, (), json.dumps({"Records": [entry]}).encode())
    assert hops.read(Request("POST", "/", {}), lambda _: answer) is answer


def write(hops, clock, customer, window, emitted_ms, taken_ms, left=False):
    item = {"customer_id": {"S": customer}, "feature_window": {"S": window}, "emitted_at": {"N": str(int(emitted_ms))}}
    requests = {"features": [{"PutRequest": {"Item": item}}]}

    def forward(_request):
        clock[0] = taken_ms
        return Answer(200, (), json.dumps({"UnprocessedItems": requests if left else {}}).encode())

    hops.written(Request("POST", "/", {}, json.dumps({"RequestItems": requests}).encode()), forward)


def test_each_hop_has_its_time(late):
    hops, record, customer, sent, clock = late
    window = next(one.window for one in hops._sent.values() if one.moments[0] == sent)
    clock[0] = sent + 150
    read(hops, record, sent + 40)
    read(hops, record, sent + 60)  # a copy of it
    for emitted, asked, taken, left in ((100, 300, 310, False), (400, 430, 440, True), (400, 500, 530, False)):
        clock[0] = sent + asked
        write(hops, clock, customer, window, sent + emitted, sent + taken, left)
    found = hops.milliseconds(0.0)
    assert [pytest.approx(found[name]) for name in HOPS] == [[40.0], [110.0], [250.0], [100.0], [30.0]]
    assert hops.milliseconds(sent + 1) == {name: [] for name in HOPS}


def test_only_late_payments_are_followed_and_broken_records_disturb_nobody(late):
    hops, *_ = late
    assert 0 < len(hops._sent) <= 50
    for one in hops._sent.values():
        assert one.window <= f"card_velocity#{instant(int(one.moments[0]) - 5_000)}"
    for broken in (b"{", b"[]", b'{"event_id": []}', b"\xff"):
        read(hops, broken, 0.0)
    assert len(hops._sent) > 0
