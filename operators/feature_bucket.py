"""The windows of one customer bucket: events in, live rows and final rows out. Pure logic; Flink stays in the shell.

    blob ─► receive ─► event log (state) ─► pending ─► flush ─► dedup ─► slices ─► tick ──────► live rows
                │                             (count | tick | watermark)   └─────► advance ───► final rows, once
                └─► window_closed (its windows cannot be computed any more)

Keyed by       customer bucket
State          log       batch number -> blob: the events as they came (duplicates included: replaying drops them again)
               schemas   fingerprint -> Arrow schema of older blobs
               progress  64 bytes: how far events were counted and windows are final, and what the account still owes
In memory      slices, customer codes, seen ids: rebuilt from the log after a restore
TTL            an event leaves the log when the watermark is the longest window + grace beyond it (L is in the watermark)
Timers         event time: the next window end - 1 ms, or the moment the oldest batch may be pruned
               processing time: the next tick, while rows are due or will be
Cleared when   the watermark has passed everything: the log is empty, no timer is left
Exits          live · final:<file> · event · rejected (window_closed) · account

Exactly once: each method below is one step between two checkpoint barriers. What it emits and what it writes to `progress`
stand or fall together, so after a restore a batch is counted, or a window finalised, either before the checkpoint or after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import packing
from operators.arrival_clock import ArrivalClock
from operators.bucket_state import BucketState, Progress
from operators.contract import CUSTOMER_ID, EVENT_TIME
from operators.feature_rows import RowMaker, WindowPartial, final_batch, final_schema, instant, live_batch, live_schema
from operators.feature_settings import FeatureSettings
from operators.interner import Interner
from operators.operator_stats import OperatorStats
from operators.partials import Codes
from operators.seen_ids import SeenIds
from operators.slices import Slices, grid_groups
from operators.window_tracker import Changes, Due, WindowTracker

LIVE, FINAL, EVENT, REJECTED, ACCOUNT = "live", "final:", "event", "rejected", "account"
END_OF_STREAM = 2**63 - 1  # Flink's MAX_WATERMARK

ACCOUNT_SCHEMA = pa.schema(
    [
        ("bucket", pa.int32()),
        ("counted", pa.int64()),
        ("duplicate", pa.int64()),
        ("window_closed", pa.int64()),
        ("emitted_at", pa.timestamp("ms")),
        ("dt", pa.string()),
        ("hour", pa.string()),
    ]
)

_PENDING_ROWS = 4096  # so many events are worth a pass of their own; fewer wait for the tick
_COMPACT_FROM = 20_000  # customer codes; below it a compaction frees nothing worth the pass
_MAX_ROWS = 8192  # rows in one batch that leaves

Exit = tuple[str, bytes]


class _Batch(NamedTuple):
    """One entry of the log: its number, its newest event time (epoch ms), its bytes."""

    number: int
    newest_event_ms: int
    size: int


class _Window:
    """One window file in this bucket: what is due, and how it becomes rows."""

    def __init__(self, slices: Slices, position: int, settings: FeatureSettings, customers: Interner, final_until: int) -> None:
        self.spec = slices.specs[position]
        self.slices = slices
        self.revision = slices.layout.revisions[position]
        self.tracker = WindowTracker(self.spec, slices.slice_ms, final_until)
        self.maker = RowMaker(self.spec, slices.layout, position, customers)
        self.final_schema = final_schema(self.spec)

    def partials(self, due: Iterable[Due]) -> list[WindowPartial]:
        """The numbers of the windows that are due."""
        found = []
        for granularity, end, customers in due:
            partial = self.slices.window(end - granularity.size_ms, end, customers)
            if partial is not None:
                found.append(WindowPartial(granularity, end - granularity.size_ms, end, partial))
        return found


class FeatureBucket:
    """See the module. Construct it once per bucket and subtask; it restores itself from the state.

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
        self._bucket = bucket
        self._settings = settings
        self._state = state
        self._clock = clock
        self._stats = stats
        self._schema = packing.event_schema(settings.contract)
        self._fingerprint = packing.fingerprint(self._schema)
        self._time = self._schema.get_field_index(EVENT_TIME)
        self._customer = self._schema.get_field_index(CUSTOMER_ID)
        self._live_schema = live_schema(settings.specs)
        self._customers = Interner()
        self._seen = SeenIds(settings.dedup_ttl_ms)
        stored = state.progress.value()
        self.progress = Progress.from_bytes(stored) if stored else Progress()
        self._groups = [Slices(specs, slice_ms, self._customers) for slice_ms, specs in grid_groups(settings.specs)]
        self._windows = [
            _Window(group, position, settings, self._customers, self.progress.final_until)
            for group in self._groups
            for position in range(len(group.specs))
        ]
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._batches: deque[_Batch] = deque()
        self._restored_until = 0
        self._slice_ms = min((group.slice_ms for group in self._groups), default=1000)
        self._restore(now_ms)

    # ------------------------------------------------------------------ steps

    def receive(self, blob: bytes, now_ms: int) -> list[Exit]:
        """Take in a blob of accepted events: into the log, and counted as soon as it is worth a pass.

        Args:
            blob: see `operators.packing`, with raw records.
            now_ms: the wall clock.
        """
        exits: list[Exit] = []
        events = packing.unpack_events(blob, self._schema)
        times = _epoch_ms(events.column(self._time))
        if int(times.min()) < self.progress.closed_until:
            open_ = times >= self.progress.closed_until
            exits.append((REJECTED, self._reject(blob, times, open_)))
            closed = int((~open_).sum())
            self.progress.window_closed += closed
            self._stats.window_closed += closed
            exits += self._account(now_ms)  # at once: no timer may be left that would do it
            self._save()
            if not open_.any():
                return exits
            mask = pa.array(open_)
            events, times = _filtered(events, mask), times[open_]
            blob = packing.pack(events, _filtered(packing.unpack_raw(blob), mask))
        self._clock.hear(_newest(events.column(packing.ARRIVAL)), now_ms)
        self._append(packing.drop_raw(blob), int(times.max()))
        self._pending.append(events)
        self._pending_rows += events.num_rows
        if self._settings.forwards_events or self._pending_rows >= _PENDING_ROWS:
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
        ended = watermark >= END_OF_STREAM
        exits += self._finalise(self._last_end() if ended else watermark + 1, now_ms)
        if not ended:
            self._prune(watermark)
        return exits

    # ------------------------------------------------------------------ timers

    def next_tick_ms(self, now_ms: int) -> int | None:
        """Wall clock of the next tick that has something to do; None: none has."""
        interval = self._settings.emit_interval_ms
        if self._pending or any(window.tracker.has_changes for window in self._windows):
            return now_ms + interval
        clock = self._clock.read(now_ms)
        waits = [end - clock for end in self._next_ends(live=True)]
        waits += [step - clock for window in self._windows if (step := window.tracker.next_early_step(clock)) is not None]
        if self._settings.idle_final_ms is not None:
            idle = self._settings.idle_final_ms
            waits += [max(end - clock + idle, idle - self._clock.silent_for(now_ms)) for end in self._next_ends(live=False)]
        return now_ms + max(interval, min(waits)) if waits else None

    def next_watermark_ms(self) -> int | None:
        """The watermark at which something is final or may be pruned; None: nothing is left to wait for."""
        due = [end - 1 for end in self._next_ends(live=False)]
        if self._pending:
            oldest = min(int(_epoch_ms(batch.column(self._time)).min()) for batch in self._pending)
            due.append((oldest // self._slice_ms + 1) * self._slice_ms - 1)
        if self._batches:
            due.append(self._batches[0].newest_event_ms + self._settings.longest_ms + self._settings.grace_ms)
        return min(due, default=None)

    @property
    def is_empty(self) -> bool:
        """Whether no event is left, neither in the log nor in memory."""
        return not self._batches and not self._pending and not any(len(group) for group in self._groups)

    # ------------------------------------------------------------------ counting

    def _flush(self) -> list[Exit]:
        """Count what is pending: dedup, slices, and rows of windows that were final already."""
        if not self._pending:
            return []
        events = _concatenated(self._pending)
        self._pending, self._pending_rows = [], 0
        fresh, touched = self._count(events)
        progress = self.progress
        progress.counted_batch = self._batches[-1].number
        progress.counted += fresh.num_rows
        progress.duplicate += events.num_rows - fresh.num_rows
        self._stats.counted += fresh.num_rows
        self._stats.duplicate += events.num_rows - fresh.num_rows
        exits = list(self._reissue(touched))
        if self._settings.forwards_events and fresh.num_rows:
            names = self._settings.contract.names
            exits.append((EVENT, packing.ipc_stream(pa.RecordBatch.from_arrays(fresh.columns[: len(names)], names=list(names)))))
        self._save()
        return exits

    def _count(self, events: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Changes]]:
        """Drop duplicates and add the rest to the slices.

        Returns:
            The events counted, and per window file which customers of which slices counted one.
        """
        times = _epoch_ms(events.column(self._time))
        arrival = _newest(events.column(packing.ARRIVAL))
        self.progress.arrival = max(self.progress.arrival, arrival)
        mask = self._seen.admit(
            events.column(packing.ID_HIGH).to_numpy(), events.column(packing.ID_LOW).to_numpy(), int(times.max()), arrival
        )
        if not mask.all():
            events, times = _filtered(events, pa.array(mask)), times[mask]
        touched: list[Changes] = [{} for _ in self._windows]
        if events.num_rows:
            customers = self._customers.encode(events.column(self._customer))
            added = {id(group): group.add(events, times, customers) for group in self._groups}
            for window, changes in zip(self._windows, touched, strict=True):
                for start, partial in added[id(window.slices)]:
                    codes = partial.codes[partial.columns[window.revision] > 0]
                    window.tracker.changed(start, codes)
                    changes[start] = [codes]
        return events, touched

    # ------------------------------------------------------------------ rows

    def _write_live(self, clock: int, now_ms: int) -> Iterator[Exit]:
        for window in self._windows:
            bounds = window.slices.bounds()
            if bounds is not None and window.tracker.has_live_rows:
                written_until = window.tracker.live_until
                partials = window.partials(window.tracker.due_live(clock, bounds))
                first_ends = [p.end for p in partials if p.end > written_until]
                if first_ends:
                    self._stats.freshness_ms = now_ms - min(first_ends)
                yield from self._live(window, partials, now_ms)

    def _finalise(self, until: int, now_ms: int) -> list[Exit]:
        """Windows that end at or before `until` are final, once; their live rows go out before them."""
        exits: list[Exit] = []
        progress = self.progress
        if until > progress.final_until:
            exits += self._write_live(max(until, self._clock.read(now_ms)), now_ms)
            for window in self._windows:
                bounds = window.slices.bounds()
                if bounds is not None:
                    exits += self._final(window, window.tracker.due_final(progress.final_until, until, bounds), now_ms)
            for group in self._groups:
                group.fold(until)
            progress.final_until = until
        exits += self._account(now_ms)
        self._save()
        return exits

    def _reissue(self, touched: list[Changes]) -> Iterator[Exit]:
        """Final rows again, with a larger revision, where an event came behind its final window but inside the grace."""
        if self.progress.final_until:
            for window, changes in zip(self._windows, touched, strict=True):
                yield from self._final(window, window.tracker.reopened(changes, self.progress.final_until), None)

    def _live(self, window: _Window, partials: list[WindowPartial], now_ms: int) -> Iterator[Exit]:
        for some in _in_portions(partials):
            rows = window.maker.rows(some)
            if rows is not None:
                self._stats.live_rows += len(rows)
                batch = live_batch(rows, self._live_schema, now_ms, self._settings.item_ttl_seconds)
                yield LIVE, packing.ipc_stream(batch)

    def _final(self, window: _Window, due: Iterable[Due], now_ms: int | None) -> Iterator[Exit]:
        """Final rows; into the features table too where no live row did, or where a restore made it doubtful.

        A sink's buffer restored at another parallelism may hand over an older row after a newer one: so the windows that were
        open at a restore are written once more when they are final.
        """
        partials = window.partials(due)
        for some in _in_portions(partials):
            rows = window.maker.rows(some)
            if rows is not None:
                self._stats.final_rows += len(rows)
                yield FINAL + window.spec.name, packing.ipc_stream(final_batch(rows, window.final_schema))
        if now_ms is None:
            return
        doubtful = [p for p in partials if not window.tracker.has_live_rows or p.end <= self._restored_until]
        yield from self._live(window, doubtful, now_ms)

    def _account(self, now_ms: int) -> list[Exit]:
        progress = self.progress
        if not (progress.counted or progress.duplicate or progress.window_closed):
            return []
        moment = instant(now_ms)
        row = (self._bucket, progress.counted, progress.duplicate, progress.window_closed, now_ms, moment[:10], moment[11:13])
        columns = [pa.array([value], column.type) for value, column in zip(row, ACCOUNT_SCHEMA, strict=True)]
        progress.counted = progress.duplicate = progress.window_closed = 0
        return [(ACCOUNT, packing.ipc_stream(pa.RecordBatch.from_arrays(columns, schema=ACCOUNT_SCHEMA)))]

    def _reject(self, blob: bytes, times: Codes, open_: np.ndarray) -> bytes:
        closed = pa.array(~open_)
        raw = _filtered(packing.unpack_raw(blob), closed)
        horizon = instant(self.progress.closed_until)
        details = [f"event_time {instant(t)} is before {horizon}, where its windows closed" for t in times[~open_].tolist()]
        reasons = pa.array(["window_closed"] * len(details))
        columns = [*raw.columns, reasons, pa.array(details)]
        return packing.ipc_stream(pa.RecordBatch.from_arrays(columns, schema=packing.REJECT_SCHEMA))

    # ------------------------------------------------------------------ state

    def _append(self, blob: bytes, newest_event_ms: int) -> None:
        number = max(self._batches[-1].number if self._batches else -1, self.progress.counted_batch) + 1
        if not self._batches and not self._pending:
            self._state.schemas.put(self._fingerprint, self._schema.serialize().to_pybytes())
        self._state.log.put(number, blob)
        self._stats.log_bytes += len(blob)
        self._batches.append(_Batch(number, newest_event_ms, len(blob)))

    def _save(self) -> None:
        self._state.progress.update(self.progress.to_bytes())

    def _restore(self, now_ms: int) -> None:
        """Rebuild slices and seen ids from the log; batches after the last counted one are pending."""
        stored = sorted(self._state.log.items())
        if not stored:
            return
        older = {key: pa.ipc.read_schema(pa.py_buffer(schema)) for key, schema in self._state.schemas.items()}
        if self._fingerprint not in older:
            self._state.schemas.put(self._fingerprint, self._schema.serialize().to_pybytes())
        horizon = self._pruned_until()
        counted = []
        for number, blob in stored:
            events = self._unpack(blob, older)
            times = _epoch_ms(events.column(self._time))
            self._batches.append(_Batch(number, int(times.max()), len(blob)))
            self._stats.log_bytes += len(blob)
            self._clock.hear(_newest(events.column(packing.ARRIVAL)), now_ms)
            if number > self.progress.counted_batch:
                self._pending.append(events)
                continue
            kept = times >= horizon  # not the resend of an event whose own batch was pruned
            counted.append(events if kept.all() else _filtered(events, pa.array(kept)))
        for some in _in_batches(counted):
            self._count(some)
        bounds = [found for group in self._groups if (found := group.bounds()) is not None]
        self._restored_until = max((end for _, end in bounds), default=0) + self._settings.longest_ms
        for group in self._groups:
            group.fold(self.progress.final_until)
        for window in self._windows:
            window.tracker.restored()

    def _unpack(self, blob: bytes, older: dict[int, pa.Schema]) -> pa.RecordBatch:
        written = packing.fingerprint_of(blob)
        if written == self._fingerprint:
            return packing.unpack_events(blob, self._schema)
        return packing.conform(packing.unpack_events(blob, older[written]), self._schema)

    def _pruned_until(self) -> int:
        return self.progress.closed_until - self._settings.longest_ms

    def _prune(self, watermark: int) -> None:
        """Forget the events that no accepted event can share a window with any more."""
        progress = self.progress
        closed_until = watermark + 1 - self._settings.grace_ms
        if closed_until <= progress.closed_until:
            return
        progress.closed_until = closed_until
        horizon = self._pruned_until()
        while self._batches and self._batches[0].newest_event_ms < horizon:
            batch = self._batches.popleft()
            self._state.log.remove(batch.number)
            self._stats.log_bytes -= batch.size
        for group in self._groups:
            direct = max(spec.granularities[0].size_ms for spec in group.specs)
            group.forget(closed_until - direct, horizon)
        self._seen.forget(closed_until, progress.arrival)
        self._compact()
        self._save()

    def _compact(self) -> None:
        if len(self._customers) < _COMPACT_FROM:
            return
        parts = [codes for group in self._groups for codes in group.used_customers()]
        used = np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
        if len(used) * 2 > len(self._customers):
            return
        table = self._customers.compact(used)
        for group in self._groups:
            group.renumber(table)
        for window in self._windows:
            window.tracker.renumber(table)

    # ------------------------------------------------------------------ time

    def _next_ends(self, *, live: bool) -> Iterator[int]:
        for window in self._windows:
            bounds = window.slices.bounds()
            if bounds is not None and (window.tracker.has_live_rows or not live):
                end = window.tracker.next_end(window.tracker.live_until if live else self.progress.final_until, bounds)
                if end is not None:
                    yield end

    def _last_end(self) -> int:
        """The end of the last window that any event is in."""
        bounds = [found for group in self._groups if (found := group.bounds()) is not None]
        return max((end for _, end in bounds), default=0) + self._settings.longest_ms


def _epoch_ms(column: pa.Array) -> Codes:
    return np.asarray(column.view(pa.int64()))


def _newest(arrivals: pa.Array) -> int:
    return int(_epoch_ms(arrivals).max())


def _filtered(batch: pa.RecordBatch, mask: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column.filter(mask) for column in batch.columns], schema=batch.schema)


def _concatenated(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    columns = [pa.concat_arrays(parts) for parts in zip(*(batch.columns for batch in batches), strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=batches[0].schema)


def _in_batches(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same events in fewer, larger batches."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows:
            group.append(batch)
        if sum(b.num_rows for b in group) >= 4 * _PENDING_ROWS:
            yield _concatenated(group)
            group = []
    if group:
        yield _concatenated(group)


def _in_portions(partials: list[WindowPartial]) -> Iterator[list[WindowPartial]]:
    """Windows together up to about _MAX_ROWS rows: large enough to be cheap, small enough to travel."""
    portion: list[WindowPartial] = []
    rows = 0
    for partial in partials:
        portion.append(partial)
        rows += len(partial.partial.codes)
        if rows >= _MAX_ROWS:
            yield portion
            portion, rows = [], 0
    if portion:
        yield portion
