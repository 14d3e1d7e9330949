"""Payments out of JSON, a batch at a time, as the contract says: columns of what fits, and a reason for what does not.

    records ──► UTF-8? ──► nested too deep? ──► msgspec (a Struct built from the contract) ──► fields ──► columns
                   └─────────────┴──────────────────────┴───────────────────────────────────────┴──► malformed

The common case is a few calls into C for the whole batch; Python looks at single records only to reject them. Of a JSON
field that is repeated in one record the last counts. Fields that the contract does not know are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.contract import Contract
from operators.event_fields import Booleans, field_of, kind_of

DEEPEST_NESTING: Final = 64
"""Levels of arrays and objects in one record. Stated, so that it does not depend on how much of the interpreter's stack
is free, which differs between the stream and a replay. Raising it far above 64 brings that back."""

_NOT_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # possessive: linear, whatever the record
_HALF_A_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_SLICE: Final = 500  # records that are turned from rows to columns at a time: the processor's cache holds them
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


@dataclass(frozen=True)
class Decoded:
    """The records of a batch that are payments, or nearly.

    Attributes:
        rows: int64[n], positions in the batch of the records below, ascending.
        values: per contract column the decoded values, n each.
        columns: per contract column an Arrow array, n each.
        fits: bool[n], False where a value does not fit its column.
    """

    rows: npt.NDArray[np.int64]
    values: Sequence[Sequence[Any]]
    columns: list[pa.Array]
    fits: Booleans


class EventDecoder:
    """Decodes records of one contract. Holds no state between batches."""

    def __init__(self, contract: Contract) -> None:
        self._fields = [field_of(column) for column in contract.columns]
        names = [f"f{at}" for at in range(len(self._fields))]  # a column's name need not be an identifier
        struct = msgspec.defstruct(
            "Payment",
            [
                (name, field.wire, field.default) if field.contract.nullable else (name, field.wire)
                for name, field in zip(names, self._fields, strict=True)
            ],
            rename=dict(zip(names, contract.names, strict=True)),
            kw_only=True,
            gc=False,
        )
        self._read = msgspec.json.Decoder(struct).decode
        self._read_loosely = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

    def decode(self, records: Sequence[bytes], texts: pa.BinaryArray) -> Decoded:
        """What can be read of `records`; `texts` holds the same bytes as an Arrow array."""
        readable = _readable(records, texts)
        chosen = records if readable is None else [records[at] for at in readable]
        values, failed = self._read_all(chosen)
        rows = np.arange(len(records)) if readable is None else np.asarray(readable, np.int64)
        if failed:
            rows = np.delete(rows, failed)
        fits = np.ones(len(rows), np.bool_)
        columns = []
        for field, decoded in zip(self._fields, values, strict=True):
            column, misfit = field.column(decoded)
            columns.append(column)
            if misfit is not None:
                fits &= ~misfit
        return Decoded(rows, values, columns, fits)

    def _read_all(self, records: Sequence[bytes]) -> tuple[list[list[Any]], list[int]]:
        """The values, by field, of the records that msgspec can read, and the positions of those that it cannot.

        After an error the slice holds what was read before it, and the map goes on behind the record at fault.
        """
        values: list[list[Any]] = [[] for _ in self._fields]
        failed: list[int] = []
        remaining = map(self._read, iter(records))
        at = 0
        while at < len(records):
            events: list[Any] = []
            try:
                events.extend(islice(remaining, _SLICE))
            except _UNREADABLE:
                failed.append(at + len(events))
                at += 1
            at += len(events)
            for field, more in zip(values, zip(*map(msgspec.structs.astuple, events), strict=True), strict=False):
                field.extend(more)  # none if no record could be read
        return values, failed

    def reason(self, record: bytes) -> str:
        """Why a record is malformed: the first field in the contract's order, or what is wrong with the whole."""
        try:
            record.decode()
        except UnicodeDecodeError as error:
            return f"not UTF-8: byte {error.start} is 0x{record[error.start]:02x}"
        if _depth(record) > DEEPEST_NESTING:
            return f"nested deeper than {DEEPEST_NESTING} levels"
        try:
            fields = self._read_loosely(record)
        except msgspec.ValidationError:
            return f"not a JSON object but {kind_of(record.lstrip())}"
        except _UNREADABLE as error:
            pair = "; an escape of half a character (lone surrogate)?" if _HALF_A_PAIR.search(record) else ""
            return f"not JSON: {error}{pair}"
        for field in self._fields:
            text = fields.get(field.contract.name)
            if problem := field.problem(None if text is None else bytes(text)):
                return problem
        return "a repeated field does not fit its column"  # the last one does, an earlier one did not


def _readable(records: Sequence[bytes], texts: pa.BinaryArray) -> list[int] | None:
    """Positions of the records that are UTF-8 and not nested too deep; None when all are."""
    unreadable = set(_too_deep(records, texts))
    try:
        texts.cast(pa.string())
    except pa.ArrowInvalid:
        unreadable.update(at for at, record in enumerate(records) if not (record.isascii() or _is_utf8(record)))
    return [at for at in range(len(records)) if at not in unreadable] if unreadable else None


def _is_utf8(record: bytes) -> bool:
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True


def _too_deep(records: Sequence[bytes], texts: pa.BinaryArray) -> list[int]:
    """Positions of the records nested deeper than DEEPEST_NESTING; looks closer only where as many brackets open."""
    _, offsets, data = texts.buffers()
    if data is None:
        return []
    characters = np.frombuffer(data, np.uint8)
    opens = (characters | 0x20) == ord("{")  # "[" is 0x5b, "{" is 0x7b
    starts = np.frombuffer(offsets, np.int32, len(records) + 1)
    first = starts[:-1][np.diff(starts) > 0]
    if np.count_nonzero(opens) - np.count_nonzero(opens[first]) < DEEPEST_NESTING:
        return []  # of all records together, besides the brackets that they begin with: flat payments, the usual case
    openings = np.diff(np.searchsorted(np.flatnonzero(opens), starts))
    suspects = np.flatnonzero(openings > DEEPEST_NESTING).tolist()
    return [at for at in suspects if _depth(records[at]) > DEEPEST_NESTING]


def _depth(record: bytes) -> int:
    """How deep arrays and objects are nested, whether or not the record is JSON."""
    brackets = np.frombuffer(_NOT_TEXT.sub(b"", record), np.uint8) | 0x20
    steps = (brackets == ord("{")).astype(np.int64) - (brackets == ord("}"))
    return int(steps.cumsum().max(initial=0))
