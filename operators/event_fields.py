"""One field of a payment: how its JSON value becomes an Arrow column, and what is wrong with a value that does not.

Every kind of field does the same two things. `column` turns the decoded values of a whole batch into one Arrow array,
and marks the values that do not fit (what the array holds there is of no account). `problem` says in words why one JSON
value does not fit; it is only asked about records that are rejected. A value fits or its record is malformed: nothing
is rounded or converted (but fractions of a second finer than a millisecond are cut off, as Flink's cast does).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from typing import Annotated, Any, ClassVar, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.contract import CUSTOMER_ID, EVENT_ID, Column

Booleans = npt.NDArray[np.bool_]

_KINDS: Final = {
    b'"': "a string",
    b"{": "an object",
    b"[": "an array",
    b"t": "a boolean",
    b"f": "a boolean",
    b"n": "null",
}
_SHOWN_CHARACTERS: Final = 64
_NO_TEXT: Final = pa.scalar(None, pa.string())


def kind_of(text: bytes) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(text[:1], "a number")


class Field:
    """STRING, BOOLEAN and DOUBLE: msgspec, strict, decides.

    Attributes:
        wire: what msgspec decodes the JSON value to.
        default: the decoded value of an absent field.
    """

    default: Any = None
    _kinds: ClassVar = {"STRING": (str, "a string"), "BOOLEAN": (bool, "a boolean"), "DOUBLE": (float, "a number")}

    def __init__(self, column: Column) -> None:
        self.contract = column
        self.wire: Any = self._wire() | None if column.nullable else self._wire()

    def column(self, values: Sequence[Any]) -> tuple[pa.Array, Booleans | None]:
        """The column of a batch of decoded values, and which of them do not fit; None when all do."""
        return pa.array(values, self.contract.arrow_type), None

    def problem(self, text: bytes | None) -> str | None:
        """Why a JSON value (None: the field is absent) does not fit, as quarantine shows it; None when it does.

        A value of a masked column is never shown.
        """
        if text is None or text == b"null":
            reason = None if self.contract.nullable else f"{'missing' if text is None else 'null'}, but NOT NULL"
        elif kind_of(text) != self._kind():
            reason = f"got {kind_of(text)}, wanted {self.contract.type}"
        else:
            reason = self._misfit(text)
        return None if reason is None else f"{self.contract.name}: {reason}"

    def _wire(self) -> Any:
        return self._kinds[self.contract.type][0]

    def _kind(self) -> str:
        return self._kinds[self.contract.type][1]

    def _misfit(self, text: bytes) -> str | None:
        """Why a value of the right JSON kind does not fit."""
        try:
            msgspec.json.decode(text, type=self._wire())
        except (msgspec.DecodeError, ValueError) as error:
            return f"{self._shown(text)} does not fit {self.contract.type} ({error})"
        return None

    def _shown(self, text: bytes) -> str:
        value = "the value" if self.contract.pii else text.decode(errors="replace")
        return value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"


class KeyField(Field):
    """A STRING that identifies something, so it must not be empty, and no longer than its store takes.

    The features table's partition key is the customer: DynamoDB takes 1 to 2048 bytes of UTF-8 and refuses the rest,
    which would stop the sink at that record for ever. Raising the limit here breaks that sink.
    """

    _bytes_allowed: ClassVar = {CUSTOMER_ID: (1, 2_048), EVENT_ID: (1, 1 << 31)}

    def column(self, values: Sequence[Any]) -> tuple[pa.Array, Booleans | None]:
        """The column, and which values are empty or too long."""
        shortest, longest = self._bytes_allowed[self.contract.name]
        keys = pa.array(values, pa.string())
        length = pc.binary_length(keys).to_numpy()
        misfit = (length < shortest) | (length > longest)
        return keys, misfit

    def _misfit(self, text: bytes) -> str | None:
        reason = super()._misfit(text)
        if reason is None:
            shortest, longest = self._bytes_allowed[self.contract.name]
            length = len(msgspec.json.decode(text, type=str).encode())
            if not shortest <= length <= longest:
                reason = f"{length} bytes; a key has at least {shortest} and at most {longest}"
        return reason


class IntegerField(Field):
    """INT and BIGINT: a JSON integer in range; 1.0 and 1e0 are no integers."""

    _bits: ClassVar = {"INT": 32, "BIGINT": 64}

    def _wire(self) -> Any:
        half = 1 << (self._bits[self.contract.type] - 1)
        return Annotated[int, msgspec.Meta(ge=-half, le=half - 1)]

    def _kind(self) -> str:
        return "a number"


class DecimalField(Field):
    """DECIMAL(p, s): judged by the text of the JSON number, never through a float.

    12.340 and 1234e-2 fit DECIMAL(4, 2), since nothing is lost; 12.345 and 123.40 do not.
    """

    default = msgspec.Raw(b"null")

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.wire = msgspec.Raw  # holds a null too; `Raw | None` would give None for it
        kind = column.arrow_type
        self._exact = Context(prec=kind.precision, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[Inexact, InvalidOperation])
        self._unit = Decimal((0, (1,), -kind.scale))
        left, right = kind.precision - kind.scale, kind.scale
        integral = f"(0|[1-9][0-9]{{0,{left - 1}}})" if left else "0"
        fraction = f"(\\.[0-9]{{1,{right}}})?" if right else ""
        self._plain = f"^-?{integral}{fraction}\\z"

    def column(self, values: Sequence[msgspec.Raw]) -> tuple[pa.Array, Booleans | None]:
        """The column: plain numbers in one cast; Python looks at the odd ones (exponents, more digits, other kinds).

        Arrow never sees those: its cast crashes on 1e-999999999.
        """
        texts = _texts(values)
        plain = pc.match_substring_regex(texts, self._plain)
        if pc.all(plain, min_count=0).as_py():
            return texts.cast(self.contract.arrow_type), None
        odd = np.flatnonzero(~plain.to_numpy(zero_copy_only=False))
        misfit = np.zeros(len(values), np.bool_)
        numbers: list[Decimal | None] = []
        for at in odd.tolist():
            text = bytes(values[at])
            number = self._exactly(text)
            misfit[at] = number is None and not (text == b"null" and self.contract.nullable)
            numbers.append(number)
        column = pc.if_else(plain, texts, _NO_TEXT).cast(self.contract.arrow_type)
        column = pc.replace_with_mask(column, pc.invert(plain), pa.array(numbers, self.contract.arrow_type))
        return column, misfit

    def _wire(self) -> Any:
        return msgspec.Raw

    def _kind(self) -> str:
        return "a number"

    def _misfit(self, text: bytes) -> str | None:
        return None if self._exactly(text) is not None else f"{self._shown(text)} does not fit {self.contract.type}"

    def _exactly(self, text: bytes) -> Decimal | None:
        """The number at the column's scale, if it is one and nothing is lost."""
        if kind_of(text) != "a number":
            return None
        if not text.lower().partition(b"e")[0].strip(b"-0."):
            return Decimal(0)  # whatever the exponent, which can be larger than Decimal takes
        try:
            return Decimal(text.decode()).quantize(self._unit, context=self._exact)
        except (Inexact, InvalidOperation):
            return None


