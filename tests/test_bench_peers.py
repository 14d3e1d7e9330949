"""What the job is measured against must compute the same: the peers without Flink or Spark beside the oracle."""

from __future__ import annotations

import subprocess

import duckdb
import pytest

from tests.bench.agreement import compare
from tests.bench.contenders import CONTENDERS, NO_BACKEND
from tests.bench.payload import SEED, payload
from tests.bench.truth import write

EVENTS, RATE = 12_000, 30.0  # of 400 seconds: minutes and five minutes end while payments are still read
PROGRAMS = [name for name, one in CONTENDERS.items() if one.backends == (NO_BACKEND,)]


@pytest.fixture(scope="module")
def payments(tmp_path_factory):
    print(f"seed {SEED}")
    made = payload(EVENTS, tmp_path_factory.mktemp("payments"), RATE)
    write(made.folder)
    return made


@pytest.fixture(scope="module", params=PROGRAMS)
def rows(request, payments, tmp_path_factory):
    """Folder of the rows that a peer wrote."""
    output = tmp_path_factory.mktemp(request.param)
    subprocess.run(CONTENDERS[request.param].command(payments, output, 1, NO_BACKEND), check=True)
    return output / "features"


@pytest.mark.slow
def test_a_peer_has_the_oracles_rows(rows, payments):
    agreement = compare(rows, "final Parquet", payments.folder / "oracle.parquet")
    assert agreement.is_equal, agreement
    assert len(agreement.rows) == 4
    truth = payments.truth
    assert min(truth.duplicate, truth.malformed, truth.future, truth.too_late) > 10


@pytest.mark.slow
@pytest.mark.parametrize("column", ["amount_sum", "amount_avg", "merchant_count", "tx_count"])
def test_a_row_with_another_value_is_noticed(column, rows, payments, tmp_path):
    wanted = payments.folder / "oracle.parquet"
    changed = tmp_path / "changed.parquet"
    other = f"CASE WHEN row_number() OVER () = 7 THEN {column} + 0.01 ELSE {column} END AS {column}"
    duckdb.sql(
        f"""COPY (SELECT * REPLACE ({other})
        FROM '{wanted}' WHERE feature_set = 'card_velocity') TO '{changed}'"""
    )
    agreement = compare(rows, "final Parquet", changed)
    assert not agreement.is_equal
    assert agreement.only_second == 1


@pytest.mark.slow
def test_the_lines_for_two_readers_are_the_lines(payments):
    shards = [file.read_bytes().splitlines() for file in sorted(payments.shards(2).iterdir())]
    together = [line for pair in zip(*shards, strict=True) for line in pair]
    assert together == payments.lines.read_bytes().splitlines()


def test_flinks_text_of_a_changelog_is_read_as_its_last_rows(tmp_path):
    (tmp_path / "part-0-0").write_text(
        "+I[card_velocity, c1, 2026-01-01T00:00, 2026-01-01T00:00:30, 1, 2.30, 2.300000, 2.30, 1, null]\n"
        "+U[card_velocity, c1, 2026-01-01T00:00, 2026-01-01T00:00:30, 2, 4.31, 2.155000, 2.30, 2, null]\n"
        "+I[customer_spend_1m, c1, 2026-01-01T00:00, 2026-01-01T00:01, 1, 2.30, null, 2.30, 1, 2.30]\n"
    )
    duckdb.sql(
        f"""COPY (
          SELECT 'card_velocity' AS feature_set, 'c1' AS customer_id, TIMESTAMP '2026-01-01 00:00:00' AS window_start,
            TIMESTAMP '2026-01-01 00:00:30' AS window_end, 2 AS tx_count, 4.31 AS amount_sum, 2.155 AS amount_avg,
            2.3 AS amount_max, 2 AS merchant_count, NULL AS ecom_amount_sum, 2 AS revision, '2026-01-01' AS dt,
            '00' AS "hour"
          UNION ALL SELECT 'customer_spend_1m', 'c1', TIMESTAMP '2026-01-01 00:00:00', TIMESTAMP '2026-01-01 00:01:00',
            1, 2.3, NULL, 2.3, 1, 2.3, 1, '2026-01-01', '00'
        ) TO '{tmp_path}/wanted.parquet'"""
    )
    agreement = compare(tmp_path, "changelog", tmp_path / "wanted.parquet")
    assert agreement.is_equal, agreement
