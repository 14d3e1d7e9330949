"""A second opinion on one record, slowly: Python's own json, decimal and datetime against a contract.

Shares no code with the gate, only the contract's names and types. `judge` says what the event's columns must hold, or
None for a malformed record.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from operators.contract import Column, Contract

DEEPEST = 64
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:[0-5]\d)", re.ASCII)
_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999  # years 1 to 9999


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def judge(record: bytes, contract: Contract) -> dict[str, Any] | None:
    """The event's columns by name (times in epoch ms, numbers exact), or None where the record is malformed."""
    try:
        text = record.decode()
        if _depth(text) > DEEPEST:
            return None
        pairs = json.loads(text, object_pairs_hook=_pairs, parse_int=Number, parse_float=Number, parse_constant=_refuse)
        if not isinstance(pairs, tuple):
            return None
        if _HALF_A_PAIR.search(text):
            json.dumps(pairs, ensure_ascii=False).encode()  # a lone surrogate, wherever it is, is no text
        return {column.name: _column(column, pairs) for column in contract.columns}
    except (ValueError, ArithmeticError, RecursionError):
        return None


def _pairs(pairs: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """An object, with its repetitions; a tuple, so that it is no array."""
    return tuple(pairs)


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _depth(text: str) -> int:
    """How deep arrays and objects are nested: character by character."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    depth = deepest = 0
    inside = escaped = False
    for character in text:
        if inside:
            escaped, inside = character == "\\" and not escaped, character != '"' or escaped
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _column(column: Column, pairs: tuple[tuple[str, Any], ...]) -> Any:
    """The last of a repeated field counts; the others must be of its JSON kind, unless it is a DECIMAL."""
    given = [value for name, value in pairs if name == column.name] or [None]
    if not column.type.startswith("DECIMAL"):
        for value in given:
            _of_json_kind(column, value)
    value = _of_json_kind(column, given[-1])
    if value is None:
        return None
    if column.type == "STRING":
        return _key(column, value)
    if column.type == "TIMESTAMP_LTZ(3)":
        return _time(value)
    return _decimal(value, *map(int, re.findall(r"\d+", column.type))) if type(value) is Number else value


def _of_json_kind(column: Column, value: Any) -> Any:
    """The value, a DOUBLE or whole number as such; one that JSON tells apart from the column's type is an error."""
    if value is None:
        if not column.nullable:
            raise ValueError(column.name)
        return None
    if column.type == "BOOLEAN":
        return _of_kind(value, bool)
    if column.type in ("STRING", "TIMESTAMP_LTZ(3)"):
        return _of_kind(value, str)
    return _number(column.type, _of_kind(value, Number))


def _of_kind(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(value)
    return value


def _key(column: Column, text: str) -> str:
    longest = {"customer_id": 2_048, "event_id": 2**31}.get(column.name)
    if longest is not None and not 1 <= len(text.encode()) <= longest:
        raise ValueError(column.name)
    return text


def _number(kind: str, text: str) -> Any:
    if kind == "DOUBLE":
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError(text)
        return number
    if kind in ("INT", "BIGINT"):
        half = 2 ** (31 if kind == "INT" else 63)
        if not re.fullmatch(r"-?[0-9]{1,20}", text) or not -half <= int(text) < half:
            raise ValueError(text)
        return int(text)
    return text


def _decimal(text: str, precision: int, scale: int) -> Decimal:
    """Exactly the number, if it has at most `scale` digits behind the point and `precision` in all."""
    sign, digits, fraction, exponent = re.fullmatch(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", text).groups()
    digits, places = digits + (fraction or ""), len(fraction or "")
    stripped = digits.strip("0")
    if not stripped:
        return Decimal(0)
    trailing = len(digits) - len(digits.rstrip("0"))
    if len(exponent or "") > 18 or len(stripped) > precision:
        raise ValueError(text)
    power = int(exponent or 0) - places + trailing  # the value is stripped * 10 ** power
    if power < -scale or len(stripped) + power > precision - scale:
        raise ValueError(text)
    with localcontext(prec=100):
        return Decimal(sign + stripped).scaleb(power)


def _time(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    moment = (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
    if not _FIRST <= moment <= _LAST:
        raise ValueError(text)
    return moment
