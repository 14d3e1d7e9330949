"""The final rows that the oracle wants, as Parquet: computed once for a payload, in a process of its own.

python -m tests.bench.truth PAYLOAD_FOLDER

Every payment is in it, none is sampled. Naive loops take about two minutes and 3 GB for a million payments.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flink_app.local.places import ROOT
from tests import oracle
from tests.bench.payload import Payload

_PARTS = 16  # of the customers: the rows of all of them at once would take twice the memory
_SCHEMA = pa.schema(
    {
        "feature_set": pa.string(),
        "customer_id": pa.string(),
        "window_start": pa.timestamp("ms"),
        "window_end": pa.timestamp("ms"),
        "tx_count": pa.int64(),
        "amount_sum": pa.decimal128(38, 2),
        "amount_avg": pa.decimal128(38, 6),
        "amount_max": pa.decimal128(12, 2),
        "merchant_count": pa.int64(),
        "ecom_amount_sum": pa.decimal128(38, 2),
        "revision": pa.int64(),
        "dt": pa.string(),
        "hour": pa.string(),
    }
)


def oracle_rows(payload: Payload) -> Path:
    """The file with all rows of a payload; computed if it is not there yet."""
    path = payload.folder / "oracle.parquet"
    if not path.exists():
        command = [sys.executable, "-m", "tests.bench.truth", str(payload.folder)]
        subprocess.run(command, check=True, cwd=ROOT)
    return path


def write(folder: Path) -> None:
    """Read the archive of a payload and write its rows beside it."""
    raw = pq.read_table(folder / "raw", columns=["data", "arrival_time"]).sort_by("arrival_time")
    arrivals = raw["arrival_time"].cast(pa.int64())
    events, _ = oracle.accepted_events(list(zip(raw["data"].to_pylist(), arrivals.to_pylist(), strict=True)))
    making = folder / "oracle.parquet.part"
    with pq.ParquetWriter(making, _SCHEMA) as writer:
        for part in range(_PARTS):
            chosen = [event for event in events if hash(event["customer_id"]) % _PARTS == part]
            rows = [_row(key, row) for key, row in oracle.final_rows(chosen).items()]
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
    making.rename(folder / "oracle.parquet")


def _row(key: tuple[str, str, int], row: dict[str, Any]) -> dict[str, Any]:
    feature_set, customer_id, end_ms = key
    end = datetime.fromtimestamp(end_ms / 1000, UTC)
    size, _ = oracle.WINDOWS[feature_set]
    return {
        "feature_set": feature_set,
        "customer_id": customer_id,
        "window_start": datetime.fromtimestamp((end_ms - size) / 1000, UTC).replace(tzinfo=None),
        "window_end": end.replace(tzinfo=None),
        "dt": f"{end:%Y-%m-%d}",
        "hour": f"{end:%H}",
        **{name: _scaled(value) for name, value in row.items()},
    }


def _scaled(value: Any) -> Any:
    """A sum of amounts that were written with fewer digits, e.g. 3.1, as the column has it."""
    return (
        value if not isinstance(value, Decimal) or value.as_tuple().exponent == -6 else value.quantize(Decimal("0.01"))
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
