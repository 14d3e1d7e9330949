"""The windows of one bucket: edges of time, duplicates, lateness, restores; and random streams against the oracle.

slice            [12:00:00 ─────── 12:00:05)[12:00:05 ───── …
a payment at     12:00:04.999 │ 12:00:05.000 │ 12:00:05.001
window that ends 12:00:05       yes │ no           │ no
"""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from operators.buckets import bucket_keys
from operators.window_spec import Granularity
from tests import oracle
from tests.bucket_harness import END_OF_STREAM, T0, Bucket, comparable, payment, settings
from tests.delivered import CARD_VELOCITY

L = 120_000
VELOCITY, MINUTE = "card_velocity", "customer_spend_1m"


def one(
    at_ms: int, arrival_ms: int | None = None, number: int = 1, customer: str = "anna", **fields: object
) -> list[tuple[bytes, int]]:
    return [(payment(customer, at_ms, number, **fields), at_ms if arrival_ms is None else arrival_ms)]


@pytest.mark.parametrize(("after_ms", "first_end"), [(-1, 5_000), (0, 10_000), (1, 10_000)])
def test_event_at_window_end_belongs_to_the_next_window(after_ms: int, first_end: int):
    bucket = Bucket()
    bucket.send(one(T0 + 5_000 + after_ms))
    bucket.end()
    ends = sorted(end for name, _, end in bucket.final() if name == VELOCITY)
    assert ends == [T0 + first_end + k * 5_000 for k in range(6)]


@pytest.mark.parametrize(("late_by", "exit_name"), [(L - 1, "counted"), (L, "counted"), (L + 1, "too_late")])
def test_an_event_is_too_late_when_it_is_more_than_l_behind_its_arrival(late_by: int, exit_name: str):
    bucket = Bucket()
    bucket.send(one(T0, T0 + late_by))
    bucket.end()
    assert bucket.account()["counted"] == (exit_name == "counted")
    assert bucket.rejects["too_late"] == (exit_name == "too_late")


@pytest.mark.parametrize(("watermark_after", "is_final"), [(-1, False), (0, True), (1, True)])
def test_a_window_is_final_when_the_watermark_reaches_its_last_millisecond(watermark_after: int, is_final: bool):
    bucket = Bucket()
    bucket.send(one(T0))
    bucket.watermark(T0 + 5_000 - 1 + watermark_after)
    assert ((VELOCITY, "anna", T0 + 5_000) in bucket.final()) == is_final


def test_a_timer_that_fires_late_makes_no_window_final_before_its_last_millisecond():
    """The watermark jumps over one end to a millisecond before the next one's time."""
    bucket = Bucket()
    bucket.send(one(T0))
    bucket.watermark(T0 + 10_000 - 2)
    assert set(bucket.final()) == {(VELOCITY, "anna", T0 + 5_000)}


def test_an_event_exactly_l_late_finds_its_window_open():
    """The source's watermark is arrival - L - 1 ms: when such an event arrives, its window is not final."""
    bucket = Bucket()
    bucket.send(one(T0 + 4_000, number=1))
    arrival = T0 + 4_999 + L
    bucket.watermark(arrival - L - 1)
    bucket.send(one(T0 + 4_999, arrival, number=2))
    bucket.watermark(arrival + 1 - L - 1)
    rows = [row for row in bucket.out["final:card_velocity"] if row["window_end"].timestamp() * 1000 == T0 + 5_000]
    assert [row["revision"] for row in rows] == [2]


def test_a_duplicate_counts_once_and_is_named():
    bucket = Bucket()
    bucket.send(one(T0, number=1) * 2)
    bucket.send(one(T0, T0 + L, number=1))
    bucket.end()
    assert bucket.account() == {"counted": 1, "duplicate": 2, "window_closed": 0}
    assert bucket.final()[MINUTE, "anna", T0 + 60_000]["tx_count"] == 1


