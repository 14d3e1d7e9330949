"""Faults of the stream: resharding, clock jumps, poison, a backlog, a hot customer, and restores at other p."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from flink_app.generate import Chunk, payments
from tests import oracle
from tests.e2e_stage import Key, Raw, Row, Stage
from tests.faults import answers, past
from tests.faults.proxy import Rule
from tests.faults.scene import CUSTOMERS, PATIENCE, RATE, SPEED, TROUBLE, Act, Scene, squeezed
from tests.faults.story import Fault
from tests.kinesis_local import is_closed, merge_two_shards, missing, on_kinesis_local, settle, split_a_shard

POISON = 10_000
HOT = "c000000"
HOUR_MS = 3_600_000
SHARD = re.compile(r"shardId-\d+")


class PoisonInBulk(Fault):
    """Ten thousand malformed records in one go: broken JSON, random bytes, wrong types, deep nesting, 100 KB."""

    name = "poison in bulk"
    run = "stream"

    def inject(self, scene: Scene) -> None:
        mix = random.Random(scene.seed)
        poison = [self._poison(mix, number) for number in range(POISON)]
        for start in range(0, POISON, 200):
            scene.world.resend(poison[start : start + 200])

    def proof(self, scene: Scene, act: Act) -> str:
        refused = scene.world.account().malformed
        return f"{refused:,} records refused as malformed" if refused >= POISON else ""

    @staticmethod
    def _poison(mix: random.Random, number: int) -> bytes:
        good = f'{{"event_id":"x{number}","customer_id":"c000001","merchant_id":"m1","amount":1.00,"event_time":'
        return (
            mix.randbytes(mix.randrange(1, 400)),
            good.encode(),
            f'{good}"now"}}'.encode(),
            f'{good}"2026-01-01T00:00:00"}}'.encode(),
            f"{good}{mix.randrange(10**12)}}}".encode(),
            b"[" * 5_000,
            b'{"a":' * 500 + b"1" + b"}" * 500,
            b"\x00",
            b"\xff\xfe" + good.encode("utf-16-le"),
            b'"' + b"x" * (100_000 if number % 500 == 9 else 100) + b'"',
        )[number % 10]


class HotCustomer(Fault):
    """Half of all payments are one customer's: one shard, one bucket, one key of the table."""

    name = "hot customer"
    run = "stream"

    def payments(self, scene: Scene) -> Iterable[Chunk]:
        return map(self._heated, squeezed(scene.seed, scene.base_ms))

    def proof(self, scene: Scene, act: Act) -> str:
        events, _ = oracle.accepted_events([(record.data, record.arrival) for record in scene.world.records()])
        share = sum(event["customer_id"] == HOT for event in events) / len(events)
        return f"{share:.0%} of the accepted payments are of {HOT}" if share > 0.45 else ""

    @staticmethod
    def _heated(chunk: Chunk) -> Chunk:
        """A copy and its original are the same bytes, so they stay the same."""
        records, customers = list(chunk.records), list(chunk.customers)
        for at, (record, customer) in enumerate(zip(chunk.records, chunk.customers, strict=True)):
            if hashlib.md5(record).digest()[0] < 128:
                records[at], customers[at] = record.replace(customer.encode(), HOT.encode(), 1), HOT
        return replace(chunk, records=records, customers=customers)


class ArrivalJumps(Fault):
    """The stream's clock jumps: for two seconds arrival times are four minutes ahead, then as before."""

    name = "arrival clock jumps"
    jump_ms, for_ms = 240_000, 2_000

    def inject(self, scene: Scene) -> None:
        first = time.time() + 1
        last = first + self.for_ms / 1000

        def arrival(at: float, _key: str) -> float:
            real = scene.real_ms / 1000 + (at - scene.base_ms / 1000) / SPEED
            return at + self.jump_ms / 1000 if first <= real < last else at

        scene.act.rules = [scene.proxy.add(Rule("kinesis:GetRecords", answers.arrivals(arrival)))]
        time.sleep(last - time.time() + 1)

    def proof(self, scene: Scene, act: Act) -> str:
        records = sorted(scene.world.records(), key=lambda record: (record.shard, record.number))
        pairs = [(a.arrival, b.arrival) for a, b in itertools.pairwise(records) if a.shard == b.shard]
        ahead = sum(b - a > self.jump_ms / 2 for a, b in pairs)
        behind = sum(a - b > self.jump_ms / 2 for a, b in pairs)
        told = f"in {ahead} shards arrival jumps {self.jump_ms // 1000} s ahead, in {behind} back"
        return told if ahead and behind else ""


class ArrivalJumpsFar(ArrivalJumps):
    """The same by half an hour, far beyond the grace: what comes behind must leave as window_closed, by name."""

    name = "arrival clock jumps far"
    jump_ms = 1_800_000
    may_close = True


