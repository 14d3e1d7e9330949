"""Values to small integers and back: customers and distinct values become codes that NumPy can sort."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Interner:
    """Gives every value it meets the next free code, 0, 1, 2 …; the same value always gets the same code.

    State: `values[code]` and its inverse. It only grows until `compact` is called with the codes that are still in use.
    """

    def __init__(self) -> None:
        self._codes: dict[Any, int] = {}
        self.values: list[Any] = []

    def __len__(self) -> int:
        return len(self.values)

    def encode(self, column: pa.Array) -> npt.NDArray[np.int64]:
        """The code of each value of a column without NULLs, shape (n,)."""
        encoded = column.dictionary_encode()
        codes, values = self._codes, self.values
        distinct = _as_list(encoded.dictionary)
        known = [codes.get(value, -1) for value in distinct]
        if -1 in known:
            for position, value in enumerate(distinct):
                if known[position] < 0:
                    known[position] = codes[value] = len(values)
                    values.append(value)
        encoded_codes: npt.NDArray[np.int64] = np.array(known, dtype=np.int64)[np.asarray(encoded.indices)]
        return encoded_codes

    def decode(self, codes: npt.NDArray[np.int64], arrow_type: pa.DataType) -> pa.Array:
        """The values behind the codes, in their order."""
        values = self.values
        return pa.array([values[code] for code in codes.tolist()], arrow_type)

    @staticmethod
    def used(codes: Iterable[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """All codes that occur, ascending, each once."""
        arrays = list(codes)
        return np.unique(np.concatenate(arrays)) if arrays else np.empty(0, np.int64)

    def compact(self, used: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Forget all values but the used ones.

        Args:
            used: ascending codes without repetition.

        Returns:
            A table from old code to new code (-1 where forgotten). It keeps the order: what was sorted by code is.
        """
        renumbered = np.full(len(self.values), -1, dtype=np.int64)
        renumbered[used] = np.arange(len(used), dtype=np.int64)
        self.values = [self.values[code] for code in used.tolist()]
        self._codes = {value: code for code, value in enumerate(self.values)}
        return renumbered


def _as_list(column: pa.Array) -> list[Any]:
    """The values as Python objects; strings, the usual case, without pyarrow's detour over a scalar for each."""
    if pa.types.is_string(column.type):
        return list(column.to_numpy(zero_copy_only=False))
    return list(column.to_pylist())
