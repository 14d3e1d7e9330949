"""The ceiling of the language: one Python process, one loop, dictionaries; no engine, no checkpoint, no second core.

python python_loop.py LINES OUTPUT

Exact money (cents), exact distinct merchants (sets), duplicates known for as long as one can come, and final rows as
soon as the arrival has passed a window's end by the lateness bound. Payments are counted in slices of 5 seconds,
windows are merged from slices and longer windows from shorter ones, so that nothing is counted six times:

    |- 5 s -|- 5 s -|- 5 s -|- 5 s -|- 5 s -|- 5 s -|  six slices are a card_velocity window, twelve a minute;
    five minutes are 5 min, three of them 15 min
"""

from __future__ import annotations

import gc
import sys
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LATENESS_MS, FUTURE_MS = 120_000, 5_000
SLICE, MINUTE = 5_000, 60_000
KNOWN_FOR_MS = LATENESS_MS + FUTURE_MS  # a duplicate that comes later is too late anyway
FILE_ROWS = 50_000

Counted = list  # [payments, cents, largest in cents, merchants, cents online or None]
Counts = dict[str, Counted]  # by customer


class Payment(msgspec.Struct, gc=False):
    """What the windows need; a line that does not fit is malformed."""

    arrival_ms: int
    event_id: str
    customer_id: str
    merchant_id: str
    amount: float
    event_time: datetime
    channel: str | None = None


def main(lines: str, output: str) -> None:
    with Path(lines).open("rb") as payments:
        count(payments, Rows(Path(output)))