class TimestampField(Field):
    """TIMESTAMP_LTZ(3): an RFC 3339 time with offset, years 1 to 9999, to the millisecond.

        2026-01-31T12:00:30Z      2026-01-31T12:00:30.25+01:00      2026-01-31T12:00:30.999999999Z (cut to .999)

    Not taken: a time without offset, a space or small letters for T and Z, an offset without colon, no seconds,
    24:00:00, a leap second, the basic format (20260131T120030Z), a number.
    """

    _epoch = datetime(1970, 1, 1, tzinfo=UTC)
    _shape = (
        r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
        r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
    )
    _exists = (
        r"^([0-9]{4}-([0-9]{2}-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
        r"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)T"
    )
    _first_ms = -62_135_596_800_000  # 0001-01-01T00:00:00Z
    _last_ms = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

    def column(self, values: Sequence[str | None]) -> tuple[pa.Array, Booleans | None]:
        """The column, in a cast of all that have the right shape."""
        texts = pa.array(values, pa.string())
        right = pc.match_substring_regex(texts, self._shape + r"\z")
        if not pc.all(right, min_count=0).as_py():
            texts = pc.if_else(right, texts, _NO_TEXT)
        microseconds = self._microseconds(texts)
        known = microseconds.is_valid().to_numpy(zero_copy_only=False)
        number = microseconds.view(pa.int64()).fill_null(0).to_numpy() // 1_000
        known &= (number >= self._first_ms) & (number <= self._last_ms)
        if known.all():
            return pa.array(number).cast(self.contract.arrow_type), None
        misfit = ~known & right.is_valid().to_numpy(zero_copy_only=False)  # invalid here: null or absent
        return pa.array(number, mask=~known).cast(self.contract.arrow_type), misfit

    def _wire(self) -> Any:
        return str

    def _kind(self) -> str:
        return "a string"

    def _misfit(self, text: bytes) -> str | None:
        if super()._misfit(text) is None:
            value = msgspec.json.decode(text, type=str)
            if not re.fullmatch(self._shape[1:], value):
                return f"{self._shown(text)} is not a time like 2026-01-31T12:00:30.250Z or …+01:00"
            moment = self._millisecond(value)
            if moment is not None and self._first_ms <= moment <= self._last_ms:
                return None
        return f"{self._shown(text)} does not exist or lies outside the years 1 to 9999"

    def _microseconds(self, texts: pa.Array) -> pa.Array:
        """Epoch microseconds of times of the right shape; NULL for a day that no calendar has."""
        try:
            return texts.cast(pa.timestamp("us", "UTC"))
        except pa.ArrowInvalid:  # such a day, or more digits of a fraction than the six that Arrow parses
            cut = pc.replace_substring_regex(texts, r"(\.[0-9]{6})[0-9]+", r"\1")
            return pc.if_else(pc.match_substring_regex(cut, self._exists), cut, _NO_TEXT).cast(
                pa.timestamp("us", "UTC")
            )

    def _millisecond(self, text: str) -> int | None:
        try:
            return (datetime.fromisoformat(text) - self._epoch) // timedelta(milliseconds=1)
        except ValueError:
            return None


def _texts(values: Sequence[msgspec.Raw]) -> pa.Array:
    """The JSON texts of a column as an Arrow string array."""
    joined = b"\xff".join(values)  # a byte that UTF-8 does not have
    ends = np.flatnonzero(np.frombuffer(joined, np.uint8) == 0xFF)
    offsets = np.zeros(len(values) + 1, np.int32)
    offsets[1:-1] = ends - np.arange(len(ends))
    offsets[-1] = len(joined) - len(ends)
    data = joined.replace(b"\xff", b"")
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(data))


def field_of(column: Column) -> Field:
    """How a column of the contract is read."""
    if column.name in (CUSTOMER_ID, EVENT_ID):
        return KeyField(column)
    if column.type.startswith("DECIMAL"):
        return DecimalField(column)
    kinds = {"INT": IntegerField, "BIGINT": IntegerField, "TIMESTAMP_LTZ(3)": TimestampField}
    return kinds.get(column.type, Field)(column)
