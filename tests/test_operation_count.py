"""A guard against slowness without a clock: what Python does per payment, counted in bytecodes and calls into C.

Both are the same on every machine with the same packages. A loop over payments in Python shows in the bytecodes, many
small batches instead of a large one show in the calls. What C does with a batch shows in neither: see `make bench`.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from flink_app.generate import START_MS, payments
from operators.arrival_clock import ArrivalClock
from operators.bucket_state import BucketState
from operators.buckets import bucket_keys
from operators.feature_bucket import END_OF_STREAM, FeatureBucket
from operators.gate import Gate
from operators.operator_stats import OperatorStats
from tests.bucket_harness import CONTRACT, KEY, MapState, ValueState, settings

pytestmark = pytest.mark.slow

OPERATORS = str(Path(__file__).resolve().parents[1] / "operators")
EVENTS, BATCH, BUCKETS = 20_000, 5_000, 4
LOSS = 1.2
PER_EVENT = {  # measured by this test; lower them when the product gets better, and say in the commit what it did
    "gate": {"bytecodes": 88.3, "calls": 6.8},
    "windows": {"bytecodes": 114.4, "calls": 3.1},
}


@contextmanager
def counted(into: Counter[str]):
    """Count what Python does inside: bytecodes of the operators' own code, and its calls of functions in C."""

    def every_bytecode(frame, event, _argument):
        if event == "opcode":
            into["bytecodes"] += 1
        return every_bytecode

    def ours_only(frame, _event, _argument):
        if not frame.f_code.co_filename.startswith(OPERATORS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return every_bytecode

    def calls(frame, event, _argument):
        if event == "c_call" and frame.f_code.co_filename.startswith(OPERATORS):
            into["calls"] += 1

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(ours_only)
    sys.setprofile(calls)
    try:
        yield
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])


@pytest.fixture(scope="module")
def found():
    """Part -> what it did per event, for some seconds of a stream: gate, buckets, ticks, final rows."""
    done = {"gate": Counter(), "windows": Counter()}
    gate = Gate(CONTRACT, KEY, bucket_keys(BUCKETS))
    buckets = {}
    chunks = list(payments(seed=7, events=EVENTS, customers=2_000, rate=4_000))
    records = [record for chunk in chunks for record in chunk.records]
    arrivals = START_MS + np.concatenate([chunk.send_offsets_ms for chunk in chunks])
    for start in range(0, EVENTS, BATCH):
        batch, arrival = records[start : start + BATCH], arrivals[start : start + BATCH]
        numbers = [str(10**20 + start + at) for at in range(BATCH)]
        now_ms = int(arrival[-1])
        with counted(done["gate"]):
            admission = gate.admit(batch, arrival, ["shardId-000000000000"] * BATCH, numbers)
        for key, blob in admission.batches:
            if key not in buckets:
                state = BucketState(MapState(), MapState(), ValueState())
                buckets[key] = FeatureBucket(key, settings(), state, ArrivalClock(), OperatorStats(), now_ms)
            with counted(done["windows"]):
                buckets[key].receive(blob, now_ms)
                buckets[key].tick(now_ms)
    for bucket in buckets.values():
        with counted(done["windows"]):
            bucket.advance(END_OF_STREAM, now_ms)
    return {part: {what: count / EVENTS for what, count in counts.items()} for part, counts in done.items()}


@pytest.mark.parametrize("what", ["bytecodes", "calls"])
@pytest.mark.parametrize("part", ["gate", "windows"])
def test_python_does_no_more_per_payment_than_it_did(found, part, what):
    print(f"{part}: {found[part][what]:.2f} {what} per payment")
    assert found[part][what] <= PER_EVENT[part][what] * LOSS


def test_the_count_sees_a_loop_over_payments():
    here = Counter()
    gate = Gate(CONTRACT, KEY, bucket_keys(BUCKETS))
    (chunk,) = list(payments(seed=7, events=100, customers=10, rate=100))
    arguments = (START_MS + chunk.send_offsets_ms, ["shard"] * 100, ["1"] * 100)
    with counted(here):
        gate.admit(chunk.records, *arguments)
    whole = here.copy()
    for at in range(100):
        with counted(here):
            gate.admit(chunk.records[at : at + 1], *(column[at : at + 1] for column in arguments))
    assert (here - whole)["bytecodes"] > 10 * whole["bytecodes"]
    assert (here - whole)["calls"] > 10 * whole["calls"]