def count(lines: Iterable[bytes], rows: Rows) -> None:
    slices: dict[int, Counts] = defaultdict(dict)
    windows = Windows(slices, rows)
    known: set[tuple[str, str]] = set()
    known_before: set[tuple[str, str]] = set()
    decode = msgspec.json.Decoder(Payment).decode
    due = rotate_at = latest = 0
    for line in lines:
        try:
            payment = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        arrival = payment.arrival_ms
        time = int(payment.event_time.timestamp() * 1000 + 0.5)
        if not -FUTURE_MS <= arrival - time <= LATENESS_MS:
            continue
        if arrival >= due:
            due = windows.close(arrival - LATENESS_MS) + LATENESS_MS
        if arrival >= rotate_at:
            known_before, known = known, set()
            rotate_at = arrival + KNOWN_FOR_MS
        customer = payment.customer_id
        identity = (customer, payment.event_id)
        if identity in known or identity in known_before:
            continue
        known.add(identity)
        latest = max(latest, time)
        cents = round(payment.amount * 100)
        ecom = cents if payment.channel == "ecom" else None
        counts = slices[time // SLICE]
        counted = counts.get(customer)
        if counted is None:
            counts[customer] = [1, cents, cents, {payment.merchant_id}, ecom]
        else:
            counted[3].add(payment.merchant_id)
            add(counted, 1, cents, cents, ecom)
    windows.close(latest + 15 * MINUTE)
    rows.write_all()


def add(counted: Counted, payments: int, cents: int, largest: int, ecom: int | None) -> None:
    counted[0] += payments
    counted[1] += cents
    counted[2] = max(counted[2], largest)
    if ecom is not None:
        counted[4] = ecom + (counted[4] or 0)


class Windows:
    """Closes windows in the order of their ends, and forgets what none of the later ones needs."""

    def __init__(self, slices: dict[int, Counts], rows: Rows) -> None:
        self.slices, self.rows = slices, rows
        self.minutes: dict[int, Counts] = {}
        self.fives: dict[int, Counts] = {}
        self.end = 0  # of the next window

    def close(self, until: int) -> int:
        """Write all windows that end by `until`; returns the end of the next one."""
        self.end = self.end or until // SLICE * SLICE + SLICE  # the first payment: none is older than this
        while self.end <= until:
            self._close_at(self.end)
            self.end += SLICE
        return self.end

    def _close_at(self, end: int) -> None:
        slices, last = self.slices, end // SLICE
        self.rows.add("card_velocity", end, 30_000, merged(slices[n] for n in range(last - 6, last) if n in slices))
        if end % MINUTE == 0:
            self.minutes[end] = merged(slices[n] for n in range(last - 12, last) if n in slices)
            self.rows.add("customer_spend_1m", end, MINUTE, self.minutes[end])
            for old in [n for n in slices if n < last - 6]:
                del slices[old]
        if end % (5 * MINUTE) == 0:
            self.fives[end] = merged(self.minutes.values())
            self.minutes.clear()
            self.rows.add("customer_spend_5m", end, 5 * MINUTE, self.fives[end])
        if end % (15 * MINUTE) == 0:
            self.rows.add("customer_spend_15m", end, 15 * MINUTE, merged(self.fives.values()))
            self.fives.clear()


def merged(parts: Iterable[Counts]) -> Counts:
    """One count of several; the parts stay as they are."""
    whole: Counts = {}
    for part in parts:
        for customer, (payments, cents, largest, merchants, ecom) in part.items():
            counted = whole.get(customer)
            if counted is None:
                whole[customer] = [payments, cents, largest, merchants, ecom]
                continue
            counted[3] = counted[3] | merchants
            add(counted, payments, cents, largest, ecom)
    return whole


class Rows:
    """Final rows on their way to Parquet: a file for some ten thousand rows of a feature set and an hour."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.waiting: dict[str, list[pa.Table]] = defaultdict(list)
        self.files = 0

    def add(self, feature_set: str, end: int, size: int, counts: Counts) -> None:
        if not counts:
            return
        folder = f"feature_set={feature_set}/{datetime.fromtimestamp(end / 1000, UTC):dt=%Y-%m-%d/hour=%H}"
        self.waiting[folder].append(table(feature_set == "card_velocity", end, size, counts))
        if sum(waiting.num_rows for waiting in self.waiting[folder]) >= FILE_ROWS:
            self._write(folder)

    def write_all(self) -> None:
        for folder in list(self.waiting):
            self._write(folder)

    def _write(self, folder: str) -> None:
        (self.output / folder).mkdir(parents=True, exist_ok=True)
        rows = pa.concat_tables(self.waiting.pop(folder))
        pq.write_table(rows, self.output / folder / f"part-{self.files}.parquet", compression="zstd")
        self.files += 1


def table(is_velocity: bool, end: int, size: int, counts: Counts) -> pa.Table:
    payments, cents, largest, merchants, ecom = zip(*counts.values(), strict=True)
    number, total = np.array(payments), np.array(cents)
    columns = {
        "customer_id": pa.array(counts),
        "window_start": pa.array(np.full(len(counts), end - size, "datetime64[ms]")),
        "window_end": pa.array(np.full(len(counts), end, "datetime64[ms]")),
        "tx_count": number,
        "amount_sum": decimal(total, 2),
        "amount_max": decimal(np.array(largest), 2),
        "merchant_count": pa.array([len(names) for names in merchants], pa.int64()),
        "revision": number,
    }
    if is_velocity:  # the mean in millionths, rounded half away from zero
        columns["amount_avg"] = decimal(np.sign(total) * ((abs(total) * 20_000 + number) // (2 * number)), 6)
    else:
        missing = np.array([value is None for value in ecom])
        columns["ecom_amount_sum"] = decimal(np.array([value or 0 for value in ecom]), 2, missing)
    return pa.table(columns)


def decimal(units: np.ndarray, digits: int, missing: np.ndarray | None = None) -> pa.Array:
    """Whole numbers of the last digit as DECIMAL: 128 bits, the upper half repeats the sign."""
    wide = np.stack([units, units >> 63], axis=1).astype("<i8")
    valid = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.decimal128(38, digits), len(units), [valid, pa.py_buffer(wide.tobytes())])


if __name__ == "__main__":
    print("ready", flush=True)
    gc.disable()  # nothing here points back
    main(*sys.argv[1:3])
