"""String functions of SQL on Arrow columns, equal to Flink's (characters are Unicode code points)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from operators.conversions import Unsupported, to_array
from operators.operands import Builder, Operand

_ONE_CHARACTER = r"[^\n\r\x{85}\x{2028}\x{2029}]"  # Java's dot


def _strings_only(name: str, operands: Sequence[Operand]) -> None:
    if not all(pa.types.is_string(operand.type) for operand in operands):
        raise Unsupported(f"{name} of {', '.join(str(operand.type) for operand in operands)}")


def _constant(operand: Operand, what: str) -> Any:
    if operand.constant is None or not operand.constant.is_valid:
        raise Unsupported(f"{what} that is not a constant")
    return operand.constant.as_py()


def like_pattern(pattern: str, escape: str | None = None) -> str:
    """The regular expression of an SQL LIKE pattern (RE2 syntax, the whole value)."""
    regex, characters = "", iter(pattern)
    for character in characters:
        if character == escape:
            regex += re.escape(next(characters, ""))
        else:
            regex += {"%": "(?s:.*)", "_": _ONE_CHARACTER}.get(character) or re.escape(character)
    return rf"\A{regex}\z"


def _like(_result: pa.DataType, operands: Sequence[Operand]) -> Callable[..., Any]:
    _strings_only("LIKE", operands)
    escape = _constant(operands[2], "a LIKE escape") if len(operands) > 2 else None
    regex = like_pattern(_constant(operands[1], "a LIKE pattern"), escape)
    return lambda value, *_constants: pc.match_substring_regex(value, regex)


def _change_case(name: str, _result: pa.DataType, operands: Sequence[Operand]) -> Callable[..., Any]:
    """UPPER and LOWER with the full Unicode mapping ('ß' to 'SS'), as Java."""
    _strings_only(name, operands)
    ascii_case, change = (pc.ascii_upper, str.upper) if name == "UPPER" else (pc.ascii_lower, str.lower)

    def kernel(value: Any) -> Any:
        if pc.all(pc.string_is_ascii(value)).as_py() is not False:
            return ascii_case(value)
        return pa.array([None if v is None else change(v) for v in to_array(value).to_pylist()], pa.string())

    return kernel


def _length(result: pa.DataType, operands: Sequence[Operand]) -> Callable[..., Any]:
    _strings_only("CHAR_LENGTH", operands)
    return lambda value: pc.utf8_length(value).cast(result)


def _substring(_result: pa.DataType, operands: Sequence[Operand]) -> Callable[..., Any]:
    """SUBSTRING(text FROM start [FOR length]); start 0 means 1 in Flink."""
    _strings_only("SUBSTRING", operands[:1])
    start = _constant(operands[1], "a SUBSTRING position")
    length = _constant(operands[2], "a SUBSTRING length") if len(operands) > 2 else None
    if start < 0 or (length is not None and length < 0):
        raise Unsupported("SUBSTRING with a negative position or length")
    first = max(start, 1) - 1

    def kernel(value: Any, *_constants: Any) -> Any:
        longest = pc.max(pc.utf8_length(to_array(value))).as_py() or 0  # Arrow reserves memory for stop - start
        return pc.utf8_slice_codeunits(
            value, first, max(first, longest if length is None else min(longest, first + length))
        )

    return kernel


def _trim(_result: pa.DataType, operands: Sequence[Operand]) -> Callable[..., Any]:
    """TRIM(BOTH | LEADING | TRAILING characters FROM text)."""
    side = _constant(operands[0], "a TRIM side")
    characters = _constant(operands[1], "TRIM of a character")
    _strings_only("TRIM", operands[1:])
    function = {"BOTH": pc.utf8_trim, "LEADING": pc.utf8_ltrim, "TRAILING": pc.utf8_rtrim}[side]
    return lambda _side, _characters, value: function(value, characters=characters)


def _concatenate(_result: pa.DataType, operands: Sequence[Operand]) -> Callable[..., Any]:
    """`||` and CONCAT: NULL if any part is."""
    _strings_only("CONCAT", operands)
    return lambda *values: pc.binary_join_element_wise(*values, "", null_handling="emit_null")


TEXT_FUNCTIONS: dict[str, Builder] = {
    "LIKE": _like,
    "UPPER": partial(_change_case, "UPPER"),
    "LOWER": partial(_change_case, "LOWER"),
    "CHAR_LENGTH": _length,
    "CHARACTER_LENGTH": _length,
    "SUBSTRING": _substring,
    "SUBSTR": _substring,
    "TRIM": _trim,
    "||": _concatenate,
    "CONCAT": _concatenate,
}
