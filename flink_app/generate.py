"""Payments of a synthetic bank, with fraud bursts and every kind of trouble, and the truth about each record.

    for chunk in payments(seed=7, events=100_000, customers=2_000, rate=2_000, start_ms=START_MS):
        chunk.records[i], chunk.customers[i], chunk.send_offsets_ms[i], EXITS[chunk.exits[i]]

Everything is a function of the arguments: the same seed gives the same bytes. A payment's event time is relative to
the moment it is meant to be sent (start_ms + send offset); with L = 120 s:

    event time - send time    -780 s … -130 s   -75 s … -3 s   -0.8 s … 0   +30 s … +120 s
    expected exit             too_late          accepted       accepted     future

A duplicate is sent again up to 20 s after the first time (so at most 95 s late). So the truth holds as long as the
sender is less than SLIP_TOLERANCE_MS behind its plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXITS = ("accepted", "duplicate", "malformed", "future", "too_late")
ACCEPTED, DUPLICATE, MALFORMED, FUTURE, TOO_LATE = range(5)
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, for files: reproducible bytes
LATENESS_MS = 120_000
SLIP_TOLERANCE_MS = 20_000
CHUNK = 10_000

_ON_TIME_MS = (0, 800)
_LATE_MS = (3_000, 75_000)
_TOO_LATE_MS = (LATENESS_MS + 10_000, LATENESS_MS + 660_000)
_FUTURE_MS = (30_000, 120_000)
_RESEND_WITHIN_MS = 20_000
_BURST_MS = 30_000
_BURST_WEIGHTS = np.array([0.5, 0.3, 0.2])  # three customers are robbed at any time, not equally fast
MERCHANTS = 20_000
_OFFSETS = (("Z", 0), ("+01:00", 3_600_000), ("-05:00", -18_000_000))  # how a time may be written

_CURRENCIES = np.array(['"EUR"', '"EUR"', '"EUR"', '"USD"', '"GBP"', "null"], object)
_COUNTRIES = np.array(['"DE"', '"DE"', '"FR"', '"NL"', '"US"', '"GB"', "null"], object)
_TAILS = np.array(  # channel, and what comes with it; an absent field and a null one mean the same
    [
        '"channel":"ecom","card_present":false',
        '"channel":"ecom","card_present":false,"three_ds":true',
        '"channel":"pos","card_present":true',
        '"channel":"pos","card_present":true,"terminal":"T-17"',
        '"channel":"atm","card_present":true',
        '"card_present":null',
    ],
    object,
)
_ECOM_TAILS = 2

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """Which part of all records is not simply on time; each in [0, 1], together at most 1."""

    duplicates: float = 0.02
    late: float = 0.05
    too_late: float = 0.005
    malformed: float = 0.005
    future: float = 0.002

    def __post_init__(self) -> None:
        values = [getattr(self, field.name) for field in fields(self)]
        if min(values) < 0 or sum(values) > 1:
            raise ValueError(f"shares: got {values} · wanted each at least 0, together at most 1")


@dataclass
class Truth:
    """How many records must leave the job by which exit."""

    accepted: int = 0
    duplicate: int = 0
    malformed: int = 0
    future: int = 0
    too_late: int = 0

    def add(self, chunk: Chunk) -> None:
        """Count a chunk's records too."""
        for name, count in zip(EXITS, np.bincount(chunk.exits, minlength=len(EXITS)).tolist(), strict=True):
            setattr(self, name, getattr(self, name) + count)

    @property
    def records(self) -> int:
        """All of them: law 1."""
        return sum(getattr(self, name) for name in EXITS)


@dataclass(frozen=True)
class Chunk:
    """Up to CHUNK records in the order of sending.

    Attributes:
        records: payments as JSON, or what was left of it.
        customers: partition key of each record.
        send_offsets_ms: when it is sent, after the start of the stream; ascending.
        exits: index into EXITS.
    """

    records: list[bytes]
    customers: list[str]
    send_offsets_ms: Ints
    exits: NDArray[np.int8]

    def head(self, count: int) -> Chunk:
        """The first `count` records, or all."""
        return Chunk(self.records[:count], self.customers[:count], self.send_offsets_ms[:count], self.exits[:count])


