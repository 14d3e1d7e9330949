"""What the function tables share: the operands a builder sees, and the kernels it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

Value: TypeAlias = Any  # pa.Array | pa.Scalar; pyarrow has no types for mypy
Kernel: TypeAlias = Callable[..., Value]


@dataclass(frozen=True)
class Operand:
    """What a builder knows of an operand before any event: its type, and its value if it is a constant."""

    type: pa.DataType
    constant: pa.Scalar | None = None


Builder: TypeAlias = Callable[[pa.DataType, Sequence[Operand]], Kernel]