class Backlog(Fault):
    """An hour of payments waits in four shards, one of which is read in small steps; a reader a shard."""

    name = "backlog of an hour"
    parallelism = 4
    events, slow_shard = 12_000, "shardId-000000000002"

    def play(self, scene: Scene, faults: Sequence[Fault]) -> list[Act]:
        scene.base_ms = int(time.time() * 1000) - HOUR_MS
        rate = self.events * 1000 / HOUR_MS
        chunks = payments(
            seed=scene.seed, events=self.events, customers=CUSTOMERS, rate=rate, start_ms=scene.base_ms, shares=TROUBLE
        )
        for chunk in chunks:
            past.put(scene.stage.aws.client("kinesis"), scene.world.name, chunk, scene.base_ms)
            scene.world.sent.update(chunk.records)
        scene.proxy.add(Rule("kinesis:GetRecords", past.TOLD_THEN))
        slow = answers.SmallSteps(lambda shard: 100 if shard == self.slow_shard else None)
        scene.act.rules = [scene.proxy.add(Rule("kinesis:*", slow, where=lambda r: "Get" in r.operation))]
        scene.submit()
        act = scene.begin_act()
        scene.wait_stored()
        scene.end_act()
        by_reader = scene.cluster.wait("the readers' shards", lambda: self._shards_by_reader(scene), 30)
        readers = "+".join(str(shards) for shards in by_reader)
        act.told = (
            f"{self.events:,} records of an hour; readers with {readers} shards, one in {slow.steps} steps of 100"
        )
        return [act]

    @staticmethod
    def _shards_by_reader(scene: Scene) -> list[int] | None:
        """Shards of each subtask of the source, as its metrics name them; None: Flink answers without, so ask again."""
        (vertex,) = (key for key, name in scene.cluster.vertices(scene.job).items() if "Source: kinesis" in name)
        found = scene.cluster.rest(f"/jobs/{scene.job}/vertices/{vertex}/metrics")
        shards = {(entry["id"].partition(".")[0], match[0]) for entry in found if (match := SHARD.search(entry["id"]))}
        counts = Counter(subtask for subtask, _ in shards)
        return [counts[str(subtask)] for subtask in range(scene.parallelism)] if counts else None


class BacklogSharedReaders(Backlog):
    """The same with two readers for four shards: the slow shard's payments come long after the others'."""

    name = "backlog, shared readers"
    parallelism = 2


class Resharding(Fault):
    """Under load a shard is split, two are merged, and the stream is scaled to eight (on kinesis-local)."""

    name = "resharding"

    def missing(self) -> str:
        return missing()

    def opened(self, stage: Stage) -> contextlib.AbstractContextManager[Stage]:
        return on_kinesis_local(stage)

    def payments(self, scene: Scene) -> Iterable[Chunk]:
        return squeezed(scene.seed, scene.base_ms, rate=RATE / 4)  # it is slow, and what waits there comes too late

    def inject(self, scene: Scene) -> None:
        kinesis, stream = scene.stage.aws.client("kinesis"), scene.world.name
        split_a_shard(kinesis, stream)
        merge_two_shards(kinesis, stream)
        time.sleep(2)
        kinesis.update_shard_count(StreamName=stream, TargetShardCount=8, ScalingType="UNIFORM_SCALING")
        settle(kinesis, stream)

    def proof(self, scene: Scene, act: Act) -> str:
        shards = scene.stage.aws.client("kinesis").list_shards(StreamName=scene.world.name)["Shards"]
        closed = sum(map(is_closed, shards))
        read = len({record.shard for record in scene.world.records()})
        told = f"{len(shards)} shards in the end, {closed} of them closed; records came from {read}"
        return told if len(shards) - closed == 8 and read > 8 else ""


class Rescaling(Fault):
    """Stopped with a savepoint and restored at p=1, 2, 4, 1; after the first stop a window has a column more."""

    name = "savepoints, p=1→2→4→1"
    parallelism = 1
    edited = "card_velocity"
    part = 1_500

    def play(self, scene: Scene, faults: Sequence[Fault]) -> list[Act]:
        scene.application = scene.stage.application(scene.world.name)
        scene.submit()
        scene.start_clock()
        took = []
        for number, parallelism in enumerate((2, 4, 1, None)):
            start_ms = scene.base_ms + int((time.time() * 1000 - scene.real_ms) * SPEED)
            scene.start_sending(self._part(scene, number, start_ms), int(time.time() * 1000))
            scene.join_sender()
            scene.world.wait_read(scene.job, self.part, PATIENCE)
            if parallelism is not None:
                stopped = time.time()
                savepoint = scene.world.stop(scene.job, drain=False)
                if number == 0:
                    self._edit(scene)
                scene.parallelism = parallelism
                scene.submit(savepoint)
                took.append(f"{time.time() - stopped:.0f} s")
        scene.wait_stored()
        scene.act.told = f"three savepoints; from stop to running again {', '.join(took)}"
        return [scene.act]

    def proof(self, scene: Scene, act: Act) -> str:
        with_column = sum("amount_min" in row for row in scene.world.items().values())
        return f"{act.told}; {with_column} rows have the new column before the stream ends" if with_column else ""

    def expectation(self, found: dict[Key, Row], records: list[Raw]) -> Iterable[str]:
        events, _ = oracle.accepted_events([(record.data, record.arrival) for record in records])
        lowest: dict[tuple[str, int], Any] = {}
        for event in events:
            end = event["time"] // 5_000 * 5_000 + 5_000
            for moment in range(end, end + 30_000, 5_000):
                key = (event["customer_id"], moment)
                lowest[key] = min(event["amount"], lowest.get(key, event["amount"]))
        for (customer, name), row in found.items():
            if "amount_min" in row:
                minimum, end = row.pop("amount_min"), oracle.epoch_ms(name.partition("#")[2])
                if minimum != lowest.get((customer, end)):
                    yield f"{customer} {name}: amount_min is {minimum}, the oracle says {lowest.get((customer, end))}"

    def _part(self, scene: Scene, number: int, start_ms: int) -> Iterator[Chunk]:
        yield from squeezed(scene.seed * 10 + number, start_ms, events=self.part)

    def _edit(self, scene: Scene) -> None:
        file = scene.application.windows / f"{self.edited}.sql"
        file.write_text(file.read_text().replace("COUNT(*) ", "MIN(amount) AS amount_min,\n  COUNT(*) ", 1))


STREAM_FAULTS: list[Fault] = [
    HotCustomer(),  # first: its payments are those of the run
    PoisonInBulk(),
    ArrivalJumps(),
    ArrivalJumpsFar(),
    Backlog(),
    BacklogSharedReaders(),
    Resharding(),
    Rescaling(),
]
