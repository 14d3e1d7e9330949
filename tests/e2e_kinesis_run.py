"""The one Kinesis run that several end-to-end tests look at: payments while the job runs, silence, a drained stop."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from flink_app.account import Account
from flink_app.generate import ACCEPTED, SLIP_TOLERANCE_MS, Chunk, Shares, Truth, payments
from tests import oracle
from tests.e2e_stage import Key, Raw, Row, Stage, World, expected, keyed, wait_for

SEED, EVENTS, CUSTOMERS, RATE = 11, 5_000, 60, 400.0
TROUBLE = Shares(duplicates=0.05, late=0.08, too_late=0.02, malformed=0.03, future=0.01)
SILENCE_SECONDS = 15  # after so much of it the last rows become final


@dataclass(frozen=True)
class Run:
    """What the run left behind, read once.

    Attributes:
        started_ms: when the first payment was sent, epoch milliseconds.
        truth: exits that the generator meant.
        records, rows: the raw archive and the final rows.
        wanted, exits: the oracle's rows and exits of those records.
        live_before_the_end, final_before_the_end: rows that were stored before the job was stopped.
        shown_by_flink: what the REST interface tells of the job.
    """

    world: World
    started_ms: int
    truth: Truth
    account: Account
    records: list[Raw]
    rows: dict[Key, Row]
    wanted: dict[Key, Row]
    exits: Counter[str]
    live_before_the_end: dict[Key, Row]
    final_before_the_end: dict[Key, Row]
    shown_by_flink: str


def kinesis_run(stage: Stage) -> Run:
    """Run it."""
    print(f"seed {SEED}")
    world = stage.world("end-to-end", State={"idle.final.seconds": str(SILENCE_SECONDS)})
    job = world.submit(stage.application("end-to-end"))
    start_ms = int(time.time() * 1000) + 500
    chunks = list(payments(seed=SEED, events=EVENTS, customers=CUSTOMERS, rate=RATE, start_ms=start_ms, shares=TROUBLE))
    delivery = world.send(chunks, start_ms)
    assert delivery.slip_ms < SLIP_TOLERANCE_MS, "this machine is too slow for the rate"
    world.wait_read(job, EVENTS)

    live = _wait_for_the_last_live_rows(world, _expected_of_the_plan(chunks, start_ms))
    wait_for("final rows while the stream is silent", lambda: live.keys() <= world.final_rows().keys(), 90)
    final = world.final_rows()
    shown = json.dumps([stage.cluster.rest(f"/jobs/{job}/{page}") for page in ("config", "plan", "exceptions")])

    world.stop(job, drain=True)
    records = world.records()
    wanted, exits = expected(records)
    account, rows = world.account(), world.final_rows()
    return Run(world, start_ms, delivery.truth, account, records, rows, wanted, exits, live, final, shown)


def _expected_of_the_plan(chunks: Iterable[Chunk], start_ms: int) -> dict[Key, Row]:
    """The card_velocity rows that must come, from what was generated: the archive is not yet complete."""
    records = [
        (record, start_ms + int(offset))
        for chunk in chunks
        for record, offset, exit_ in zip(chunk.records, chunk.send_offsets_ms, chunk.exits, strict=True)
        if exit_ == ACCEPTED
    ]
    events, _ = oracle.accepted_events(records)
    return {key: row for key, row in keyed(oracle.final_rows(events)).items() if key[1].startswith("card_velocity#")}


def _wait_for_the_last_live_rows(world: World, wanted: dict[Key, Row]) -> dict[Key, Row]:
    """The features table once every card_velocity row is in it: the last windows end 30 s after the last payment."""
    found: dict[Key, Row] = {}

    def all_there() -> bool:
        found.clear()
        found.update({key: row for key, row in world.items().items() if key in wanted})
        return found == wanted

    wait_for(f"{len(wanted)} live rows", all_there, 90)
    return found
