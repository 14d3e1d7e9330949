"""What became of one event, told from files as the job writes them; the features table in the end-to-end test."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flink_app.properties import parse_properties
from flink_app.trace import trace

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
RAW = ["data", "arrival_time", "shard_id", "sequence_number"]


def record(event="e1", customer="c1", **more):
    return json.dumps(
        {"event_id": event, "customer_id": customer, "event_time": "2026-01-31T11:59:59Z"} | more
    ).encode()


class Lake:
    """Files of a raw archive and a quarantine."""

    def __init__(self, folder):
        self._folder = folder
        paths = {name: {"path": f"file://{folder}/{name}"} for name in ("Archive", "Quarantine", "History", "Account")}
        groups = {
            "Source": {"kind": "kinesis", "stream": "payments"},
            "Features": {"enabled": "false"},
            "Masking": {"key": "0123456789abcdef"},
            **paths,
        }
        listed = [{"PropertyGroupId": name, "PropertyMap": values} for name, values in groups.items()]
        self.properties = parse_properties(listed, "test")

    def arrives(self, data, number, at=NOON, shard="shard-0", reason=None, detail=None):
        row = dict(zip(RAW, (data, at.replace(tzinfo=None), shard, str(number)), strict=True))
        self._write(f"Archive/dt={at:%Y-%m-%d}/hour={at:%H}", number, row)
        if reason:
            self._write(f"Quarantine/reason={reason}/dt={at:%Y-%m-%d}/hour={at:%H}", number, row | {"detail": detail})

    def trace(self, event="e1", since=NOON, until=NOON + timedelta(hours=3), **more):
        found = trace(self.properties, event, since, until, **more).sightings
        return [(sighting.place[1], sighting.exit, sighting.detail) for sighting in found]

    def _write(self, folder, number, row):
        path = self._folder / folder
        path.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([row]), path / f"part-{number}")


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def test_the_first_record_that_arrived_is_counted_and_a_later_one_its_duplicate(lake):
    lake.arrives(record(), 2, at=NOON + timedelta(hours=1))
    lake.arrives(record(), 1, at=NOON + timedelta(minutes=59))
    lake.arrives(record("e11"), 3)
    assert lake.trace() == [("1", "counted", ""), ("2", "duplicate", "of shard-0 1")]


def test_an_id_that_is_forgotten_counts_again(lake):
    lake.arrives(record(), 1)
    lake.arrives(record(event_time="2026-01-31T12:10:01Z"), 2, at=NOON + timedelta(minutes=10, seconds=1))
    assert [exit_ for _, exit_, _ in lake.trace()] == ["counted", "counted"]


def test_a_rejected_record_has_its_reason_and_what_the_quarantine_says(lake):
    lake.arrives(record(), 1, reason="too_late", detail="event_time: 130000 ms before arrival")
    lake.arrives(record(), 2)
    assert lake.trace() == [("1", "too_late", "event_time: 130000 ms before arrival"), ("2", "counted", "")]


def test_a_broken_record_that_holds_the_id_is_found(lake):
    lake.arrives(record()[:40], 1, reason="malformed", detail="not JSON")
    assert lake.trace() == [("1", "malformed", "not JSON")]


def test_a_record_that_only_mentions_the_id_is_another_event(lake):
    lake.arrives(record("another", merchant_id="e1"), 1)
    assert lake.trace() == []


def test_another_customers_event_of_the_same_id_is_no_duplicate(lake):
    lake.arrives(record(), 1)
    lake.arrives(record(customer="c2"), 2)
    assert [exit_ for _, exit_, _ in lake.trace()] == ["counted", "counted"]
    assert lake.trace(customer="c2") == [("2", "counted", "")]


def test_an_id_that_json_escapes_is_found(lake):
    lake.arrives(record('a "quoted" é'), 1)
    assert lake.trace('a "quoted" é') == [("1", "counted", "")]


def test_the_same_number_in_another_shard_is_another_record(lake):
    lake.arrives(record(), 1, shard="shard-1")
    lake.arrives(record("e2"), 1, at=NOON + timedelta(hours=1), reason="future", detail="ahead")
    assert lake.trace() == [("1", "counted", "")]


def test_only_the_hours_that_were_asked_for_are_read(lake):
    lake.arrives(record(), 1)
    lake.arrives(record(), 2, at=NOON + timedelta(hours=1))
    assert lake.trace(until=NOON + timedelta(minutes=59)) == [("1", "counted", "")]
    assert lake.trace(since=NOON - timedelta(hours=3), until=NOON - timedelta(hours=1)) == []
