"""Do two contenders have the same result rows? DuckDB says, both ways, every column of all feature sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from flink_app.generate import Truth

COLUMNS = """feature_set, customer_id, window_start, window_end, tx_count, amount_sum, amount_avg, amount_max,
  merchant_count, ecom_amount_sum, revision, dt, "hour" """


@dataclass(frozen=True)
class Agreement:
    """How two sets of rows compare.

    Attributes:
        rows: by feature set, of the first.
        only_first, only_second: rows that the other does not have, as often as they are there.
        examples: a few of them.
    """

    rows: dict[str, int]
    only_first: int
    only_second: int
    examples: list[tuple[object, ...]]

    @property
    def is_equal(self) -> bool:
        """Every value of every row, and at least one row."""
        return bool(self.rows) and not self.only_first and not self.only_second


def rows_out(output: Path, truth: Truth) -> tuple[int, int]:
    """(live, final) rows that were made. The job keeps an account of them, Flink SQL has final rows only.

    Raises:
        AssertionError: the job's account is not the truth about the payments.
    """
    with duckdb.connect() as db:

        def one(query: str, folder: str) -> tuple[int, ...]:
            return tuple(map(int, db.execute(f"{query} FROM read_parquet('{output}/{folder}/**/*')").fetchall()[0]))

        if not (output / "account").exists():
            return 0, one("SELECT count(*)", "features")[0]
        counted, duplicate, live, final = one(
            "SELECT sum(counted), sum(duplicate), sum(live_rows), sum(final_rows)", "account"
        )
        rejected = one("SELECT count(*)", "quarantine")[0]
    got, wanted = (counted, duplicate, counted + duplicate + rejected), (truth.accepted, truth.duplicate, truth.records)
    assert got == wanted, f"counted, duplicate, records: got {got}, wanted {wanted}"
    return live, final


def compare(first: Path, second: Path) -> Agreement:
    """Compare two folders of final rows: feature_set=/dt=/hour=/*.parquet."""
    with duckdb.connect() as db:
        for name, folder in (("first", first), ("second", second)):
            options = "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"
            files = f"read_parquet('{folder}/**/*', {options})"
            db.execute(f"CREATE TABLE {name} AS SELECT {COLUMNS} FROM {files}")
        only = [
            db.execute(f"SELECT * FROM (FROM {a} EXCEPT ALL FROM {b}) ORDER BY ALL").fetchall()
            for a, b in (("first", "second"), ("second", "first"))
        ]
        counts = db.execute("SELECT feature_set, count(*) FROM first GROUP BY 1 ORDER BY 1").fetchall()
    return Agreement(dict(counts), len(only[0]), len(only[1]), [*only[0][:3], *only[1][:3]])
