"""What one subtask of the keyed operator has done since it started: the source of its metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

METRIC_GROUP: Final = "kinesisanalytics"  # the only group that Managed Service for Apache Flink forwards to CloudWatch


@dataclass
class OperatorStats:
    """Totals and latest readings of all buckets of a subtask.

    Attributes:
        counted, duplicate, window_closed: events by exit.
        live_rows, final_rows: rows written.
        freshness_ms: wall clock minus window end of the oldest window that the last tick wrote for the first time.
        log_bytes: bytes in the event logs.
    """

    counted: int = 0
    duplicate: int = 0
    window_closed: int = 0
    live_rows: int = 0
    final_rows: int = 0
    freshness_ms: int = 0
    log_bytes: int = 0


TOTALS = ("counted", "duplicate", "window_closed", "live_rows", "final_rows")
READINGS = ("freshness_ms", "log_bytes")