def test_the_same_event_id_of_another_customer_is_another_event():
    bucket = Bucket()
    bucket.send(one(T0, number=1) + one(T0, number=1, customer="ben"))
    bucket.end()
    assert bucket.account()["counted"] == 2


def test_a_live_row_appears_at_window_end_and_again_only_when_it_changed():
    bucket = Bucket()
    bucket.send(one(T0 + 1_000), now_ms=T0 + 1_000)
    bucket.tick(T0 + 5_499)  # in silence the arrival clock is half a second behind
    assert not bucket.out["live"]
    for after_ms in (5_500, 6_000, 6_500):
        bucket.tick(T0 + after_ms)
    assert [row["feature_window"] for row in bucket.out["live"]] == ["card_velocity#2026-01-01T12:00:05Z"]
    bucket.send(one(T0 + 2_000, T0 + 7_000, number=2), now_ms=T0 + 7_000)
    bucket.tick(T0 + 7_500)
    assert [row["revision"] for row in bucket.out["live"]] == [1, 2]


def test_silence_does_not_hold_the_last_rows_back():
    bucket = Bucket()
    bucket.send(one(T0 + 1_000), now_ms=T0 + 1_000)
    now = T0 + 1_000
    while (due := bucket.bucket.next_tick_ms(now)) is not None:
        now = due
        bucket.tick(now)
    assert len(bucket.stored()) == 6 + 3
    assert len(bucket.final()) == 6 + 3
    assert now <= T0 + 900_000 + bucket.settings.idle_final_ms + 2_000


def test_in_silence_a_live_row_waits_for_nothing_but_its_windows_end():
    bucket = Bucket()
    bucket.send(one(T0 + 1_000), now_ms=T0 + 1_000)
    now = T0 + 1_000
    while now < T0 + 60_000:
        now = bucket.bucket.next_tick_ms(now)
        bucket.tick(now)
    late_by = [row["emitted_at"] - oracle.epoch_ms(row["window_end"]) for row in bucket.out["live"]]
    assert len(late_by) == 6 + 1
    assert max(late_by) <= 500 + bucket.settings.emit_interval_ms, "the clock's patience and one interval"


@pytest.mark.parametrize(("read_after_ms", "tick_after_ms"), [(100, 300), (2_000, 300), (2_001, 500)])
def test_the_next_tick_is_right_after_a_windows_end_unless_a_backlog_is_read(read_after_ms, tick_after_ms):
    bucket = Bucket()
    bucket.send(one(T0 + 1_000), now_ms=T0 + 1_000)
    bucket.tick(T0 + 1_500)
    now = T0 + 4_800 + read_after_ms
    bucket.send(one(T0 + 4_800, number=2), now_ms=now)
    assert bucket.bucket.next_tick_ms(now) - now == tick_after_ms, "200 ms to the end, 100 for what is on its way"


@pytest.mark.parametrize(("after_ms", "is_final"), [(-1, False), (0, True)])
def test_silence_makes_a_window_final_when_the_arrival_clock_is_so_far_beyond_its_end(after_ms: int, is_final: bool):
    bucket = Bucket()
    bucket.send(one(T0 + 1_000), now_ms=T0 + 1_000)
    patience_ms = 500  # the arrival clock is so far behind the wall clock in silence
    bucket.tick(T0 + 5_000 + bucket.settings.idle_final_ms + patience_ms + after_ms)
    assert {name for name, _, _ in bucket.final()} == ({VELOCITY} if is_final else set())


def test_no_window_is_final_by_silence_while_records_come():
    """A backlog: the records are old, and one comes every ten seconds."""
    bucket = Bucket()
    for number in range(30):
        at, now = T0 + number * 10_000, T0 + 3_600_000 + number * 10_000
        bucket.send(one(at, number=number), now_ms=now)
        bucket.tick(now + 500)
    assert not bucket.final()


