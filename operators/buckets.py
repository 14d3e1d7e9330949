"""Customer buckets: which integer stands for a bucket in Flink's keyed state.

Flink hashes a key into one of `max_parallelism` key groups and gives every subtask a range of groups:

    key ──hash──► key group 0 … max_parallelism-1 ──group * p // max_parallelism──► subtask 0 … p-1

Sixteen keys taken as they come (0 … 15) fell 11 to 5 on two subtasks. So the keys are searched: bucket i gets the
smallest integer that Flink puts into key group i * max_parallelism / buckets. Then every parallelism gets its share,
give or take one.

The number of buckets, the maximum parallelism and this search are written into every savepoint: after a change of any
of them a restored job looks for its customers in the wrong place.
"""

from __future__ import annotations

from itertools import count
from typing import Final

MAX_PARALLELISM: Final = 128
REJECTED_BUCKET: Final = -1
LIVE_WRITERS: Final = 4  # DynamoDB sinks in each subtask; a bucket's rows always take the same one, in their order

_WORD: Final = 0xFFFFFFFF


def bucket_keys(buckets: int, max_parallelism: int = MAX_PARALLELISM) -> tuple[int, ...]:
    """The key of each bucket: distinct, never negative, spread evenly over Flink's key groups.

    Raises:
        ValueError: no buckets, or more than key groups (two buckets would always share a subtask).
    """
    if not 1 <= buckets <= max_parallelism:
        raise ValueError(f"State: buckets must be 1 to {max_parallelism} (the maximum parallelism), got {buckets}")
    wanted = {index * max_parallelism // buckets: index for index in range(buckets)}
    keys = [REJECTED_BUCKET] * buckets
    for key in count():
        index = wanted.pop(key_group(key, max_parallelism), None)
        if index is not None:
            keys[index] = key
        if not wanted:
            return tuple(keys)
    raise AssertionError("unreachable: integers do not end")


def key_group(key: int, max_parallelism: int) -> int:
    """Flink's key group of a bucket key, as `KeyGroupRangeAssignment.assignToKeyGroup` computes it."""
    return _murmur(_row_hash(key)) % max_parallelism


def _row_hash(key: int) -> int:
    """`Row.of(key).hashCode()`: PyFlink's key selector wraps the key into a row of one field."""
    return (62 + key) & _WORD


def _murmur(code: int) -> int:
    """`MathUtils.murmurHash` of Flink, over one 32-bit word; never negative."""
    code = (code * 0xCC9E2D51) & _WORD
    code = _rotate_left(code, 15)
    code = (code * 0x1B873593) & _WORD
    code = _rotate_left(code, 13)
    code = (code * 5 + 0xE6546B64) & _WORD
    code ^= 4
    code ^= code >> 16
    code = (code * 0x85EBCA6B) & _WORD
    code ^= code >> 13
    code = (code * 0xC2B2AE35) & _WORD
    code ^= code >> 16
    if code < 1 << 31:
        return code
    return (1 << 32) - code if code != 1 << 31 else 0


def _rotate_left(code: int, bits: int) -> int:
    return ((code << bits) | (code >> (32 - bits))) & _WORD
