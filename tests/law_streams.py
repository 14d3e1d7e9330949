"""Streams and journeys drawn by chance, for the laws.

A stream is what a shard holds: records in arrival order, with disorder, copies, ties, edges of time and broken ones.
A journey is how a job happens to read it: cuts into batches, watermarks, ticks, silences, restarts, crashes.

    journey   send 3 · watermark −500 ms · tick │ send 1 · checkpoint │ send 7 · crash: back to the checkpoint │ …
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.bucket_harness import T0, payment
from tests.window_definitions import LATENESS_MS

Record = tuple[bytes, int]

_EDGES = (0, 1, LATENESS_MS - 1, LATENESS_MS, LATENESS_MS + 1, -1, -5_000, -5_001)  # arrival − event time
BROKEN = (
    b"", b"{", b"\xff", b"[]", b"null", b'{"event_id": 7}', b"NaN", b"\xef\xbb\xbf{}",
    payment("anna", T0, 1, amount="1.005"), payment("anna", T0, 1, amount='"1"'), payment("anna", T0, 1, amount="null"),
    payment("", T0, 1), payment("anna", T0, 1, merchant_id=None), payment("anna", T0, 1, card_present="yes"),
    payment("anna", T0, 1, event_time="2026-01-01T12:00:00"), payment("anna", T0, 1, event_time="2026-02-30T00:00:00Z"),
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """One record of a stream before it is bytes; see `_record`."""

    gap_ms: int
    late_by_ms: int
    edge_ms: int | None
    kind: str
    customer: str
    fields: dict[str, Any]
    back: int


_fields = st.fixed_dictionaries(
    {
        "amount": st.sampled_from(["0", "1.50", "2", "2.01", "-3.05", "9999999999.99", "1e1"]),
        "merchant_id": st.sampled_from(["m1", "m2", "m3"]),
        "channel": st.sampled_from(["ecom", "pos", None]),
        "card_present": st.sampled_from([True, False, None]),
        "points": st.sampled_from([None, 0, 7, -8, 2**40]),
        "score": st.sampled_from([None, 0.25, -1.5, 3.75]),  # sums of these are exact in any order
    }
)
_drawn = st.builds(
    Drawn,
    gap_ms=st.sampled_from([0, 0, 1, 250, 999, 1_000, 4_000, 15_000]),
    late_by_ms=st.sampled_from([*_EDGES, 200, 1_700]) | st.integers(0, LATENESS_MS),
    edge_ms=st.sampled_from([None, None, -1, 0, 1]),
    kind=st.sampled_from(["new"] * 7 + ["copy", "copy", "other customer's id", "broken"]),
    customer=st.sampled_from(["anna", "ben", "cleo"]),
    fields=_fields,
    back=st.integers(1, 12),
)


def streams(at_most: int = 40, *, retries: bool = True) -> st.SearchStrategy[list[Record]]:
    """Records (data, arrival) in arrival order.

    Args:
        at_most: records.
        retries: whether an event id may come again with another event time and amount: which of the two counts is
            then a matter of order.
    """
    kinds = st.lists(_drawn, min_size=1, max_size=at_most)
    retried = st.sets(st.integers(0, at_most - 1), max_size=3) if retries else st.just(set())
    return st.builds(_records, kinds, retried)


def _records(drawn: list[Drawn], retried: set[int]) -> list[Record]:
    arrival, records = T0, []
    for number, one in enumerate(drawn):
        arrival += one.gap_ms
        records.append((_record(one, number, arrival, records, retry=number in retried), arrival))
    return records


def _record(one: Drawn, number: int, arrival: int, before: list[Record], *, retry: bool) -> bytes:
    if one.kind == "broken":
        return BROKEN[one.back % len(BROKEN)]
    if one.kind == "copy" and before:
        return before[-min(one.back, len(before))][0]
    at = arrival - one.late_by_ms
    if one.edge_ms is not None:
        at = at // 500 * 500 + one.edge_ms
    if one.kind == "other customer's id":
        return payment(f"{one.customer}'s", at, max(0, number - one.back), **one.fields)
    return payment(one.customer, at, max(0, number - one.back) if retry else number, **one.fields)


@dataclass(frozen=True)
class Step:
    """One step of a journey.

    Attributes:
        records: how many are read as one batch.
        shown: whether a tick follows.
        behind_ms: how far the watermark stays behind what the arrivals read so far allow; None: it does not move.
            Negative: it runs ahead, as when one reader has several shards.
        then: 'go on', 'restart' (from the state as it is), 'checkpoint', 'crash' (back to the last checkpoint).
        silence_ms: how long nothing is read afterwards.
    """

    records: int
    shown: bool
    behind_ms: int | None
    then: str
    silence_ms: int


def journeys(*, ahead_ms: int = 0, restarts: bool = True) -> st.SearchStrategy[list[Step]]:
    """Steps that are gone through again and again until everything is read."""
    then = ["go on"] * 3 + (["restart", "checkpoint", "crash"] if restarts else [])
    behind = st.sampled_from([None, 0, 1, 500, 3_000]) | st.integers(-ahead_ms, 4_000)
    step = st.builds(
        Step,
        records=st.integers(1, 12),
        shown=st.booleans(),
        behind_ms=behind,
        then=st.sampled_from(then),
        silence_ms=st.sampled_from([0, 0, 0, 700, 5_000, 40_000]),
    )
    return st.lists(step, min_size=1, max_size=8)


def ends() -> st.SearchStrategy[str]:
    """How a journey ends: the stream is drained, time passes it by, or it falls silent."""
    return st.sampled_from(["drained", "passed", "silent"])
