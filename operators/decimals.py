"""Exact DECIMAL columns on NumPy, with the rounding of Flink's `DecimalData`.

A decimal column is a vector of unscaled integers: 12.50 as DECIMAL(12, 2) is 1250. While the largest value fits,
the vector is int64; when a step would not fit, it becomes a vector of Python integers, slower and still exact.
Rounding is HALF_UP (away from zero at the half); a result with more digits than its type holds is NULL, as in Flink.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_INT64_LIMIT = 2**63
_EXACT_IN_DOUBLE = 2**53
_COMPACT_PRECISION = 18  # Flink keeps decimals up to this precision in a long
_DIVISION = Context(prec=38, rounding=ROUND_HALF_UP)  # Flink divides to 38 digits, then rounds to the scale
_WIDE = Context(prec=80, rounding=ROUND_HALF_UP)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Unscaled:
    """A decimal column: `digits / 10**scale`, shape (n,) or (1,) for a constant.

    Attributes:
        digits: int64, or object (Python integers) where int64 is too small; 0 where NULL.
        scale: digits behind the point.
        valid: False where NULL; None when nothing is NULL.
    """

    digits: npt.NDArray[Any]
    scale: int
    valid: Mask | None

    def to_scale(self, scale: int) -> Unscaled:
        """The same numbers with another scale, rounded HALF_UP when it is smaller."""
        if scale >= self.scale:
            return Unscaled(_times(self.digits, 10 ** (scale - self.scale)), scale, self.valid)
        return Unscaled(_divide_half_up(self.digits, 10 ** (self.scale - scale)), scale, self.valid)

    def truncated(self) -> Unscaled:
        """The whole numbers towards zero."""
        power = 10**self.scale
        digits = _wide(self.digits) if power >= _INT64_LIMIT else self.digits
        return Unscaled(np.sign(digits) * (abs(digits) // power), 0, self.valid)

    def floored(self) -> Unscaled:
        """The largest whole numbers that are not above."""
        power = 10**self.scale
        digits = _wide(self.digits) if power >= _INT64_LIMIT else self.digits
        return Unscaled(digits // power, 0, self.valid)

    def negated(self) -> Unscaled:
        """The numbers with the other sign."""
        return Unscaled(-self.digits, self.scale, self.valid)

    def absolute(self) -> Unscaled:
        """The numbers without sign."""
        return Unscaled(abs(self.digits), self.scale, self.valid)

    def plain_strings(self) -> pa.Array:
        """Text as `BigDecimal.toPlainString`: all digits of the scale, no exponent."""
        valid = np.broadcast_to(True if self.valid is None else self.valid, self.digits.shape)
        text = [_plain(int(d), self.scale) if v else None for d, v in zip(self.digits.tolist(), valid, strict=True)]
        return pa.array(text, pa.string())


def _plain(digits: int, scale: int) -> str:
    if scale == 0:
        return str(digits)
    whole, fraction = divmod(abs(digits), 10**scale)
    return f"{'-' if digits < 0 else ''}{whole}.{fraction:0{scale}d}"


def from_arrow(values: pa.Array | pa.Scalar) -> Unscaled:
    """Reads a decimal128 or integer column; a scalar becomes a vector of one."""
    array = pa.array([values.as_py()], values.type) if isinstance(values, pa.Scalar) else values
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    if pa.types.is_integer(array.type):
        filled = array if valid is None else array.fill_null(0)
        return Unscaled(filled.to_numpy(zero_copy_only=False).astype(np.int64, copy=False), 0, valid)
    low, high = _halves(array)
    if valid is not None:
        low, high = np.where(valid, low, 0), np.where(valid, high, 0)
    if bool((high == low >> 63).all()):
        return Unscaled(low, array.type.scale, valid)
    digits = high.astype(object) * 2**64 + low.view(np.uint64).astype(object)
    return Unscaled(digits, array.type.scale, valid)


def _halves(array: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    words = np.frombuffer(array.buffers()[1] or b"", np.int64)[2 * array.offset : 2 * (array.offset + len(array))]
    return np.ascontiguousarray(words[0::2]), np.ascontiguousarray(words[1::2])


def to_arrow(column: Unscaled, wanted: pa.DataType) -> pa.Array:
    """Writes a column as `wanted` (decimal128): rounded to its scale, NULL where it has too many digits."""
    column = column.to_scale(wanted.scale)
    digits, valid = column.digits, column.valid
    bound = 10**wanted.precision
    if _peak(digits) >= bound:
        fits = abs(_wide(digits)) < bound
        valid = fits.astype(bool) if valid is None else valid & fits.astype(bool)
        digits = np.where(valid, digits, 0)
    words = np.empty((len(digits), 2), np.int64)
    if digits.dtype == object:
        words[:, 0] = (digits & (2**64 - 1)).astype(np.uint64).view(np.int64)
        words[:, 1] = (digits >> 64).astype(np.int64)
    else:
        words[:, 0] = digits
        words[:, 1] = digits.astype(np.int64) >> 63
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(wanted, len(digits), [bitmap, pa.py_buffer(words)])


def to_double(column: Unscaled, precision: int) -> npt.NDArray[np.float64]:
    """Nearest doubles, as Flink takes them: a long over a power of ten up to precision 18, else `BigDecimal`'s."""
    if precision <= _COMPACT_PRECISION or (column.scale <= 22 and _peak(column.digits) < _EXACT_IN_DOUBLE):
        return column.digits.astype(np.float64) / 10.0**column.scale
    return np.array([float(Decimal(int(d)).scaleb(-column.scale, _WIDE)) for d in column.digits], np.float64)


