"""The freshness probe asks for as many rows of each window end, wherever the chunks of the stream begin and end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from flink_app.freshness import FreshnessProbe
from flink_app.generate import Chunk, payments

START_MS = 1_767_225_600_000
RATE = 500.0  # records a second: a chunk of 10,000 is 20 s


def cut(chunk, size):
    for start in range(0, len(chunk.records), size):
        part = slice(start, start + size)
        columns = ("records", "customers", "send_offsets_ms", "exits")
        yield replace(chunk, **{name: getattr(chunk, name)[part] for name in columns})


@pytest.mark.parametrize("chunk_ms", [200, 1_000, 2_500, 20_000])
def test_every_window_end_has_its_sample(chunk_ms):
    probe = FreshnessProbe(dynamodb=None, table="features", warm_up_ms=0)
    whole: Chunk
    (whole,) = payments(seed=7, events=10_000, customers=200, rate=RATE, start_ms=START_MS)
    for chunk in cut(whole, int(chunk_ms * RATE / 1000)):
        probe.expect(chunk, START_MS)
    ended = [row for row in probe._due if row.latencies is probe.fresh]
    assert Counter(row.since_ms - START_MS for row in ended) == dict.fromkeys((5_000, 10_000, 15_000, 20_000), 20)
    assert len({(row.customer, row.window) for row in ended}) == 80
