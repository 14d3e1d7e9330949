"""What a snapshot's bytes depend on beside contract, windows and properties: another value here, and old state is lost.

The dictionary is literal, because `check --against` reads it out of another version's source without running it. A test
holds every value against the code that it speaks of; whoever changes that code changes a value, and sees this text.
"""

from __future__ import annotations

from typing import Final

LAYOUT: Final = {
    "Flink": "1.20",  # operator and connector state, as Flink serialises it
    "AWS connectors": "4.3.0-1.19",  # the source's position by shard, the sinks' buffers
    "maximum parallelism": "128",  # operators.buckets: Flink refuses another one
    "customer bucket": "crc32 of customer_id",  # operators.gate: which customers' events a bucket's log has
    "bucket keys": "250, 12, 180",  # operators.buckets, of three buckets: the search that gives out keys
    "keyed state": "log map<long, bytes>, schemas and progress map<long, bytes>",  # feature_windows_shell
    "blob": "FWB2",  # operators.packing
    "blob columns": "_id_hi uint64, _id_lo uint64, _arrival timestamp[ms, tz=UTC]",  # behind the contract's own
    "progress": "<8q",  # operators.bucket_state
}
