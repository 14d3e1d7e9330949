"""Does a contender have the oracle's rows? DuckDB says, both ways, every column of all feature sets.

Not everybody writes final rows as Parquet. What an updating query writes is a changelog: the last row of each key must
be the final row. Payments are only ever added, so the last one is the one that counts most of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from flink_app.generate import Truth

COLUMNS = """feature_set, customer_id, CAST(window_start AS TIMESTAMP) AS window_start,
  CAST(window_end AS TIMESTAMP) AS window_end, tx_count, amount_sum, amount_avg, amount_max, merchant_count,
  ecom_amount_sum, revision, dt, "hour" """

_PARQUET: Final = "read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false, union_by_name = true)"
_KEY: Final = "customer_id: 'VARCHAR', window_start: 'TIMESTAMP', window_end: 'TIMESTAMP'"
_VALUES: Final = """tx_count: 'BIGINT', amount_sum: 'DECIMAL(38, 2)', amount_avg: 'DECIMAL(38, 6)',
  amount_max: 'DECIMAL(12, 2)', merchant_count: 'BIGINT'"""
_JSON: Final = f"{{{{feature_set: 'VARCHAR', {_KEY}, {_VALUES}, ecom_amount_sum: 'DECIMAL(38, 2)'}}}}"
_TEXT: Final = f"{{{{change: 'VARCHAR', {_KEY}, {_VALUES}, ecom: 'VARCHAR'}}}}"  # +U[card_velocity, c000001, …, null]
_END: Final = "strftime(window_end, '%Y-%m-%d') AS dt, strftime(window_end, '%H') AS \"hour\""
_LAST: Final = (
    "QUALIFY row_number() OVER (PARTITION BY feature_set, customer_id, window_end ORDER BY revision DESC) = 1"
)

LAYOUTS: Final = {  # how a contender's files are read as rows of COLUMNS
    "final Parquet": f"FROM {_PARQUET}",
    "final JSON lines": f"""SELECT *, tx_count AS revision, {_END}
        FROM read_json('{{files}}', format = 'newline_delimited', columns = {_JSON})""",
    "changelog": f"""SELECT *, change[4:] AS feature_set, tx_count AS revision, {_END},
          CAST(nullif(ecom[:-2], 'null') AS DECIMAL(38, 2)) AS ecom_amount_sum
        FROM read_csv('{{files}}', auto_detect = false, header = false, delim = ', ', quote = '', escape = '',
          nullstr = 'null', columns = {_TEXT}) {_LAST}""",
    "live Parquet": f"""SELECT *, {_END}
        FROM (SELECT * REPLACE (CAST(window_end AS TIMESTAMP) AS window_end) FROM {_PARQUET}) {_LAST}""",
}


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
    """(live, final) rows that the job made, by its account.

    Raises:
        AssertionError: the job's account is not the truth about the payments.
    """
    with duckdb.connect() as db:

        def one(query: str, folder: str) -> tuple[int, ...]:
            return tuple(map(int, db.execute(f"{query} FROM read_parquet('{output}/{folder}/**/*')").fetchall()[0]))

        counted, duplicate, live, final = one(
            "SELECT sum(counted), sum(duplicate), sum(live_rows), sum(final_rows)", "account"
        )
        rejected = one("SELECT count(*)", "quarantine")[0]
    got, wanted = (counted, duplicate, counted + duplicate + rejected), (truth.accepted, truth.duplicate, truth.records)
    assert got == wanted, f"counted, duplicate, records: got {got}, wanted {wanted}"
    return live, final


def compare(rows: Path, layout: str, truth: Path) -> Agreement:
    """Compare a folder of rows, written in one of LAYOUTS, with the oracle's file."""
    with duckdb.connect() as db:
        db.execute(
            f"CREATE TABLE theirs AS SELECT {COLUMNS} FROM ({LAYOUTS[layout].format(files=f'{rows}/**/part-*')})"
        )
        db.execute(f"CREATE TABLE wanted AS SELECT {COLUMNS} FROM read_parquet('{truth}')")
        only = [
            db.execute(f"SELECT * FROM (FROM {a} EXCEPT ALL FROM {b}) ORDER BY ALL").fetchall()
            for a, b in (("theirs", "wanted"), ("wanted", "theirs"))
        ]
        counts = db.execute("SELECT feature_set, count(*) FROM theirs GROUP BY 1 ORDER BY 1").fetchall()
    return Agreement(dict(counts), len(only[0]), len(only[1]), [*only[0][:3], *only[1][:3]])


def lines_out(output: Path) -> int:
    """Lines of a folder of text files: rows that were written."""
    lines = 0
    for file in output.rglob("part-*"):
        with file.open("rb") as opened:
            lines += sum(1 for _ in opened)
    return lines