def from_double(values: npt.NDArray[np.float64], valid: Mask | None, scale: int) -> Unscaled:
    """Decimals of the shortest text of each double (`BigDecimal.valueOf`), rounded to `scale`; NULL if not finite."""
    finite = np.isfinite(values) if valid is None else np.isfinite(values) & valid
    quantum = Decimal(1).scaleb(-scale)
    digits = [
        int(Decimal(repr(v)).quantize(quantum, ROUND_HALF_UP, Context(prec=400)).scaleb(scale, Context(prec=400)))
        for v in np.where(finite, values, 0.0).tolist()
    ]
    return Unscaled(_narrow(digits), scale, finite)


def add(left: Unscaled, right: Unscaled) -> Unscaled:
    """Exact sum at the larger scale."""
    return _aligned(left, right, np.add)


def subtract(left: Unscaled, right: Unscaled) -> Unscaled:
    """Exact difference at the larger scale."""
    return _aligned(left, right, np.subtract)


def multiply(left: Unscaled, right: Unscaled) -> Unscaled:
    """Exact product at the sum of the scales."""
    a, b = left.digits, right.digits
    if _peak(a) * _peak(b) >= _INT64_LIMIT:
        a, b = _wide(a), _wide(b)
    return Unscaled(np.asarray(a * b), left.scale + right.scale, both_valid(left.valid, right.valid))


def divide(left: Unscaled, right: Unscaled, scale: int) -> Unscaled:
    """Quotient to 38 digits, then to `scale`, HALF_UP both times; NULL where the divisor is 0 (Flink fails there)."""
    nonzero = right.digits != 0
    valid = both_valid(both_valid(left.valid, right.valid), None if nonzero.all() else nonzero.astype(bool))
    divisor = np.where(nonzero, right.digits, 1)
    shift = scale - left.scale + right.scale
    numerator = _times(left.digits, 10 ** max(shift, 0))
    denominator = _times(divisor, 10 ** max(-shift, 0))
    if object not in {numerator.dtype, denominator.dtype}:
        return Unscaled(_divide_half_up(numerator, denominator), scale, valid)
    pairs = np.broadcast(left.digits, divisor)
    return Unscaled(_narrow([_quotient(int(a), int(b), shift) for a, b in pairs]), scale, valid)


def _quotient(numerator: int, divisor: int, shift: int) -> int:
    quotient = _DIVISION.divide(Decimal(numerator).scaleb(shift, _WIDE), Decimal(divisor))
    return int(quotient.to_integral_value(ROUND_HALF_UP))


def remainder(left: Unscaled, right: Unscaled) -> Unscaled:
    """Remainder with the sign of the dividend; NULL where the divisor is 0 (Flink fails there)."""
    scale = max(left.scale, right.scale)
    a, b = left.to_scale(scale), right.to_scale(scale)
    nonzero = b.digits != 0
    valid = both_valid(both_valid(a.valid, b.valid), None if nonzero.all() else nonzero.astype(bool))
    rest = abs(a.digits) % abs(np.where(nonzero, b.digits, 1))
    return Unscaled(np.sign(a.digits) * rest, scale, valid)


def compare(left: Unscaled, right: Unscaled, test: Callable[..., npt.NDArray[Any]]) -> tuple[Mask, Mask | None]:
    """`test` (np.less and the like) at a common scale -> (truth, valid)."""
    scale = max(left.scale, right.scale)
    a, b = left.to_scale(scale), right.to_scale(scale)
    return test(a.digits, b.digits).astype(bool), both_valid(a.valid, b.valid)


def both_valid(left: Mask | None, right: Mask | None) -> Mask | None:
    """Valid where both sides are; None means all."""
    if left is None or right is None:
        return right if left is None else left
    return left & right


def _aligned(left: Unscaled, right: Unscaled, operation: Callable[..., npt.NDArray[Any]]) -> Unscaled:
    scale = max(left.scale, right.scale)
    a, b = left.to_scale(scale).digits, right.to_scale(scale).digits
    if _peak(a) + _peak(b) >= _INT64_LIMIT:
        a, b = _wide(a), _wide(b)
    return Unscaled(operation(a, b), scale, both_valid(left.valid, right.valid))


def _peak(digits: npt.NDArray[Any]) -> int:
    return max(int(digits.max()), -int(digits.min())) if len(digits) else 0


def _wide(digits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return digits.astype(object)


def _narrow(digits: list[int]) -> npt.NDArray[Any]:
    fits = all(-_INT64_LIMIT < value < _INT64_LIMIT for value in digits)
    return np.array(digits, np.int64 if fits else object)


def _times(digits: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    if factor == 1:
        return digits
    if _peak(digits) * factor >= _INT64_LIMIT or factor >= _INT64_LIMIT:
        return np.asarray(_wide(digits) * factor)
    return np.asarray(digits * factor)


def _divide_half_up(digits: npt.NDArray[Any], divisor: int | npt.NDArray[Any]) -> npt.NDArray[Any]:
    if isinstance(divisor, int) and divisor >= _INT64_LIMIT:
        digits = _wide(digits)
    size, by = abs(digits), abs(np.asarray(divisor))
    quotient, rest = size // by, size % by
    quotient = quotient + (rest >= by - rest)
    negative = (digits < 0) != (np.asarray(divisor) < 0)
    return np.where(negative, -quotient, quotient)
