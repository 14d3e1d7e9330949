"""The laws of the design as properties: for any stream, any windows, any way of reading it.

    streams × definitions × journeys ──► gate ──► bucket ──► rows, exits, state      against `oracle`, `window_oracle`

Deterministic by default, a few seconds; `make laws` draws at random, a hundred times as many, and prints how to
reproduce what it finds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracle, window_oracle
from tests.bucket_harness import Bucket, comparable
from tests.law_journey import Journey, chosen, exits, stored
from tests.law_streams import Record, Step, ends, journeys, streams
from tests.window_definitions import LATENESS_MS, Definition, definitions, rolled_up

GRACE_MS = 5_000
THOROUGH = settings.get_current_profile_name() == "thorough"
law = settings() if THOROUGH else settings(max_examples=20, derandomize=True)
Windows = tuple[Definition, ...]


def accepted(records: list[Record]) -> tuple[list[dict[str, Any]], Counter[str]]:
    return oracle.accepted_events(records, LATENESS_MS)


def rows_of(bucket: Bucket) -> dict[tuple[str, str, int], dict[str, Any]]:
    return {key: comparable(row) for key, row in bucket.final().items()}


def history(bucket: Bucket) -> dict[tuple[str, str, int], list[int]]:
    """Revisions of each final row in the order in which they were written."""
    found: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for name, rows in bucket.out.items():
        if name.startswith("final:"):
            for row in rows:
                end = round(row["window_end"].timestamp() * 1000)
                found[row["feature_set"], row["customer_id"], end].append(row["revision"])
    return found


@law
@given(streams(), definitions(1), journeys(ahead_ms=GRACE_MS), ends(), st.booleans())
def test_every_record_leaves_by_one_exit(
    records: list[Record], windows: Windows, steps: list[Step], end: str, native: bool
):
    bucket = Journey(records, chosen(windows, forwards_events=native)).go(steps, end)
    events, expected = accepted(records)
    assert exits(bucket) == dict(expected)
    assert sum(exits(bucket).values()) == len(records)
    identities = Counter((row["customer_id"], row["event_id"]) for row in bucket.out["event"])
    assert identities == Counter((e["customer_id"], e["event_id"]) for e in events if native), "native windows' events"


@law
@given(streams(), journeys(ahead_ms=60_000), ends(), definitions(1))
def test_behind_a_watermark_that_ran_away_events_are_window_closed_and_the_rest_is_counted(
    records: list[Record], steps: list[Step], end: str, windows: Windows
):
    bucket = Journey(records, chosen(windows)).go(steps, end)
    closed = Counter((row["data"], round(row["arrival_time"].timestamp() * 1000)) for row in bucket.out["rejected"])
    kept = [record for record in records if not closed[record]]
    judged = accepted(records)[1]
    gone = {"malformed", "future", "too_late"}
    assert {name: count for name, count in exits(bucket).items() if name in gone} == {
        name: count for name, count in judged.items() if name in gone
    }, "lateness is a fact of the record, whatever the watermark"
    assert sum(exits(bucket).values()) == len(records)
    assert exits(bucket).get("window_closed", 0) == closed.total()
    ambiguous = any(closed[record] < records.count(record) for record in closed)  # a copy counted, another not
    if not ambiguous:
        assert rows_of(bucket) == window_oracle.final_rows(windows, accepted(kept)[0])


@law
@given(streams(), definitions(), journeys(ahead_ms=GRACE_MS), ends())
def test_final_rows_are_the_oracles_whatever_the_cuts_the_watermark_and_the_restarts(
    records: list[Record], windows: Windows, steps: list[Step], end: str
):
    bucket = Journey(records, chosen(windows)).go(steps, end)
    assert rows_of(bucket) == window_oracle.final_rows(windows, accepted(records)[0])


@law
@given(streams(retries=False), definitions(2), journeys(), ends(), st.randoms(use_true_random=False))
def test_final_rows_do_not_depend_on_the_order_of_reading(
    records: list[Record], windows: Windows, steps: list[Step], end: str, order: Any
):
    shuffled = order.sample(records, len(records))
    bucket = Journey(shuffled, chosen(windows)).go(steps, end)
    assert rows_of(bucket) == window_oracle.final_rows(windows, accepted(records)[0])


@law
@given(streams(), definitions(), journeys(ahead_ms=GRACE_MS), ends())
def test_live_rows_converge_to_the_final_ones(records: list[Record], windows: Windows, steps: list[Step], end: str):
    bucket = Journey(records, chosen(windows)).go(steps, end)
    final = rows_of(bucket)
    items = stored(bucket)
    assert {key: {name: items[key][name] for name in row} for key, row in final.items() if key in items} == final
    assert items.keys() == final.keys()


@law
@given(streams(), definitions(), journeys(ahead_ms=GRACE_MS), ends())
def test_a_revision_only_grows_and_is_at_most_once_in_history(
    records: list[Record], windows: Windows, steps: list[Step], end: str
):
    bucket = Journey(records, chosen(windows)).go(steps, end)
    for key, revisions in history(bucket).items():
        assert revisions == sorted(set(revisions)), key


@law
@given(streams(), definitions(), journeys(ahead_ms=GRACE_MS, restarts=False), ends())
def test_a_live_row_is_written_again_only_when_it_has_counted_more(
    records: list[Record], windows: Windows, steps: list[Step], end: str
):
    bucket = Journey(records, chosen(windows)).go(steps, end)
    before: dict[tuple[str, str], int] = {}
    for row in bucket.out["live"]:
        key = (row["customer_id"], row["feature_window"])
        assert row["revision"] > before.get(key, 0), key
        before[key] = row["revision"]


@law
@given(streams(), rolled_up(), journeys(ahead_ms=GRACE_MS), ends())
def test_a_rollup_is_its_parts(records: list[Record], roll: Definition, steps: list[Step], end: str):
    bucket = Journey(records, chosen((roll,))).go(steps, end)
    rows = rows_of(bucket)
    for part, whole in zip(roll.sizes_ms, roll.sizes_ms[1:], strict=False):
        for (name, customer, at), row in rows.items():
            if name == f"roll_{whole}":
                ends_of_parts = range(at - whole + part, at + 1, part)
                parts = [rows[key] for e in ends_of_parts if (key := (f"roll_{part}", customer, e)) in rows]
                counts, sums, smallest, largest, merchants = (
                    [one[f"roll_{i}"] for one in parts] for i in range(len(roll.measures))
                )
                assert (row["revision"], row["roll_0"], row["roll_1"]) == (sum(counts), sum(counts), sum(sums))
                assert (row["roll_2"], row["roll_3"]) == (min(smallest), max(largest))
                assert max(merchants) <= row["roll_4"] <= sum(merchants)
    assert rows == window_oracle.final_rows((roll,), accepted(records)[0]), "distinct counts"


@law
@given(streams(), definitions(), journeys(ahead_ms=20_000), st.sampled_from([0, 5_000, 30_000]))
def test_state_ends_when_the_stream_has_passed(
    records: list[Record], windows: Windows, steps: list[Step], grace_ms: int
):
    journey = Journey(records, chosen(windows, grace_ms=grace_ms))
    journey.go(steps, "passed")
    inside = journey.bucket.bucket
    assert journey.bucket.state.log.entries == {}
    assert inside.is_empty
    assert len(inside._seen) == 0
    assert inside.next_watermark_ms() is None
    assert inside.next_tick_ms(journey.now_ms) is None
