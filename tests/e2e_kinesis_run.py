"""The Kinesis run that the end-to-end tests look at: payments while the job runs, silence, a drained stop.

It is run on the embedded AWS, with its stream on kinesis-local (resharded meanwhile), and on LocalStack.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from flink_app.account import Account
from flink_app.generate import ACCEPTED, SLIP_TOLERANCE_MS, Chunk, Shares, Truth, payments
from tests import kinesis_local, oracle
from tests.e2e_stage import Key, Raw, Row, Stage, World, expected, keyed, wait_for

SEED = 11
TROUBLE = Shares(duplicates=0.05, late=0.08, too_late=0.02, malformed=0.03, future=0.01)
SILENT = {"idle.final.seconds": "15"}  # after so much silence the last rows become final
PATIENCE = 180  # seconds that anything may take on a busy machine; no verdict hangs on it


@dataclass(frozen=True)
class Load:
    """What is sent: `rate` in records a second."""

    events: int
    rate: float
    customers: int = 60


EMBEDDED = Load(5_000, 400)
KINESIS_LOCAL = Load(2_000, 100)
LOCALSTACK = Load(1_000, 40, customers=30)  # a call takes up to 16 times as long there


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
    """On the stage's AWS."""
    world = stage.world("end-to-end", State=SILENT)
    return _run(world, EMBEDDED)


def resharded_run(stage: Stage) -> Run:
    """On kinesis-local, two subtasks; a shard is split and two are merged while payments arrive."""
    world = stage.world("resharded", State=SILENT, Aws={"endpoint": stage.proxy.endpoint})
    kinesis, third = stage.aws.client("kinesis"), KINESIS_LOCAL.events / KINESIS_LOCAL.rate / 3

    def reshard() -> None:
        time.sleep(third)
        kinesis_local.split_a_shard(kinesis, world.name)
        time.sleep(third / 2)
        kinesis_local.merge_two_shards(kinesis, world.name)

    return _run(world, KINESIS_LOCAL, parallelism=2, meanwhile=reshard)


def localstack_run(stage: Stage) -> Run:
    """On a stage whose AWS is LocalStack; under a new name, as it may have seen tests before."""
    world = stage.world(f"end-to-end-{time.time_ns()}", State=SILENT)
    return _run(world, LOCALSTACK)


def _run(world: World, load: Load, *, parallelism: int = 1, meanwhile: Callable[[], None] = lambda: None) -> Run:
    print(f"seed {SEED}")
    stage = world.stage
    job = world.submit(stage.application(world.name), parallelism=parallelism)
    start_ms = int(time.time() * 1000) + 500
    plan = {"events": load.events, "customers": load.customers, "rate": load.rate, "start_ms": start_ms}
    chunks = list(payments(seed=SEED, shares=TROUBLE, **plan))
    with ThreadPoolExecutor(1) as other:
        done = other.submit(meanwhile)
        delivery = world.send(chunks, start_ms)
        done.result()
    assert delivery.slip_ms < SLIP_TOLERANCE_MS, "this machine is too slow for the rate"
    world.wait_read(job, load.events, PATIENCE)

    live = _wait_for_the_last_live_rows(world, _expected_of_the_plan(chunks, start_ms))
    wait_for("final rows while the stream is silent", lambda: live.keys() <= world.final_rows().keys(), PATIENCE)
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

    wait_for(f"{len(wanted)} live rows", all_there, PATIENCE)
    return found
