"""The windows of one customer bucket: events in, live rows and final rows out. Pure logic; Flink stays in the shell.

    blob ─► receive ─► event log (state) ─► pending ─► flush ─► dedup ─► slices ─► tick ──────► live rows
                │                             (count, tick, watermark)     └─────► advance ───► final rows, once
                └─► window_closed: its windows cannot be computed any more

Keyed by       customer bucket
State          log       batch number -> blob: the accepted events as they came, and marks, see `operators.event_log`
               schemas   fingerprint -> Arrow schema of the blobs
               progress  64 bytes: how far events are counted and windows final, and what the account still owes
In memory      slices, customer codes, seen ids: rebuilt from the log after a restore
TTL            an event leaves the log when the watermark (arrival - L) is the longest window + grace beyond it, and
               not before the dedup TTL has passed: with it go its slices, and its id is forgotten
Timers         event time: the next window end - 1 ms, or when the oldest batch may be pruned
               processing time: the next tick, while rows are due or will be
Cleared when   the watermark has passed everything: the log is empty, no timer is left
Exits          live, final:<file>, event, rejected (window_closed), account

Exactly once: each step below lies between two checkpoint barriers. What it emits and what it writes to `progress` stand
or fall together; so after a restore a batch is counted, and a window finalised, either before the checkpoint or after.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import packing
from operators.arrival_clock import ArrivalClock
from operators.bucket_state import BucketState, Progress
from operators.contract import CUSTOMER_ID, EVENT_TIME
from operators.event_batches import concatenated, epoch_ms, filtered, in_large_batches, newest_arrival
from operators.event_log import EventLog
from operators.feature_rows import WindowRows, instant, live_batch, live_schema
from operators.feature_settings import FeatureSettings
from operators.interner import Interner
from operators.operator_stats import OperatorStats
from operators.seen_ids import SeenIds
from operators.slices import Slices, grid_groups
from operators.window_output import WindowOutput
from operators.window_tracker import Changes

LIVE, FINAL, EVENT, REJECTED, ACCOUNT = "live", "final:", "event", "rejected", "account"
END_OF_STREAM = 2**63 - 1  # Flink's MAX_WATERMARK

ACCOUNT_SCHEMA = pa.schema(
    [
        ("bucket", pa.int32()),
        ("counted", pa.int64()),
        ("duplicate", pa.int64()),
        ("window_closed", pa.int64()),
        ("live_rows", pa.int64()),
        ("final_rows", pa.int64()),
        ("emitted_at", pa.timestamp("ms")),
        ("dt", pa.string()),
        ("hour", pa.string()),
    ]
)

_WORTH_A_PASS = 4096  # pending events; fewer wait for the tick
_WORTH_COMPACTING = 20_000  # customer codes
_BACKLOG_MS = 2_000  # arrival to reading; where it takes longer, a window's end in the stream's time is none in ours
_SETTLE_MS = 100  # after a window's end, for the records that arrived before it and are on their way

Exit = tuple[str, bytes]


class FeatureBucket:
    """See the module. Constructed once per bucket and subtask, it restores itself from the state.

    Args:
        bucket: the bucket's key, for the account.
        settings: of the operator.
        state: of this bucket.
        clock, stats: of the subtask.
        now_ms: the wall clock; a restored bucket's arrival clock runs on from here.
    """

    def __init__(
        self,
        bucket: int,
        settings: FeatureSettings,
        state: BucketState,
        clock: ArrivalClock,
        stats: OperatorStats,
        now_ms: int,
    ) -> None:
        self._bucket, self._settings, self._state, self._clock, self._stats = bucket, settings, state, clock, stats
        self._schema = packing.event_schema(settings.contract)
        self._log = EventLog(state.log, state.schemas, self._schema)
        self._live_schema = live_schema(settings.specs)
        self._customers = Interner()
        self._seen = SeenIds(settings.dedup_ttl_ms)
        stored = state.progress.value()
        self.progress = Progress.from_bytes(stored) if stored else Progress()
        self._check_buckets()
        self._groups = [Slices(specs, slice_ms, self._customers) for slice_ms, specs in grid_groups(settings.specs)]
        self._windows = [
            WindowOutput(group, position, self._customers, self.progress.final_until, writes_live=settings.writes_live)
            for group in self._groups
            for position in range(len(group.specs))
        ]
        self._slice_ms = min((group.slice_ms for group in self._groups), default=1_000)
        self._pending: list[tuple[int, pa.RecordBatch]] = []  # (batch number, events)
        self._pending_rows = 0
        self._pending_oldest_ms = 0  # event time, only where something is pending
        self._last_batch = self.progress.counted_batch
        self._doubtful_until = 0
        self._written = {LIVE: 0, FINAL: 0}  # rows since the last account; what a crash loses of it is only a figure
        self._restore(now_ms)

    # ---- steps

    def receive(self, blob: bytes, now_ms: int) -> list[Exit]:
        """Take in a blob of accepted events: into the log, and counted as soon as it is worth a pass.

        Args:
            blob: see `operators.packing`, with raw records.
            now_ms: the wall clock.
        """
        exits: list[Exit] = []
        events = packing.unpack_events(blob, self._schema)
        times = epoch_ms(self._column(events, EVENT_TIME))
        if int(times.min()) < self.progress.closed_until:
            still_open = times >= self.progress.closed_until
            raw = packing.unpack_raw(blob)
            exits += self._reject(filtered(raw, ~still_open), times[~still_open].tolist(), now_ms)
            if not still_open.any():
                return exits
            events, times = filtered(events, still_open), times[still_open]
            blob = packing.pack(events, filtered(raw, still_open))
        self._clock.hear(newest_arrival(events), now_ms)
        logged = packing.drop_raw(blob)
        self._last_batch = self._log.append(logged, int(times.max()), self._last_batch)
        self._stats.log_bytes += len(logged)
        self._wait(self._last_batch, events)
        if self._settings.forwards_events or self._pending_rows >= _WORTH_A_PASS:
            exits += self._flush()
        return exits

    def tick(self, now_ms: int) -> list[Exit]:
        """Write the live rows that are due; after a long silence, the final ones too."""
        exits = self._flush()
        clock = self._clock.read(now_ms)
        exits += self._write_live(clock, now_ms)
        idle = self._settings.idle_final_ms
        if idle is not None and self._clock.silent_for(now_ms) >= idle:
            exits += self._finalise(clock - idle, now_ms)
        return exits

    def advance(self, watermark: int, now_ms: int) -> list[Exit]:
        """The watermark has come to `watermark`: windows that end at or before the next millisecond are final."""
        exits = self._flush()
        if watermark >= END_OF_STREAM:
            return exits + self._finalise(self._last_end(), now_ms)
        exits += self._finalise(watermark + 1, now_ms)
        self._prune(watermark)
        return exits

    # ---- timers

    def next_tick_ms(self, now_ms: int) -> int | None:
        """Wall clock of the next tick that has something to do; None: none has."""
        interval, idle = self._settings.emit_interval_ms, self._settings.idle_final_ms
        trackers = [window.tracker for window in self._windows]
        clock, silence = self._clock.read(now_ms), self._clock.silent_for(now_ms)
        waits = [end - clock for end in self._next_ends(live=True)]
        if self._pending or any(tracker.has_changes for tracker in trackers):
            is_backlog = now_ms - clock > _BACKLOG_MS
            to_end = interval if is_backlog else max(0, min(waits, default=interval)) + _SETTLE_MS
            return now_ms + min(interval, to_end)
        waits += [step - clock for tracker in trackers if (step := tracker.next_early_step(clock)) is not None]
        if idle is not None:
            waits += [max(end - clock + idle, idle - silence) for end in self._next_ends(live=False)]
        return now_ms + max(interval, min(waits)) if waits else None

    def next_watermark_ms(self) -> int | None:
        """The watermark at which something is final or may be pruned; None: nothing is left to wait for."""
        due = [end - 1 for end in self._next_ends(live=False)]
        if self._pending:
            due.append((self._pending_oldest_ms // self._slice_ms + 1) * self._slice_ms - 1)
        if self._log.oldest_ms is not None:
            due.append(self._log.oldest_ms + self._settings.kept_ms + self._settings.grace_ms)
        return min(due, default=None)

    @property
    def is_empty(self) -> bool:
        """Whether no event is left, neither in the log nor in memory."""
        return not len(self._log) and not self._pending and not any(len(group) for group in self._groups)

    # ---- counting

    def _wait(self, number: int, events: pa.RecordBatch) -> None:
        oldest = int(epoch_ms(self._column(events, EVENT_TIME)).min())
        self._pending_oldest_ms = min(oldest, self._pending_oldest_ms) if self._pending else oldest
        self._pending.append((number, events))
        self._pending_rows += events.num_rows

    def _flush(self) -> list[Exit]:
        """Count what is pending; rows of windows that were final already are issued again."""
        if not self._pending:
            return []
        pending, self._pending, self._pending_rows = self._pending, [], 0
        events = concatenated([batch for _, batch in pending])
        fresh = self._fresh(events)
        self._mark_duplicates(pending, fresh)
        events, duplicates = filtered(events, fresh), int((~fresh).sum())
        changes = self._count(events)
        self.progress.counted_batch = self._last_batch
        self.progress.counted += events.num_rows
        self.progress.duplicate += duplicates
        self._stats.counted += events.num_rows
        self._stats.duplicate += duplicates
        exits = list(self._reissue(changes))
        if self._settings.forwards_events and events.num_rows:
            names = list(self._settings.contract.names)
            forwarded = pa.RecordBatch.from_arrays(events.columns[: len(names)], names=names)
            exits.append((EVENT, packing.ipc_stream(forwarded)))
        self._save()
        return exits

    def _fresh(self, events: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Which events are no duplicates, shape (n,); their ids are seen from now on."""
        times, arrival = epoch_ms(self._column(events, EVENT_TIME)), newest_arrival(events)
        self.progress.arrival = max(self.progress.arrival, arrival)
        high, low = (self._column(events, name).to_numpy() for name in (packing.ID_HIGH, packing.ID_LOW))
        return self._seen.admit(high, low, int(times.max()), arrival)

    def _mark_duplicates(self, pending: list[tuple[int, pa.RecordBatch]], fresh: npt.NDArray[np.bool_]) -> None:
        start = 0
        for number, batch in pending:
            self._log.mark_duplicates(number, fresh[start : start + batch.num_rows])
            start += batch.num_rows

    def _count(self, events: pa.RecordBatch) -> list[Changes]:
        """Add events to the slices; returns, per window file, which customers of which slices counted one."""
        if not events.num_rows:
            return [{} for _ in self._windows]
        times, customers = epoch_ms(self._column(events, EVENT_TIME)), self._column(events, CUSTOMER_ID)
        codes = self._customers.encode(customers)
        added = {id(group): group.add(events, times, codes) for group in self._groups}
        return [window.count(added[id(window.slices)]) for window in self._windows]

    def _reject(self, raw: pa.RecordBatch, times: list[int], now_ms: int) -> list[Exit]:
        """Quarantine records that came behind the horizon; account at once, as no timer may be left that would."""
        self.progress.window_closed += len(times)
        self._stats.window_closed += len(times)
        horizon = instant(self.progress.closed_until)
        details = [f"event_time: {instant(time)} is before {horizon}, where its windows closed" for time in times]
        columns = [*raw.columns, pa.array(["window_closed"] * len(times)), pa.array(details)]
        rejected = pa.RecordBatch.from_arrays(columns, schema=packing.REJECT_SCHEMA)
        exits = [(REJECTED, packing.ipc_stream(rejected)), *self._account(now_ms)]
        self._save()
        return exits

    # ---- rows

    def _write_live(self, clock: int, now_ms: int) -> Iterator[Exit]:
        for window in self._windows:
            written_until = window.tracker.live_until
            first_ends: list[int] = []
            for rows in window.live_rows(clock):
                first_ends += [w.end for w in rows.windows if w.end > written_until]
                yield self._live(rows, now_ms)
            if first_ends:
                self._stats.freshness_ms = now_ms - min(first_ends)

    def _finalise(self, until: int, now_ms: int) -> list[Exit]:
        """Windows that end at or before `until` are final, once; their live rows go out before them."""
        exits: list[Exit] = []
        final_until = self.progress.final_until
        if until > final_until:
            exits += self._write_live(max(until, self._clock.read(now_ms)), now_ms)
            for window in self._windows:
                for rows in window.final_rows(final_until, until):
                    exits.append(self._final(window, rows))
                    exits += self._live_after_final(window, rows, now_ms)
            for group in self._groups:
                group.fold(until)
            self.progress.final_until = until
        exits += self._account(now_ms)
        self._save()
        return exits

    def _live_after_final(self, window: WindowOutput, rows: WindowRows, now_ms: int) -> Iterator[Exit]:
        """With HAVING there was no live row before. And a sink's buffer that is restored at another parallelism may
        hand over an older row after a newer one, so the windows that were open at a restore are written once more.
        """
        if not self._settings.writes_live:
            return
        if window.tracker.has_live_rows:
            rows = rows.where(rows.ends <= self._doubtful_until)
        if len(rows):
            yield self._live(rows, now_ms)

    def _reissue(self, changes: list[Changes]) -> Iterator[Exit]:
        """Final rows again, with a larger revision, where an event came behind its final window, inside the grace."""
        for window, changed in zip(self._windows, changes, strict=True):
            for rows in window.reopened_rows(changed, self.progress.final_until):
                yield self._final(window, rows)

    def _live(self, rows: WindowRows, now_ms: int) -> Exit:
        self._stats.live_rows += len(rows)
        self._written[LIVE] += len(rows)
        return LIVE, packing.ipc_stream(live_batch(rows, self._live_schema, now_ms, self._settings.item_ttl_seconds))

    def _final(self, window: WindowOutput, rows: WindowRows) -> Exit:
        self._stats.final_rows += len(rows)
        self._written[FINAL] += len(rows)
        return FINAL + window.spec.name, window.final_stream(rows)

    def _account(self, now_ms: int) -> list[Exit]:
        progress = self.progress
        owed = (progress.counted, progress.duplicate, progress.window_closed, *self._written.values())
        if not any(owed):
            return []
        moment = instant(now_ms)
        row = (self._bucket, *owed, now_ms, moment[:10], moment[11:13])
        columns = [pa.array([value], column.type) for value, column in zip(row, ACCOUNT_SCHEMA, strict=True)]
        progress.counted = progress.duplicate = progress.window_closed = 0
        self._written = {LIVE: 0, FINAL: 0}
        return [(ACCOUNT, packing.ipc_stream(pa.RecordBatch.from_arrays(columns, schema=ACCOUNT_SCHEMA)))]

    # ---- state

    def _save(self) -> None:
        self._state.progress.update(self.progress.to_bytes())

    def _check_buckets(self) -> None:
        """With another number of buckets customers have other ones, and this one's events would be missed there."""
        now = len(self._settings.bucket_keys)
        if now and self.progress.buckets not in (0, now):
            raise ValueError(
                f"State.buckets: got {now} · wanted {self.progress.buckets}, as the restored state was written with"
                " · set it back"
            )
        if self.progress.buckets != now:
            self.progress.buckets = now
            self._save()

    def _restore(self, now_ms: int) -> None:
        """Rebuild slices and seen ids from the log; batches behind the last counted one are pending."""
        self._stats.log_bytes += self._log.restore()
        if not len(self._log):
            return
        for some in in_large_batches(self._counted_events(now_ms)):
            self._fresh(some)
            self._count(some)
        self._doubtful_until = self._last_end()
        for group in self._groups:
            group.fold(self.progress.final_until)
        for window in self._windows:
            window.tracker.restored()

    def _counted_events(self, now_ms: int) -> Iterator[pa.RecordBatch]:
        for number, events in self._log.replay():
            self._last_batch = max(self._last_batch, number)
            if not events.num_rows:
                continue
            self._clock.hear(newest_arrival(events), now_ms)
            if number > self.progress.counted_batch:
                self._wait(number, events)
            else:
                yield events

    def _prune(self, watermark: int) -> None:
        """Forget the events that no accepted event can share a window with any more."""
        closed_until = watermark + 1 - self._settings.grace_ms
        if closed_until <= self.progress.closed_until:
            return
        self.progress.closed_until = closed_until
        self._stats.log_bytes -= self._log.prune(closed_until - self._settings.kept_ms)
        for group in self._groups:
            unfolded = max(spec.granularities[0].size_ms for spec in group.specs)
            group.forget(closed_until - unfolded, closed_until - self._settings.longest_ms)
        self._seen.forget(closed_until, max(self.progress.arrival, watermark + 1 + self._settings.contract.lateness_ms))
        self._compact()
        self._save()

    def _compact(self) -> None:
        if len(self._customers) < _WORTH_COMPACTING:
            return
        used = self._customers.used(codes for group in self._groups for codes in group.used_customers())
        if len(used) * 2 > len(self._customers):
            return
        table = self._customers.compact(used)
        for group in self._groups:
            group.renumber(table)
        for window in self._windows:
            window.tracker.renumber(table)

    # ---- time

    def _next_ends(self, *, live: bool) -> Iterator[int]:
        for window in self._windows:
            if window.tracker.has_live_rows or not live:
                end = window.next_end(window.tracker.live_until if live else self.progress.final_until)
                if end is not None:
                    yield end

    def _last_end(self) -> int:
        """The end of the last window that any event is in."""
        bounds = [found for group in self._groups if (found := group.bounds()) is not None]
        return max((end for _, end in bounds), default=0) + self._settings.longest_ms

    def _column(self, events: pa.RecordBatch, name: str) -> pa.Array:
        return events.column(self._schema.get_field_index(name))
