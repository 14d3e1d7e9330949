"""Tells transcripts (see `tests.transcript_file`) to the real gate and the real FeatureBucket, and compares the rows.

    send ──► Gate ──► FeatureBucket ──► live, final rows ──► since the last expect, exactly those of the next one
                clock ──► ticks ─┘ └─ timers ◄── watermark

Time is the story's. Timers fire when the operator has asked for them, as in Flink: ticks while the clock goes on (a
payment moves it too), event timers at a watermark. When a story ends, no row is left that was not expected, and every
payment has left by one exit.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from itertools import groupby
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from operators.contract import Contract
from operators.window_spec import WindowSpec
from tests.bucket_harness import Bucket, settings
from tests.transcript_file import DAY_MS, DEFAULTS, NOTHING, Moment, Step, Story, TranscriptError, Window

Row = dict[str, Any]

_KEY = ("feature_set", "customer_id", "window")
_encode = msgspec.json.Encoder(decimal_format="number").encode


def tell(story: Story, spec: WindowSpec, contract: Contract) -> None:
    """Run a story.

    Raises:
        TranscriptError: at the first step whose rows are others than expected, or that cannot happen.
    """
    stage = _Stage(spec, contract)
    for step in story.steps:
        stage.play(step)
    stage.leave(story)


class _Stage:
    """The operator, its timers, and what it has written and nobody has expected yet."""

    def __init__(self, spec: WindowSpec, contract: Contract) -> None:
        self._bucket = Bucket(settings(specs=(spec,), contract=contract), now_ms=DAY_MS)
        self._contract = contract
        self._columns = (*_KEY, *(name for name, _ in spec.outputs), "revision")
        self._final_exit = f"final:{spec.name}"
        self._expected = {"live": 0, self._final_exit: 0}  # so many rows of each exit were expected
        self._now = Moment(DAY_MS)
        self._tick: int | None = None
        self._watermark = 0
        self._sent = 0

    def play(self, step: Step) -> None:
        """One step."""
        match step.action:
            case "send":
                self._send(step)
            case "clock":
                self._go_on(step.content, step.where)
            case "watermark":
                self._advance(step)
            case "restart":
                self._restart(step)
            case "expect exits":
                self._compare_exits(step)
            case _:
                exit_name = "live" if step.action == "expect live" else self._final_exit
                self._compare(step, self._written(exit_name))

    def leave(self, story: Story) -> None:
        """Nothing may be left over, and the books must balance (law 1)."""
        for exit_name in self._expected:
            if rows := self._written(exit_name):
                name = exit_name.partition(":")[0]
                raise TranscriptError(
                    f"{story.where}: '{story.name}' ends with {len(rows)} {name} rows that no step expected"
                    f" · wanted none left · add `expect {name}: …`, or end before they are written\n"
                    + _drawn(self._columns, [("surplus", row, ()) for row in rows])
                )
        if sum(self._exits().values()) != self._sent:
            raise TranscriptError(f"{story.where}: '{story.name}': {self._sent} payments sent, exits {self._exits()}")

    # ---- what happens

    def _send(self, step: Step) -> None:
        """Payments that are read in the same millisecond are one batch."""
        payments, clock = [], self._now
        for where, fields in zip(step.lines, step.content, strict=True):
            self._sent += 1
            arrives = Moment(fields.pop("arrives") or fields["at"])
            read = Moment(fields.pop("read") or arrives)
            if read < max(clock, arrives):
                raise TranscriptError(
                    f"{where}: got a payment that arrives at {arrives} and is read at {read} · wanted it read when it"
                    f" has arrived, and at {clock} or later, the story's clock · say when it comes: `arrives: …`, or"
                    " `read: …` for a slow reader"
                )
            clock = read
            moment = datetime.fromtimestamp(fields.pop("at") / 1000, UTC).isoformat(timespec="milliseconds")
            data = _encode({"event_id": f"e{self._sent}", **DEFAULTS, **fields, "event_time": moment})
            payments.append((read, data, int(arrives)))
        for read, together in groupby(payments, key=lambda payment: payment[0]):
            self._go_on(read, step.where)
            self._bucket.send([(data, arrives) for _, data, arrives in together], now_ms=read)
            self._schedule()

    def _go_on(self, to: int, where: str) -> None:
        if to < self._now:
            raise TranscriptError(
                f"{where}: got {Moment(to)} · wanted {self._now} or later, the story's clock · time does not go back"
            )
        while self._tick is not None and self._tick <= to:
            self._now, self._tick = Moment(max(self._now, self._tick)), None
            self._bucket.tick(self._now)
            self._schedule()
        self._now = Moment(to)

    def _advance(self, step: Step) -> None:
        latest = Moment(self._now - self._contract.lateness_ms - 1)
        if not self._watermark < step.content <= latest:
            raise TranscriptError(
                f"{step.where}: got {Moment(step.content)} · wanted at most {latest} (the clock, {self._now}, minus the"
                " lateness bound and 1 ms), and later than the watermark before · move the clock on first"
            )
        self._watermark = step.content
        self._bucket.watermark(step.content, self._now)
        self._schedule()

    def _restart(self, step: Step) -> None:
        """Timers are state too: one that was due meanwhile fires at once."""
        tick, self._tick = self._tick, None
        self._go_on(step.content, step.where)
        self._bucket, self._tick = self._bucket.restored(self._now), tick
        self._go_on(self._now, step.where)

    def _schedule(self) -> None:
        due = self._bucket.bucket.next_tick_ms(self._now)
        if due is not None and (self._tick is None or due < self._tick):
            self._tick = due

    # ---- what is expected

    def _written(self, exit_name: str) -> list[Row]:
        rows = self._bucket.out[exit_name]
        new, self._expected[exit_name] = rows[self._expected[exit_name] :], len(rows)
        return [_plain(row, self._columns) for row in new]

    def _compare(self, step: Step, got: list[Row]) -> None:
        wanted = [] if step.content == NOTHING else step.content
        compared = _matched(wanted, got)
        if all(verdict == "" for verdict, _, _ in compared):
            return
        counts = Counter(verdict for verdict, _, _ in compared)
        wrong = {verdict: counts[verdict] for verdict in ("wrong", "missing", "surplus") if counts[verdict]}
        raise TranscriptError(
            f"{step.where}: {step.action} at {self._now}: {', '.join(f'{n} {verdict}' for verdict, n in wrong.items())}"
            f"\n  why: {step.why}\n{_drawn(self._columns, compared)}"
            "\n  do: correct the window file, or the transcript if the rows that were got are the right ones"
        )

    def _compare_exits(self, step: Step) -> None:
        got = self._exits()
        wrong = [f"{name}: got {got[name]}, wanted {n}" for name, n in step.content.items() if got[name] != n]
        if wrong:
            raise TranscriptError(f"{step.where}: {step.action}: {' · '.join(wrong)}\n  why: {step.why}")

    def _exits(self) -> Counter[str]:
        """The books as they would be if the stream ended now; a copy of the bucket is asked, nothing changes."""
        copy = self._bucket.restored(self._now)
        copy.out = defaultdict(list)
        copy.end()
        return Counter(self._bucket.account()) + Counter(copy.account()) + Counter(self._bucket.rejects)


def _plain(row: Row, columns: tuple[str, ...]) -> Row:
    """A row as it left, in the columns of a transcript."""
    bounds = [row["window_start"], row["window_end"]]
    window = Window(_epoch_ms(datetime.fromisoformat(b) if isinstance(b, str) else b) for b in bounds)
    values = {**row, "window": window}
    return {name: _epoch_ms(v) if isinstance(v := values[name], datetime) else v for name in columns}


def _epoch_ms(moment: datetime) -> Moment:
    return Moment(round(moment.timestamp() * 1000))


def _matched(wanted: list[Row], got: list[Row]) -> list[tuple[str, Row, tuple[str, ...]]]:
    """(verdict, row, columns that differ): '' as wanted, 'missing', 'surplus', or a pair 'wrong' and 'wanted'."""
    left = list(got)
    compared: list[tuple[str, Row, tuple[str, ...]]] = []
    open_rows = []
    for row in wanted:
        same = next((other for other in left if not _differing(row, other)), None)
        if same is None:
            open_rows.append(row)
        else:
            left.remove(same)
            compared.append(("", row, ()))
    for row in open_rows:
        like = next((other for other in left if all(other[k] == row[k] for k in _KEY)), None)
        if like is None:
            compared.append(("missing", row, ()))
            continue
        left.remove(like)
        differing = _differing(row, like)
        compared += [("wrong", like, differing), ("wanted", row, differing)]
    compared += [("surplus", row, ()) for row in left]
    return sorted(compared, key=lambda entry: tuple(entry[1][k] for k in reversed(_KEY)))  # stable: pairs stay together


def _differing(wanted: Row, got: Row) -> tuple[str, ...]:
    """Columns whose values are not the same; a DOUBLE is, to 1e-9."""

    def same(a: Any, b: Any) -> bool:
        return math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) and isinstance(b, float) else a == b

    return tuple(name for name, value in wanted.items() if not same(value, got[name]))


def _drawn(columns: tuple[str, ...], rows: list[tuple[str, Row, tuple[str, ...]]]) -> str:
    """The rows under each other; a value that differs between >< marks."""
    table = Table("", *columns, box=None, pad_edge=False)
    for verdict, row, differing in rows:
        cells = [f">{_shown(row[name])}<" if name in differing else _shown(row[name]) for name in columns]
        table.add_row(verdict, *cells)
    text = StringIO()
    Console(file=text, width=250, color_system=None).print(table)
    return "\n".join(f"  {line.rstrip()}" for line in text.getvalue().rstrip().splitlines())


def _shown(value: Any) -> str:
    return "null" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)