def test_final_rows_are_written_once_however_often_the_watermark_moves():
    bucket = Bucket()
    bucket.send(one(T0))
    for watermark in range(T0, T0 + 1_000_000, 1_700):
        bucket.watermark(watermark)
    bucket.end()
    written = [
        (row["feature_set"], row["window_end"])
        for name, rows in bucket.out.items()
        if name.startswith("final")
        for row in rows
    ]
    assert len(written) == len(set(written)) == 9


def test_an_event_behind_a_final_window_but_within_grace_issues_it_again_with_a_larger_revision():
    bucket = Bucket()
    bucket.send(one(T0, number=1))
    bucket.watermark(T0 + 60_000)
    bucket.send(one(T0 + 1, T0 + L, number=2))
    bucket.tick(T0 + L + 500)
    rows = [row for row in bucket.out["final:customer_spend"] if row["feature_set"] == MINUTE]
    assert [row["revision"] for row in rows] == [1, 2]
    assert bucket.stored()["anna", "card_velocity#2026-01-01T12:00:05Z"]["revision"] == 2


@pytest.mark.parametrize(("before_horizon", "closed"), [(1, 1), (0, 0), (-1, 0)])
def test_an_event_whose_windows_cannot_be_computed_any_more_is_window_closed(before_horizon: int, closed: int):
    bucket = Bucket()
    bucket.send(one(T0, number=1))
    watermark = T0 + 2_000_000
    bucket.watermark(watermark)
    horizon = bucket.bucket.progress.closed_until
    bucket.send(one(horizon - before_horizon, horizon + 1_000, number=2))
    bucket.watermark(watermark + 2_000_000)
    assert bucket.account()["window_closed"] == closed == len(bucket.out["rejected"])
    assert bucket.account()["counted"] == 2 - closed


def test_state_ends_when_the_stream_has_passed():
    bucket = Bucket()
    for number in range(200):
        bucket.send(one(T0 + number * 1_000, number=number, customer=f"c{number % 7}"))
        bucket.watermark(T0 + number * 1_000 - L - 1)
    last = T0 + 200_000
    bucket.watermark(last + 900_000 + bucket.settings.grace_ms - 2_000)
    assert not bucket.bucket.is_empty
    bucket.watermark(last + 2 * 900_000 + bucket.settings.grace_ms)
    assert bucket.bucket.is_empty
    assert bucket.state.log.entries == {}
    assert bucket.bucket.next_watermark_ms() is None
    assert bucket.bucket.next_tick_ms(last) is None


def test_ids_are_forgotten_when_the_stream_has_passed():
    bucket = Bucket()
    for number in range(40):
        at = T0 + number * 60_000
        bucket.send(one(at, number=number))
        bucket.watermark(at - L - 1, at)
        assert len(bucket.bucket._seen) <= (600 + 300) // 60 + L // 60_000 + 2, "TTL, half a TTL for a generation"
    bucket.watermark(T0 + 40 * 60_000 + 3_600_000)
    assert len(bucket.bucket._seen) == 0


def test_a_restore_writes_no_row_again_that_was_final_before_it():
    bucket = Bucket()
    bucket.send(one(T0), now_ms=T0)
    bucket.watermark(T0 + 60_000, T0 + 60_000 + L + 1)
    written = len(bucket.out["live"])
    again = bucket.restored(now_ms=T0 + 200_000)
    again.tick(T0 + 200_500)
    assert [row["feature_window"] for row in again.out["live"][written:]] == []
    assert len(again.out["final:card_velocity"]) == 6


def test_an_event_that_closed_is_quarantined_with_its_own_bytes():
    bucket = Bucket()
    bucket.send(one(T0, number=1))
    bucket.watermark(T0 + 2_000_000)
    horizon = bucket.bucket.progress.closed_until
    mixed = [*one(horizon + 1, horizon + 2, number=2), *one(horizon - 1, horizon + 2, number=3)]
    bucket.send([*mixed, *one(horizon, horizon + 2, number=4)])
    assert [(row["data"], row["reason"]) for row in bucket.out["rejected"]] == [(mixed[1][0], "window_closed")]
    (row,) = bucket.out["rejected"]
    assert row["detail"].startswith("event_time: 2026-01-01T12:")
    assert row["arrival_time"].timestamp() * 1000 == horizon + 2


