"""Generated payments: reproducible, and the truth about them is true."""

import json
import re
import time
from datetime import datetime
from decimal import Decimal

import numpy as np
import pyarrow.parquet as pq
import pytest

from flink_app.delivery import DeliveryError, to_file, to_kinesis
from flink_app.generate import (
    ACCEPTED,
    DUPLICATE,
    EXITS,
    FUTURE,
    LATENESS_MS,
    MALFORMED,
    SLIP_TOLERANCE_MS,
    START_MS,
    TOO_LATE,
    Shares,
    Truth,
    payments,
)
from operators.gate import Gate
from operators.packing import RAW_SCHEMA
from tests.delivered import CONTRACT

MANY = Shares(duplicates=0.1, late=0.2, too_late=0.1, malformed=0.1, future=0.1)


def records(shares=MANY, **changes):
    """(record, customer, send offset, exit) of a small run."""
    arguments = {"seed": 3, "events": 25_000, "customers": 500, "rate": 1_000, "shares": shares, **changes}
    return [
        row
        for chunk in payments(**arguments)
        for row in zip(
            chunk.records, chunk.customers, chunk.send_offsets_ms.tolist(), chunk.exits.tolist(), strict=True
        )
    ]


def event_time_ms(record):
    return round(datetime.fromisoformat(json.loads(record)["event_time"]).timestamp() * 1000)


def fits_the_contract(record):
    """A second, naive reading of sql/events.sql."""
    try:
        payment = json.loads(record.decode(), parse_float=Decimal)
    except ValueError:
        return False
    amount, paid = payment.get("amount"), payment.get("event_time")
    try:
        in_time = isinstance(paid, str) and datetime.fromisoformat(paid).tzinfo is not None
    except ValueError:
        in_time = False
    return (
        all(isinstance(payment.get(key), str) for key in ("event_id", "customer_id", "merchant_id"))
        and isinstance(amount, (int, Decimal))
        and re.fullmatch(r"\d{1,10}(\.\d{1,2})?", str(amount)) is not None
        and in_time
        and all(
            isinstance(payment.get(key), (str, type(None))) for key in ("currency", "channel", "device_id", "email")
        )
        and isinstance(payment.get("card_present"), (bool, type(None)))
    )


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    assert records() == records()
    assert records(seed=4) != records()


def test_a_longer_run_begins_like_a_shorter_one():
    assert records(events=12_345) == records()[:12_345]


def test_every_record_is_malformed_exactly_when_the_truth_says_so():
    for record, _, _, exit_ in records():
        assert fits_the_contract(record) == (exit_ != MALFORMED), record


def test_event_times_keep_clear_of_the_bounds():
    first_seen = {}
    for record, customer, offset, exit_ in records():
        if exit_ == MALFORMED:
            continue
        late_by = START_MS + offset - event_time_ms(record)
        payment = json.loads(record)
        assert payment["customer_id"] == customer
        if exit_ == FUTURE:
            assert late_by < -5_000 - SLIP_TOLERANCE_MS
        elif exit_ == TOO_LATE:
            assert late_by > LATENESS_MS + 3_000
        else:
            assert 0 <= late_by <= LATENESS_MS - SLIP_TOLERANCE_MS - 3_000
            assert (exit_ == DUPLICATE) == (payment["event_id"] in first_seen)
            first_seen.setdefault(payment["event_id"], record)
            assert first_seen[payment["event_id"]] == record


def test_the_shares_are_met_and_the_truth_adds_up():
    truth = Truth()
    for chunk in payments(seed=3, events=25_000, customers=500, rate=1_000, shares=MANY):
        truth.add(chunk)
    assert truth.records == 25_000
    for exit_ in (name for name in EXITS if name != "accepted"):
        assert getattr(truth, exit_) == pytest.approx(2_500, rel=0.1)
    everyone = records(shares=Shares(0, 0, 0, 0, 0), events=100)
    assert {exit_ for *_, exit_ in everyone} == {ACCEPTED}
    with pytest.raises(ValueError, match="together at most 1"):
        Shares(duplicates=0.6, late=0.6)


