"""Lengths of time as a person reads them."""

from __future__ import annotations

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def duration(milliseconds: int) -> str:
    """A length of time in the largest unit that gives a whole number: 900000 -> '15 min'."""
    for length, unit in _UNITS:
        if milliseconds >= length and milliseconds % length == 0:
            return f"{milliseconds // length} {unit}"
    return f"{milliseconds} ms"
