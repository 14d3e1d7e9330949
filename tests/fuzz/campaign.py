"""Hostile records through the real gate and the real bucket in batches; every one accounted for, or it is a problem.

records ──► gate ──► rejects   by sequence number: exactly once, the bytes intact, a reason, a detail without pii
              └────► accepted  likewise, and their columns are what `tests.judge` reads, masked as hmac says
                        └────► bucket ──► counted once per identity; all rows of a minute add up to what was counted
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import packing
from operators.gate import FUTURE_BOUND_MS, Admission
from tests.bucket_harness import KEY, T0, Bucket, settings
from tests.delivered import CUSTOMER_SPEND
from tests.fuzz.records import CONTRACT, SECRET, Hostile, Records
from tests.judge import judge

BATCH = 1_000
STEP_MS = 5  # between arrivals
_SCHEMA = packing.event_schema(CONTRACT)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SummedBucket(Bucket):
    """Adds rows up instead of keeping them: a million records have many."""

    def _take(self, exits: list[tuple[str, bytes]]) -> None:
        super()._take([each for each in exits if each[0] == "account"])
        for name, stream in exits:
            if name.startswith("final:"):
                rows = pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
                minutes = rows.filter(pc.equal(rows["feature_set"], "customer_spend_1m"))
                added = {of: pc.sum(minutes[of]).as_py() or 0 for of in ("tx_count", "amount_sum")}
                self.out["minutes"].append(added)


@dataclass
class Campaign:
    """One run. `exits` counts by (what was done to the record, exit); `problems` says what went wrong, in words."""

    seed: int
    exits: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _sent: int = 0
    _identities: set[tuple[str, str]] = field(default_factory=set)
    _amounts: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        self._records = Records(self.seed)
        longer_than_the_run = 10**9  # so that a repeated id is a duplicate whenever it comes
        self._bucket = SummedBucket(
            settings(contract=CONTRACT, specs=(CUSTOMER_SPEND,), dedup_ttl_ms=longer_than_the_run)
        )

    @property
    def sent(self) -> int:
        """Records so far."""
        return self._sent

    def batch(self, size: int = BATCH) -> None:
        """So many records more."""
        arrivals = T0 + STEP_MS * np.arange(self._sent, self._sent + size, dtype=np.int64)
        records = [self._records.next(arrival) for arrival in arrivals.tolist()]
        try:
            self._pass(records, arrivals)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self._say(f"{type(error).__name__}: {error}")
        self._sent += size

    def restart(self) -> None:
        """The bucket's memory is dropped and rebuilt from its state."""
        self._bucket = self._bucket.restored(self._now)

    def finish(self) -> None:
        """The stream ends: what was counted is in the rows."""
        self._bucket.end()
        account, accepted = self._bucket.account(), sum(n for (_, to), n in self.exits.items() if to == "accepted")
        wanted = {"counted": len(self._identities), "duplicate": accepted - len(self._identities), "window_closed": 0}
        if account != wanted:
            self._say(f"the account says {account}, the judge {wanted}")
        minutes = tuple(sum(row[name] for row in self._bucket.out["minutes"]) for name in ("tx_count", "amount_sum"))
        if minutes != (len(self._identities), self._amounts):
            self._say(f"the minutes add up to {minutes}, the judge to {(len(self._identities), self._amounts)}")

    @property
    def _now(self) -> int:
        return T0 + STEP_MS * self._sent

    def _pass(self, records: list[Hostile], arrivals: Any) -> None:
        sequence = [str(self._sent + i) for i in range(len(records))]
        admission = self._bucket.gate.admit([r.data for r in records], arrivals, ["s"] * len(records), sequence)
        exits = self._exits_of(admission, records, arrivals.tolist())
        for i, record in enumerate(records):
            self.exits[record.kind, exits.get(i, "nowhere")] += 1
            if i not in exits:
                self._say("left by no exit", record)
        for _, blob in admission.batches:
            self._bucket.take(blob, self._now)
        self._bucket.tick(self._now)
        self._bucket.watermark(int(arrivals[-1]) - CONTRACT.lateness_ms - 1, self._now)

    def _exits_of(self, admission: Admission, records: list[Hostile], arrivals: list[int]) -> dict[int, str]:
        """The exit of each record by its place in the batch; each is checked on the way."""
        exits: dict[int, str] = {}
        for _, blob in admission.batches:
            events, raws = packing.unpack_events(blob, _SCHEMA), packing.unpack_raw(blob)
            events.validate(full=True)
            for event, raw in zip(events.to_pylist(), raws.to_pylist(), strict=True):
                at = self._leaves(raw, "accepted", exits, records, arrivals)
                self._check_accepted(event, records[at], arrivals[at])
        for row in admission.rejects.to_pylist() if admission.rejects is not None else []:
            at = self._leaves(row, row["reason"], exits, records, arrivals)
            self._check_rejected(row, records[at], arrivals[at])
        if Counter(exits.values()) != Counter(admission.counts):
            self._say(f"counts {admission.counts} are not what left")
        return exits

    def _leaves(self, row: Any, exit_name: str, exits: dict[int, str], records: list[Hostile], arrivals: Any) -> int:
        at = int(row["sequence_number"]) - self._sent
        if at in exits:
            self._say("left twice", records[at])
        exits[at] = exit_name
        if row["data"] != records[at].data or _epoch_ms(row["arrival_time"]) != arrivals[at]:
            self._say("other bytes or another arrival than came in", records[at])
        return at

    def _check_accepted(self, event: dict[str, Any], record: Hostile, arrival: int) -> None:
        wanted = judge(record.data, CONTRACT)
        if wanted is None or not -FUTURE_BOUND_MS <= arrival - wanted["event_time"] <= CONTRACT.lateness_ms:
            self._say("accepted, but the judge would not", record)
            return
        identity = (wanted["customer_id"], wanted["event_id"])
        if identity not in self._identities:
            self._identities.add(identity)
            self._amounts += wanted["amount"]
        if wanted["email"] is not None:
            wanted["email"] = hmac.new(KEY.encode(), wanted["email"].encode(), hashlib.sha256).hexdigest()
        got = {name: event[name] for name in wanted}
        for name in ("event_time", "issued"):
            got[name] = None if got[name] is None else _epoch_ms(got[name])
        if got != wanted:
            self._say(f"read as {got}, by the judge as {wanted}", record)

    def _check_rejected(self, row: dict[str, Any], record: Hostile, arrival: int) -> None:
        if not row["detail"] or SECRET in row["detail"]:
            self._say(f"detail {row['detail']!r} is empty or shows pii", record)
        read = judge(record.data, CONTRACT)
        late_by = None if read is None else arrival - read["event_time"]
        reason = "malformed" if late_by is None else "future" if late_by < -FUTURE_BOUND_MS else "too_late"
        if reason != row["reason"] or (reason == "too_late" and late_by <= CONTRACT.lateness_ms):
            self._say(f"rejected as {row['reason']} ({row['detail']}), the judge: {reason}, late by {late_by}", record)

    def _say(self, problem: str, record: Hostile | None = None) -> None:
        shown = "" if record is None else f" · {record.kind}: {record.data[:600]!r}"
        self.problems.append(f"seed {self.seed}, batch of record {self._sent}: {problem}{shown}")


def _epoch_ms(moment: datetime) -> int:
    return round((moment - _EPOCH).total_seconds() * 1_000)