def test_a_new_window_is_warm_after_a_restart():
    """A window added at minute 3 has the events from before in it."""
    bucket = Bucket(settings(specs=(CARD_VELOCITY,)))
    bucket.send(one(T0, number=1))
    bucket.watermark(T0 + 1_000)
    wide = CARD_VELOCITY.__class__(
        **(CARD_VELOCITY.__dict__ | {"name": "wide", "granularities": (Granularity("wide", 60_000),)})
    )
    again = bucket.restored(specs=(CARD_VELOCITY, wide))
    again.send(one(T0 + 20_000, number=2))
    again.end()
    assert again.final()["wide", "anna", T0 + 60_000]["tx_count"] == 2
    assert again.final()[VELOCITY, "anna", T0 + 30_000]["tx_count"] == 2


@pytest.mark.parametrize("buckets", [15, 17, 32])
def test_a_restore_with_another_number_of_buckets_is_refused(buckets: int):
    """The keys of 16 buckets are among those of 32: the key alone would not tell."""
    bucket = Bucket(settings(bucket_keys=bucket_keys(16)))
    bucket.send(one(T0, number=1))
    bucket.watermark(T0 + 1_000)
    bucket.restored(bucket_keys=bucket_keys(16))
    with pytest.raises(ValueError, match=f"State.buckets: got {buckets} · wanted 16"):
        bucket.restored(bucket_keys=bucket_keys(buckets))


def test_rows_that_were_due_at_a_crash_are_written_after_it_without_a_new_event():
    bucket = Bucket()
    bucket.send(one(T0 + 1_000), now_ms=T0 + 1_000)
    again = bucket.restored(now_ms=T0 + 50_000)
    due = again.bucket.next_tick_ms(T0 + 50_000)
    assert due is not None
    again.tick(due)
    again.tick(due + 5_000)
    assert again.stored()["anna", "card_velocity#2026-01-01T12:00:05Z"]["tx_count"] == 1


def retried(retry_at: int, restart_before: bool, restart_after: bool) -> Bucket:
    """A payment at T0, and its event id again with a fresh time, while others go by; only short windows."""
    bucket = Bucket(settings(specs=(CARD_VELOCITY,)))
    for number, at in enumerate(range(T0, retry_at, 50_000)):
        bucket.send(one(at, number=number, customer="anna" if at == T0 else "ben"))
        bucket.watermark(at - L - 1)
    bucket = bucket.restored(retry_at) if restart_before else bucket
    bucket.send(one(retry_at, number=0))
    bucket.watermark(retry_at + 1 - L - 1)
    bucket = bucket.restored(retry_at) if restart_after else bucket
    bucket.end()
    return bucket


