"""The payments of the soak."""

from __future__ import annotations

from collections.abc import Iterator

from flink_app.generate import Chunk, payments
from tests.faults.scene import TROUBLE, in_slices

SEED, CUSTOMERS_AN_HOUR, HOUR_MS = 24, 40, 3_600_000


def a_day(start_ms: int, hours: int, speed: int, rate: float) -> Iterator[Chunk]:
    """Payments to be sent `speed` times as fast as they happen; each hour has customers of its own.

    Args:
        start_ms: event time of the first, epoch milliseconds.
        hours: of event time.
        speed: of sending.
        rate: payments a second, as they are sent.
    """
    dense, an_hour = rate / speed, round(rate / speed * 3600)
    for hour in range(hours):
        begin = start_ms + hour * HOUR_MS
        found = payments(
            seed=SEED + hour, events=an_hour, customers=CUSTOMERS_AN_HOUR, rate=dense, start_ms=begin, shares=TROUBLE
        )
        yield from in_slices((_of_hour(chunk, hour) for chunk in found), speed)


def _of_hour(chunk: Chunk, hour: int) -> Chunk:
    records = [record.replace(b"c0000", b"c%02d00" % hour) for record in chunk.records]
    customers = [name.replace("c0000", f"c{hour:02}00") for name in chunk.customers]
    return Chunk(records, customers, chunk.send_offsets_ms + hour * HOUR_MS, chunk.exits)