def payments(
    *,
    seed: int,
    events: int,
    customers: int,
    rate: float,
    start_ms: int = START_MS,
    shares: Shares | None = None,
    merchants: int = MERCHANTS,
) -> Iterator[Chunk]:
    """All records of a run, in the order of sending, `rate` a second.

    Args:
        seed: any integer >= 0.
        events: records in all, trouble included.
        customers: at least 1; how often each one pays falls as in a power law.
        rate: records a second, evenly spaced; decides event times too.
        start_ms: epoch milliseconds of send offset 0.
        shares: kinds of trouble.
        merchants: at least 1; a customer pays mostly at a few of them, a thief at any.
    """
    bank = _Bank(seed, customers, rate, start_ms, shares or Shares(), merchants)
    for number in range(-(-events // CHUNK)):
        yield bank.chunk(number).head(events - number * CHUNK)


class _Bank:
    """The customers, and the memory of what was sent lately."""

    def __init__(self, seed: int, customers: int, rate: float, start_ms: int, shares: Shares, merchants: int) -> None:
        if seed < 0 or customers < 1 or rate <= 0 or merchants < 1:
            raise ValueError(
                f"got seed {seed}, {customers} customers, rate {rate:g}, {merchants} merchants"
                " · wanted >= 0, >= 1, > 0, >= 1"
            )
        self.seed, self.rate, self.start_ms, self.shares, self.merchants = seed, rate, start_ms, shares, merchants
        self.names = np.array([f"c{number:06d}" for number in range(customers)], object)
        weights = 1 / (np.arange(customers) + 10) ** 0.8
        self.cumulative = np.cumsum(weights) / weights.sum()
        self.burst_share = min(0.05, 3 * 100 / (rate * _BURST_MS / 1000))  # some 100 payments in 30 s for each victim
        self.memory = max(1, int(rate * _RESEND_WITHIN_MS / 1000))  # in records
        self.sent: list[bytes] = []
        self.sent_customers: list[str] = []
        self.sent_accepted = np.zeros(0, bool)

    def chunk(self, number: int) -> Chunk:
        size = CHUNK
        random = np.random.default_rng((self.seed, number))
        index = np.arange(size) + number * CHUNK
        offsets: Ints = (index * 1000 / self.rate).astype(np.int64)
        exits, lags = self._fates(random, size)
        origin = self._origins(random, exits)
        customer, burst = self._payers(random, offsets)
        records = self._render(random, index, self.start_ms + offsets - lags, customer, burst)
        names: list[str] = self.names[customer].tolist()
        for at in np.flatnonzero(exits == MALFORMED).tolist():
            records[at] = _break(records[at], _BREAKS[int(random.integers(len(_BREAKS)))])
        kept = len(self.sent)
        everything, everyone = self.sent + records, self.sent_customers + names
        for at in np.flatnonzero(exits == DUPLICATE).tolist():
            everything[kept + at] = records[at] = everything[origin[at]]
            everyone[kept + at] = names[at] = everyone[origin[at]]
        self.sent, self.sent_customers = everything[-self.memory :], everyone[-self.memory :]
        self.sent_accepted = np.concatenate([self.sent_accepted, exits == ACCEPTED])[-self.memory :]
        return Chunk(records, names, offsets, exits)

    def _fates(self, random: np.random.Generator, size: int) -> tuple[NDArray[np.int8], Ints]:
        """Expected exit of each record, and by how many milliseconds its event time is behind the sending."""
        shares = self.shares
        kinds = [  # (share, exit, lag)
            (shares.duplicates, DUPLICATE, _ON_TIME_MS),
            (shares.malformed, MALFORMED, _ON_TIME_MS),
            (shares.future, FUTURE, (-_FUTURE_MS[1], -_FUTURE_MS[0])),
            (shares.too_late, TOO_LATE, _TOO_LATE_MS),
            (shares.late, ACCEPTED, _LATE_MS),
            (1.0, ACCEPTED, _ON_TIME_MS),
        ]
        bounds = np.cumsum([share for share, _, _ in kinds])
        kind = np.searchsorted(bounds, random.random(size), side="right").clip(max=len(kinds) - 1)
        low, high = (np.array([lag[end] for _, _, lag in kinds])[kind] for end in (0, 1))
        return np.array([exit_ for _, exit_, _ in kinds], np.int8)[kind], random.integers(low, high, endpoint=True)

    def _origins(self, random: np.random.Generator, exits: NDArray[np.int8]) -> Ints:
        """For each duplicate the place of its original in memory + chunk; one without becomes an ordinary payment."""
        kept = len(self.sent_accepted)
        place = np.arange(kept + len(exits))
        original = np.concatenate([self.sent_accepted, exits == ACCEPTED])
        before = np.maximum.accumulate(np.where(original, place, -1))
        earliest = np.maximum(place[kept:] - self.memory, 0)
        origin: Ints = before[random.integers(earliest, np.maximum(place[kept:], 1))]
        lost = (origin < earliest) & (exits == DUPLICATE)
        exits[lost] = ACCEPTED  # no earlier payment within reach
        return origin

    def _payers(self, random: np.random.Generator, offsets: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Customer number of each payment, and whether it belongs to a burst."""
        size = len(offsets)
        customer = np.searchsorted(self.cumulative, random.random(size)).clip(max=len(self.names) - 1)
        burst = random.random(size) < self.burst_share
        slot = offsets // _BURST_MS
        rank = np.searchsorted(np.cumsum(_BURST_WEIGHTS), random.random(size)).clip(max=len(_BURST_WEIGHTS) - 1)
        for one in np.unique(slot).tolist():
            draw = np.random.default_rng((self.seed, 1 << 32, one))  # the same victims in every chunk of the slot
            victims = draw.integers(len(self.names), size=len(_BURST_WEIGHTS))
            here = burst & (slot == one)
            customer[here] = victims[rank[here]]
        return customer, burst

    def _render(
        self, random: np.random.Generator, index: Ints, event_times_ms: Ints, customer: Ints, burst: NDArray[np.bool_]
    ) -> list[bytes]:
        """The JSON of each payment."""
        size = len(index)
        cents = np.where(burst, random.integers(50, 1_000, size), random.lognormal(8.0, 1.1, size).astype(np.int64) + 1)
        cents = cents.clip(max=500_000)
        merchant = np.where(burst, random.integers(self.merchants, size=size), random.zipf(1.3, size) % self.merchants)
        tail = np.where(burst, random.integers(_ECOM_TAILS, size=size), random.integers(len(_TAILS), size=size))
        written = np.searchsorted([0.9, 0.95], random.random(size), side="right")
        local = event_times_ms + np.array([shift for _, shift in _OFFSETS])[written]
        suffixes = np.array([suffix for suffix, _ in _OFFSETS], object)[written]
        times = np.datetime_as_string(local.astype("datetime64[ms]"))
        names = self.names[customer]
        has_mail = random.random(size) < 0.7
        columns: list[list[Any]] = [
            index.tolist(),
            names.tolist(),
            merchant.tolist(),
            (cents // 100).tolist(),
            (cents % 100).tolist(),
            times.tolist(),
            suffixes.tolist(),
            _CURRENCIES[random.integers(len(_CURRENCIES), size=size)].tolist(),
            _COUNTRIES[random.integers(len(_COUNTRIES), size=size)].tolist(),
            random.integers(1 << 40, size=size).tolist(),
            np.where(has_mail, '"email":"' + names + '@example.com",', "").tolist(),
            _TAILS[tail].tolist(),
        ]
        form = (
            f'{{"event_id":"p{self.seed:x}-%09d","customer_id":"%s","merchant_id":"m%05d","amount":%d.%02d,'
            '"event_time":"%s%s","currency":%s,"country":%s,"device_id":"d%010x",%s%s}'
        )
        return [(form % row).encode() for row in zip(*columns, strict=True)]


_BREAKS: tuple[tuple[bytes, bytes], ...] = (  # what stands in a good record, and what a broken one has instead
    (b'"event_id":"p', b'"event_id":null,"id":"p'),
    (b'"merchant_id":"m', b'"merchant":"m'),
    (b'"customer_id":"', b'"customer_id":17,"customer":"'),
    (b'"amount":', b'"amount":"12,50","sum":'),
    (b'"amount":', b'"amount":123456789012.00,"sum":'),
    (b'"amount":', b'"amount":0.125,"sum":'),
    (b'"event_time":"', b'"event_time":"2026-01-31T12:00:00","time":"'),
    (b'"event_time":"', b'"event_time":"2026-02-30T12:00:00Z","time":"'),
    (b'"event_time":"', b'"event_time":1767225600000,"time":"'),
    (b'"card_present":', b'"card_present":"yes","present":'),
    (b'"device_id":"', b'"device_id":["'),  # breaks the syntax
    (b"{", b"["),
    (b'"customer_id":"', b'"customer_id":"\xff\xfe'),  # no UTF-8
    (b'{"event_id"', b'not json at all {"event_id"'),
    (b"}", b""),  # cut off
)


def _break(record: bytes, change: tuple[bytes, bytes]) -> bytes:
    """A record that the contract does not take."""
    broken = record.replace(*change, 1)
    assert broken != record, change
    return broken
