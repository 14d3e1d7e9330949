"""The laws, judged by what a run has stored and nothing else: files, items, and the records that were sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from flink_app.features_table import differences
from tests import oracle
from tests.e2e_stage import Key, Raw, Row, World, expected

LAWS = {
    "archive": "every record that was sent is in the raw archive, byte for byte, once",
    "1 conserved": "records in = the sum of the named exits",
    "2 exits": "every exit is the oracle's; the quarantine has the rejected records themselves, once, with the reason",
    "3 final": "the final rows (largest revision) are the oracle's",
    "4 table": "DynamoDB equals the final rows",
    "5 once": "no final row twice: one file row per customer, window and revision, as many as the books say",
    "6 rollup": "5-minute rows are the sums of 1-minute rows, 15-minute rows those of 5-minute rows",
}

Expectation = Callable[[dict[Key, Row], list[Raw]], Iterable[str]]

_ROLLUPS = {"customer_spend_5m": ("customer_spend_1m", 300), "customer_spend_15m": ("customer_spend_5m", 900)}


@dataclass(frozen=True)
class Verdict:
    """What is wrong, by law; an empty list is a law that holds.

    Attributes:
        broken: law -> problems, the first few.
        exits: law 1's account.
        final_rows: how many rows are right.
        revised: rows that were issued again with a larger revision.
    """

    broken: Mapping[str, list[str]]
    exits: Mapping[str, int]
    final_rows: int
    revised: int

    @property
    def holds(self) -> bool:
        """All of them."""
        return not any(self.broken.values())


def judge(world: World, *, may_close: bool = False, expectation: Expectation = lambda _found, _records: ()) -> Verdict:
    """Every law over everything that the world has stored; the job has ended, drained.

    Args:
        world: whose files and items.
        may_close: records may leave as `window_closed` (readers on several shards of unequal speed); the oracle then
            judges what the others must give.
        expectation: (final rows, records) -> problems with columns that the oracle does not know, which it takes out.
    """
    records, quarantine, account = world.records(), world.quarantine(), world.account()
    closed = {record for record, reason, _ in quarantine if reason == "window_closed"} if may_close else set()
    wanted, exits = expected(record for record in records if record not in closed)
    exits["window_closed"] += len(closed)
    history, found = world.history_rows(), world.final_rows()
    stored = {
        "4 table": list(islice(differences(world.items(), found), 5)),
        "6 rollup": list(islice(_rollups(found), 5)),
    }
    problems = list(islice(expectation(found, records), 5))
    broken = {
        "archive": _archive(world, records),
        "1 conserved": [] if account.is_balanced else account.lines(),
        "2 exits": [*_exits(account.exits, exits), *_quarantine(quarantine, records)],
        "3 final": [*problems, *islice(differences(found, wanted), 5)],
        "5 once": _once(history, account.final_rows),
    }
    return Verdict({law: (broken | stored)[law] for law in LAWS}, account.exits, len(found), len(history) - len(found))


def _archive(world: World, records: list[Raw]) -> list[str]:
    stored = Counter(record.data for record in records)
    lost, extra = (world.sent - stored).total(), (stored - world.sent).total()
    places = len({(record.shard, record.number) for record in records})
    problems = [f"{lost} records are missing"] if lost else []
    problems += [f"{extra} records too many"] if extra else []
    return problems + ([f"{len(records) - places} records stored twice"] if places < len(records) else [])


def _exits(found: Mapping[str, int], wanted: Mapping[str, int]) -> list[str]:
    return [
        f"{name}: {found.get(name, 0)}, the oracle says {wanted.get(name, 0)}"
        for name in sorted({*found, *wanted})
        if found.get(name, 0) != wanted.get(name, 0)
    ]


def _quarantine(quarantine: list[tuple[Raw, str, str]], records: list[Raw]) -> list[str]:
    problems = []
    for record, reason, detail in quarantine:
        _, exits = oracle.accepted_events([(record.data, record.arrival)])
        if not detail or (reason != "window_closed" and exits != {reason: 1}):
            problems.append(f"{record}: {reason}, {detail!r}; the oracle says {dict(exits)}")
    stored = Counter(record for record, _, _ in quarantine)
    if unknown := stored.keys() - set(records):
        problems.append(f"{len(unknown)} quarantined records are not in the archive as they are")
    if twice := [record for record, times in stored.items() if times > 1]:
        problems.append(f"{len(twice)} records quarantined twice")
    return problems[:5]


def _once(history: Mapping[tuple[str, str, int], int], booked: int) -> list[str]:
    twice = [row for row, times in history.items() if times > 1]
    problems = [f"{len(twice)} final rows stored twice, e.g. {twice[0]}"] if twice else []
    stored = sum(history.values())
    return problems + ([f"{stored} final rows stored, {booked} in the books"] if stored != booked else [])


def _rollups(rows: Mapping[Key, Row]) -> Iterable[str]:
    for whole, (part, seconds) in _ROLLUPS.items():
        sums: dict[tuple[str, int], list[Decimal | int]] = {}
        for (customer, key), row in rows.items():
            name, _, end = key.partition("#")
            if name == part:
                upper = -(-oracle.epoch_ms(end) // 1000 // seconds) * seconds
                both = sums.setdefault((customer, upper), [0, 0])
                both[0] += row["tx_count"]
                both[1] += row["amount_sum"]
        found = {
            (customer, oracle.epoch_ms(key.partition("#")[2]) // 1000): [row["tx_count"], row["amount_sum"]]
            for (customer, key), row in rows.items()
            if key.partition("#")[0] == whole
        }
        for place in found.keys() | sums.keys():
            if found.get(place) != sums.get(place):
                yield f"{whole} of {place}: {found.get(place)}, its parts {sums.get(place)}"