@pytest.mark.parametrize("behind_ms", [0, SLIP_TOLERANCE_MS])
def test_the_gate_judges_as_the_truth_says_even_when_sending_is_behind(behind_ms):
    """Duplicates pass the gate; every other reject is the very record that was meant."""
    gate = Gate(CONTRACT, "a key of 20 letters!", (1, 2, 3))
    for chunk in payments(seed=3, events=10_000, customers=500, rate=1_000, shares=MANY):
        names = [""] * len(chunk.records)
        rejects = gate.admit(chunk.records, chunk.send_offsets_ms + START_MS + behind_ms, names, names).rejects
        judged = sorted(zip(rejects.column("data").to_pylist(), rejects.column("reason").to_pylist(), strict=True))
        meant = zip(chunk.records, (EXITS[exit_] for exit_ in chunk.exits), strict=True)
        assert judged == sorted(pair for pair in meant if pair[1] not in {"accepted", "duplicate"})


def test_sending_is_even_and_some_customers_pay_in_bursts_at_many_merchants():
    rows = records(events=60_000, shares=Shares())
    assert [offset for _, _, offset, _ in rows] == list(range(60_000))
    busiest = 0
    merchants = {}
    for record, customer, offset, exit_ in rows:
        if exit_ == ACCEPTED and offset < 30_000:
            merchants.setdefault(customer, set()).add(json.loads(record)["merchant_id"])
    usual, busiest = np.median([len(seen) for seen in merchants.values()]), max(map(len, merchants.values()))
    assert busiest > 100
    assert usual < 50


def test_a_parquet_file_has_the_layout_of_the_raw_archive_and_the_same_bytes_each_time(tmp_path):
    for name, events in (("a.parquet", 50_001), ("b.parquet", 2_000), ("c.parquet", 2_000)):
        delivery = to_file(payments(seed=3, events=events, customers=500, rate=1_000), tmp_path / name)
        assert delivery.truth.records == events
    assert (tmp_path / "b.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [50_000, 1]
    table = file.read()
    assert table.column_names == ["data", "arrival_time", "shard_id", "sequence_number"]
    arrivals = table["arrival_time"].cast("int64").to_numpy()
    assert (np.diff(arrivals) >= 0).all()
    assert table["arrival_time"].type == RAW_SCHEMA.field("arrival_time").type
    assert arrivals[0] == START_MS
    assert len(table["shard_id"].unique()) == 4
    numbers = table["sequence_number"].to_pylist()
    assert numbers == sorted(set(numbers))
    assert table["data"][:100].to_pylist() == [row[0] for row in records(shares=Shares(), events=100)]


def test_a_jsonl_file_has_one_record_a_line(tmp_path):
    to_file(payments(seed=3, events=1_000, customers=10, rate=100, shares=MANY), tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes().split(b"\n")[:-1] == [
        r[0] for r in records(events=1_000, customers=10, rate=100)
    ]


@pytest.mark.parametrize("name", ["a.csv", "absent/a.jsonl", "absent/a.parquet"])
def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path, name):
    with pytest.raises(DeliveryError, match=r"--to .*: ") as error:
        to_file(payments(seed=3, events=10, customers=10, rate=100), tmp_path / name)
    assert "\n" not in str(error.value)


class Stream:
    """A stream that refuses the first record of every third call."""

    def __init__(self):
        self.stored, self.calls = [], 0

    def put_records(self, StreamName, Records):  # noqa: N803 boto3's names
        self.calls += 1
        refused = 1 if self.calls % 3 == 0 else 0
        assert len(Records) <= 500
        self.stored += [record["Data"] for record in Records[refused:]]
        return {
            "Records": [{"ErrorCode": "ProvisionedThroughputExceededException"}] * refused
            + [{}] * len(Records[refused:])
        }


def test_refused_records_are_sent_again_and_the_rate_is_kept():
    stream, start_ms = Stream(), int(time.time() * 1000)
    run = payments(seed=3, events=3_000, customers=10, rate=3_000, start_ms=start_ms)
    delivery = to_kinesis(run, stream, "payments", start_ms=start_ms)
    expected = [row[0] for row in records(events=3_000, customers=10, rate=3_000, start_ms=start_ms, shares=Shares())]
    assert sorted(stream.stored) == sorted(expected)
    assert 0.8 < delivery.seconds < 3
    assert delivery.truth.records == 3_000


def test_an_error_for_good_ends_the_sending():
    class Broken:
        def put_records(self, **_):
            raise RuntimeError("no such stream")

    with pytest.raises(DeliveryError, match="stream payments: no such stream"):
        to_kinesis(payments(seed=3, events=30_000, customers=10, rate=1e6), Broken(), "payments", start_ms=0)
