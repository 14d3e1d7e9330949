"""What becomes of a snapshot's state under another version: does it restore, what is warm, what starts empty. Pure.

    final_until(bucket) = W + 1 when the snapshot was taken; the log reaches back from there:

       ├───────── reach = max(longest window + grace, dedup TTL) ──────────┤ W
       ●  ●   ●●   ●  ●    ● the log, by the OLD windows and properties  ● ●
              ├────── open at W, size <= reach ────────────────────────────┼──┤   warm: it has all its events
    ╌╌╌├──────────────────── size > reach ─────────────────────────────────┼──┤   partly: the first ones lack some

Every statement follows from what state there is (`operators.feature_bucket`, `operators.event_log`) and from how the
job names its steps (`flink_app.runtime.set_uids`); one that a test proves names the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flink_app.durations import duration
from flink_app.planner import PlannedWindow, SqlPlan
from flink_app.properties import State
from operators.contract import Column, Contract

_RESTORE: Final = "tests/test_restore.py::"
_BUCKET: Final = "tests/test_feature_bucket.py::"
_PACKING: Final = "tests/test_packing.py::"
_THIS: Final = "tests/test_compatibility.py::"
_GRAPH: Final = "tests/test_job_graph.py::"


class Outcome(StrEnum):
    """What becomes of one part of the state."""

    GOES_ON = "goes on"  # as if nothing had happened
    WARM = "warm"  # new or changed, and right from the first row on
    PARTLY = "partly"  # the first rows lack events
    EMPTY = "empty"  # begins with the first event after the restore
    ENDS = "ends"
    FAILS = "fails"  # the snapshot does not restore, or must not


@dataclass(frozen=True)
class Version:
    """What decides over a snapshot, of one version of the application.

    Attributes:
        plan: contract and windows.
        state: the property group State; None: unknown.
        layout: `flink_app.state_layout.LAYOUT`; None: of before there was one.
    """

    plan: SqlPlan
    state: State | None
    layout: Mapping[str, str] | None

    @property
    def reach_ms(self) -> int:
        """How far the log reaches back behind the watermark, at the least; with the default properties if unknown."""
        state = self.state or State()
        longest = max((g.size_ms for spec in self.plan.specs for g in spec.granularities), default=0)
        return max(longest + state.grace_seconds * 1000, state.dedup_ttl_seconds * 1000)


@dataclass(frozen=True)
class Fact:
    """One statement.

    Attributes:
        subject: what it is about, such as `window card_velocity`.
        outcome: what becomes of it.
        why: from which fact of the state that follows, and what to do about it if anything.
        proof: the test that shows it, `file::test`; empty: reasoned, not tried.
    """

    subject: str
    outcome: Outcome
    why: str
    proof: str = ""


@dataclass(frozen=True)
class Compatibility:
    """Every statement about a snapshot of the old version under the new one."""

    facts: tuple[Fact, ...]

    @property
    def restores(self) -> bool:
        """Whether the snapshot may be restored."""
        return not self.problems

    @property
    def problems(self) -> tuple[Fact, ...]:
        """Why it must not."""
        return tuple(fact for fact in self.facts if fact.outcome is Outcome.FAILS)

    @property
    def changes(self) -> tuple[Fact, ...]:
        """Everything that does not just go on."""
        return tuple(fact for fact in self.facts if fact.outcome is not Outcome.GOES_ON)


def compare(old: Version, new: Version) -> Compatibility:
    """What becomes of a snapshot that `old` wrote when `new` starts from it."""
    facts = [
        *_layout(old.layout, new.layout),
        *_properties(old, new),
        *_contract(old.plan.contract, new.plan.contract),
        *_windows(old, new),
    ]
    return Compatibility(tuple(facts))


def _layout(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> Iterator[Fact]:
    if old is None or new is None:
        why = "one of the two versions does not say how it lays out its state; see CHANGELOG, State"
        yield Fact("layout of the state", Outcome.GOES_ON, why)
        return
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    for key in changed:
        why = (
            f"{old.get(key, 'none')} → {new.get(key, 'none')}: bytes of the snapshot that the new version does not read"
        )
        yield Fact(f"layout of the state: {key}", Outcome.FAILS, why)
    if not changed:
        proof = _RESTORE + "test_the_position_in_the_stream_is_kept_and_nothing_is_lost_or_double"
        why = "position in the stream, events and unfinished files are found by the uids of their steps"
        yield Fact("stream and events", Outcome.GOES_ON, why, proof)


def _properties(old: Version, new: Version) -> Iterator[Fact]:
    if old.state is None or new.state is None:
        why = "the old properties are unknown: taken to be the defaults; another State.buckets would not restore"
        yield Fact("properties State", Outcome.GOES_ON, why)
        return
    before, after = old.state, new.state
    if before.buckets != after.buckets:
        why = (
            f"{before.buckets} → {after.buckets}: customers would look for their events in other buckets · set it back"
        )
        proof = _BUCKET + "test_a_restore_with_another_number_of_buckets_is_refused"
        yield Fact("State.buckets", Outcome.FAILS, why, proof)
    if after.dedup_ttl_seconds * 1000 > old.reach_ms:
        gap = duration(after.dedup_ttl_seconds * 1000 - old.reach_ms)
        why = (
            f"ids are known {duration(old.reach_ms)} back, as far as the log; for {gap} an older duplicate counts again"
        )
        yield Fact("State.dedup.ttl.seconds", Outcome.PARTLY, why)
    elif after.dedup_ttl_seconds > before.dedup_ttl_seconds:
        why = f"ids come back out of the log, which reaches {duration(old.reach_ms)}"
        yield Fact("State.dedup.ttl.seconds", Outcome.WARM, why)
    if after.grace_seconds > before.grace_seconds:
        why = (
            f"{before.grace_seconds} → {after.grace_seconds}: what is closed stays closed, so for the first"
            f" {after.grace_seconds - before.grace_seconds} s the old grace counts"
        )
        yield Fact("State.grace.seconds", Outcome.PARTLY, why)


def _contract(old: Contract, new: Contract) -> Iterator[Fact]:
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    for column in new.columns:
        if column.name not in before:
            yield _new_column(column)
        elif before[column.name] != column:
            yield from _changed_column(before[column.name], column)
    for name in before.keys() - after.keys():
        yield Fact(f"column {name}", Outcome.ENDS, "stored events keep it in vain until they leave the log")
    if old.lateness_ms != new.lateness_ms:
        change = f"{duration(old.lateness_ms)} → {duration(new.lateness_ms)}"
        why = f"{change}: for what arrives from now on; what was final, or too late, stays so"
        yield Fact("lateness bound L", Outcome.GOES_ON, why)


def _new_column(column: Column) -> Fact:
    if column.nullable:
        proof = _PACKING + "test_stored_events_take_on_a_column_that_the_contract_has_gained"
        return Fact(f"column {column.name}", Outcome.PARTLY, "NULL in the events that are stored already", proof)
    proof = _PACKING + "test_stored_events_cannot_take_on_a_changed_type_or_a_column_that_must_not_be_null"
    why = "NOT NULL, and stored events have no value for it: the job fails at the first of them · make it nullable"
    return Fact(f"column {column.name}", Outcome.FAILS, why, proof)


def _changed_column(before: Column, after: Column) -> Iterator[Fact]:
    subject = f"column {after.name}"
    if before.arrow_type != after.arrow_type:
        proof = _PACKING + "test_stored_events_cannot_take_on_a_changed_type_or_a_column_that_must_not_be_null"
        why = f"{before.type} → {after.type}: stored events cannot be read with it · add a column of another name"
        yield Fact(subject, Outcome.FAILS, why, proof)
    if before.nullable and not after.nullable:
        yield Fact(subject, Outcome.PARTLY, "stored events without it stay counted as they are; new ones are malformed")
    if before.pii != after.pii:
        values = "in the clear" if after.pii else "masked"
        why = f"stored events have it {values} until they leave the log: COUNT(DISTINCT …) over it counts both"
        yield Fact(subject, Outcome.PARTLY, why)


def _windows(old: Version, new: Version) -> Iterator[Fact]:
    before = {window.name: window for window in old.plan.windows}
    after = {window.name: window for window in new.plan.windows}
    for name, window in after.items():
        if window.spec is not None:
            yield _on_slices(before.get(name), window, old.reach_ms)
        else:
            yield _native(before.get(name), window)
    for name in before.keys() - after.keys():
        yield _removed(before[name])
    types = {column.name: column.type for window in old.plan.windows for column in window.columns}
    for column in new.plan.columns:
        if types.get(column.name, column.type) != column.type:
            change = f"{types[column.name]} → {column.type}"
            why = f"{change}: items and files of before keep the old type; readers meet both · a new name is safer"
            yield Fact(f"feature {column.name}", Outcome.PARTLY, why)


def _on_slices(before: PlannedWindow | None, window: PlannedWindow, reach_ms: int) -> Fact:
    subject = f"window {window.name}"
    if before is not None and before.spec is not None and _same(before, window):
        return Fact(subject, Outcome.GOES_ON, "unchanged; its slices come back out of the log")
    assert window.spec is not None
    how = "new" if before is None else "edited" if before.spec is not None else "was native, whose state is dropped"
    longest = max(granularity.size_ms for granularity in window.spec.granularities)
    if longest > reach_ms:
        gap = duration(longest - reach_ms)
        why = (
            f"{how}; {duration(longest)} long, but the log reaches {duration(reach_ms)} back: windows that end within"
            f" {gap} after the restore lack their oldest events"
        )
        proof = _THIS + "test_a_window_longer_than_the_reach_lacks_events_at_first"
        return Fact(subject, Outcome.PARTLY, why, proof)
    if before is None:
        proof = _RESTORE + "test_the_new_window_is_warm_live_and_final"
    elif before.spec is not None:
        proof = _RESTORE + "test_the_edited_window_is_warm_and_exact_and_each_row_final_once"
    else:
        proof = _BUCKET + "test_a_new_window_is_warm_after_a_restart"
    why = f"{how}; all of its {duration(longest)} are in the log, which reaches {duration(reach_ms)} back"
    return Fact(subject, Outcome.WARM, why, proof)


def _native(before: PlannedWindow | None, window: PlannedWindow) -> Fact:
    subject = f"native window {window.name}"
    if before is None or before.native is None:
        how = "new" if before is None else "ran on slices"
        why = f"{how}; Flink SQL begins without state: rows of windows that were open lack what came before"
        return Fact(subject, Outcome.EMPTY, why)
    if _same(before, window):
        proof = _GRAPH + "test_a_native_window_is_computed_once_and_adds_only_its_own_steps"
        return Fact(subject, Outcome.GOES_ON, "unchanged; its state is found by the uids of its steps", proof)
    why = (
        "edited under its name: Flink gives the old query's state to the new one, and refuses it or counts on with it"
        " · give the file another name: that starts empty, and the old state is dropped"
    )
    return Fact(subject, Outcome.FAILS, why)


def _removed(window: PlannedWindow) -> Fact:
    if window.native is not None:
        return Fact(f"native window {window.name}", Outcome.ENDS, "its state is dropped (AllowNonRestoredState)")
    why = "windows that are open never become final; rows that are written stay, items until their TTL"
    proof = _RESTORE + "test_the_removed_window_wrote_right_rows_as_long_as_it_was_there"
    return Fact(f"window {window.name}", Outcome.ENDS, why, proof)


def _same(before: PlannedWindow, after: PlannedWindow) -> bool:
    """The same query and header; comments and spaces do not matter, nor where in the contract a column stands."""
    old, new = before.file, after.file
    headers = (old.rollup_ms, old.emit_every_ms) == (new.rollup_ms, new.emit_every_ms)
    return headers and _words(old.sql) == _words(new.sql)


def _words(sql: str) -> str:
    bare = re.sub(r"('(?:[^']|'')*'|`[^`]*`)|--[^\n]*|/\*.*?\*/", r"\1", sql, flags=re.DOTALL)
    return " ".join(bare.split())
