"""Records that have waited in the stream for long: an outage without the wait.

The partition key is the arrival time, which `TOLD_THEN` at the proxy makes the job see; the hash key is the customer's.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from flink_app.generate import Chunk
from tests.faults import answers

TOLD_THEN: Final = answers.arrivals(lambda _, key: int(key) / 1000)


def put(kinesis: Any, stream: str, chunk: Chunk, start_ms: int) -> None:
    """Put all records of a chunk at once, as if each had arrived at `start_ms` + its send offset."""
    rows = zip(chunk.records, chunk.customers, (chunk.send_offsets_ms + start_ms).tolist(), strict=True)
    entries: list[dict[str, Any]] = [
        {
            "Data": record,
            "PartitionKey": str(arrival),
            "ExplicitHashKey": str(int.from_bytes(hashlib.md5(customer.encode()).digest(), "big")),
        }
        for record, customer, arrival in rows
    ]
    for start in range(0, len(entries), 500):
        answer = kinesis.put_records(StreamName=stream, Records=entries[start : start + 500])
        assert not answer["FailedRecordCount"]
