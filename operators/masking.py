"""Masking of personal data: a value leaves the gate only as HMAC-SHA256, in hex, under a key from the properties.

The same value gives the same mask, so that it can still be counted and joined on; without the key nobody can test a
guess. Changing the key changes every mask: distinct counts over a masked column then count a value twice for as long as
events from before the change are in the log.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Iterable
from typing import Final

SHORTEST_KEY: Final = 16  # characters
_REMEMBERED_VALUES: Final = 65_536  # with values and masks of usual length about 20 MB
_LONGEST_REMEMBERED: Final = 256  # characters; longer ones are hashed each time, so that the memory has a bound


class Masker:
    """Masks strings; remembers the masks of the values that it saw last.

    Pickles with its key (the job graph carries it to the workers); the key shows in no repr and no error.
    """

    def __init__(self, key: str) -> None:
        """Take the secret.

        Raises:
            ValueError: the key is shorter than SHORTEST_KEY characters.
        """
        if len(key) < SHORTEST_KEY:
            raise ValueError(f"the masking key has {len(key)} characters; at least {SHORTEST_KEY} are needed")
        self._key = key
        secret = key.encode()

        def mask_of(value: str) -> str:
            return hmac.digest(secret, value.encode(), "sha256").hex()

        self._compute = mask_of
        self._remember = functools.lru_cache(maxsize=_REMEMBERED_VALUES)(mask_of)

    def mask(self, values: Iterable[str | None]) -> list[str | None]:
        """The masks of a column, in order: 64 hex digits for a value, None for None."""
        remember, compute = self._remember, self._compute
        return [
            None if value is None else remember(value) if len(value) <= _LONGEST_REMEMBERED else compute(value)
            for value in values
        ]

    def __repr__(self) -> str:
        return "Masker(key=***)"

    def __reduce__(self) -> tuple[type[Masker], tuple[str]]:
        return (Masker, (self._key,))
