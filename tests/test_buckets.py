"""Bucket keys against the shares they promise, and against Flink's own assignment."""

from __future__ import annotations

from collections import Counter

import pytest

from operators.buckets import MAX_PARALLELISM, bucket_keys, key_group


@pytest.mark.parametrize("buckets", [1, 2, 3, 5, 16, 48, 128])
def test_keys_are_distinct_and_sit_in_their_key_groups(buckets):
    keys = bucket_keys(buckets)
    assert len(set(keys)) == buckets
    assert [key_group(key, MAX_PARALLELISM) for key in keys] == [i * MAX_PARALLELISM // buckets for i in range(buckets)]


@pytest.mark.parametrize("parallelism", [1, 2, 3, 4, 8, 16])
def test_every_subtask_gets_its_share_give_or_take_one(parallelism):
    groups = [key_group(key, MAX_PARALLELISM) for key in bucket_keys(16)]
    shares = Counter(group * parallelism // MAX_PARALLELISM for group in groups)
    assert len(shares) == parallelism
    assert max(shares.values()) - min(shares.values()) <= 1


def test_keys_never_change_because_savepoints_know_them():
    assert bucket_keys(4) == (250, 13, 22, 113)


@pytest.mark.parametrize("buckets", [0, -1, 129])
def test_buckets_beyond_the_key_groups_are_refused(buckets):
    with pytest.raises(ValueError, match="buckets must be 1 to 128"):
        bucket_keys(buckets)


@pytest.mark.flink
@pytest.mark.parametrize("parallelism", [1, 2, 3, 4, 8])
def test_flink_assigns_the_same_key_groups_and_subtasks(parallelism):
    from pyflink.java_gateway import get_gateway

    jvm = get_gateway().jvm
    assignment = jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment
    for key in [*bucket_keys(16), *bucket_keys(128), 0, 1, 2**31 - 1]:
        row = jvm.org.apache.flink.types.Row(1)
        row.setField(0, key)
        group = key_group(key, MAX_PARALLELISM)
        assert assignment.assignToKeyGroup(row, MAX_PARALLELISM) == group
        subtask = assignment.assignKeyToParallelOperator(row, MAX_PARALLELISM, parallelism)
        assert subtask == group * parallelism // MAX_PARALLELISM