@pytest.mark.parametrize(("before", "after"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_retry_under_a_new_time_stays_a_duplicate_across_a_restart(before: bool, after: bool):
    """The log must outlast the dedup TTL, and must know its duplicates when what they repeat is pruned already."""
    bucket = retried(T0 + 590_000, before, after)
    assert bucket.account() == {"counted": 12, "duplicate": 1, "window_closed": 0}
    assert len([key for key in bucket.final() if key[1] == "anna"]) == 6


def test_a_rollup_is_final_after_a_pause_longer_than_its_parts_are_kept_in_slices():
    """A payment at 12:00, the next at 12:16: the 15-minute row of the first is read from folds alone."""
    bucket = Bucket()
    bucket.send(one(T0, number=1))
    bucket.watermark(T0 - L - 1)
    bucket.send(one(T0 + 960_000, number=2))
    bucket.tick(T0 + 960_500)
    bucket.watermark(T0 + 960_000 - L - 1)
    bucket.end()
    assert ("customer_spend_15m", "anna", T0 + 900_000) in bucket.final()


def test_money_is_exact_far_beyond_a_double():
    bucket = Bucket()
    amounts = ["9999999999.99", "0.01", "-9999999999.98", "123456789.12"] * 50
    for number, amount in enumerate(amounts):
        bucket.send(one(T0, number=number, amount=amount))
    bucket.end()
    row = bucket.final()[MINUTE, "anna", T0 + 60_000]
    assert row["amount_sum"] == sum(map(Decimal, amounts))


def random_stream(seed: int, events: int, customers: int) -> list[tuple[bytes, int]]:
    rng = random.Random(seed)
    sent: list[tuple[bytes, int]] = []
    for number in range(events):
        arrival = T0 + number * 400
        if sent and rng.random() < 0.1:
            sent.append((rng.choice(sent[-40:])[0], arrival))
            continue
        delay = rng.choice([0, 0, 0, rng.randrange(2_000), rng.randrange(L), L - 1, L, L + 1, -5_000, -5_001])
        at = (arrival - delay) // 5_000 * 5_000 if rng.random() < 0.2 else arrival - delay
        data = payment(
            f"c{rng.randrange(customers)}", at, number, merchant_id=f"m{rng.randrange(4)}",
            amount=f"{rng.randrange(-500, 99_999) / 100:.2f}", channel=rng.choice(["ecom", "pos", None]),
        )  # fmt: skip
        sent.append((b"{broken" if rng.random() < 0.02 else data, arrival))
    return sent


@pytest.mark.parametrize("seed", range(8))
def test_random_streams_give_the_oracles_rows_for_any_cut_restart_and_watermark(seed: int):
    print(f"seed {seed}")
    rng = random.Random(seed * 7 + 1)
    records = random_stream(seed, 600, 5)
    bucket = Bucket()
    at = 0
    while at < len(records):
        cut = records[at : at + rng.randrange(1, 60)]
        at += len(cut)
        bucket.send(cut)
        now = cut[-1][1]
        if rng.random() < 0.7:
            bucket.tick(now)
        if rng.random() < 0.8:
            bucket.watermark(now - L - 1, now)
        if rng.random() < 0.2:
            bucket = bucket.restored(now)
    bucket.end()
    events, exits = oracle.accepted_events(records)
    expected = oracle.final_rows(events)
    got = bucket.final()
    assert {key: comparable(row) for key, row in got.items()} == expected
    assert sum(len(rows) for name, rows in bucket.out.items() if name.startswith("final")) == len(expected), "each once"
    ends = {(row["feature_set"], row["customer_id"], row["window_end"]): row for row in bucket.out["live"]}
    stored = {(name, customer, oracle.epoch_ms(end)): row["revision"] for (name, customer, end), row in ends.items()}
    assert stored == {key: row["revision"] for key, row in expected.items()}, (
        "law 4: the features table equals the final rows"
    )
    account = bucket.account() | {reason: bucket.rejects[reason] for reason in ("malformed", "future", "too_late")}
    assert {name: count for name, count in account.items() if count} == dict(exits)
    assert sum(account.values()) == len(records), "law 1"


def test_a_dedup_memory_shorter_than_the_lateness_bound_is_refused():
    assert settings(dedup_ttl_ms=L).dedup_ttl_ms == L
    with pytest.raises(ValueError, match="below the lateness bound 120000 ms"):
        settings(dedup_ttl_ms=L - 1)


def test_a_watermark_of_the_end_is_not_a_horizon():
    """A drained job that goes on after a restore still counts what comes."""
    bucket = Bucket()
    bucket.send(one(T0, number=1))
    bucket.watermark(END_OF_STREAM)
    again = bucket.restored()
    again.send(one(T0 + 1_000, number=2))
    again.end()
    assert again.final()[MINUTE, "anna", T0 + 60_000]["revision"] == 2
