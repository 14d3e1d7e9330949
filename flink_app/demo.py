"""`make demo`: the main job end to end on this machine, and what it did, checked.

embedded AWS ─► Flink cluster ─► job ─► payments while it runs ─► drained stop ─► account, figures, checks
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import duckdb
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flink_app.account import Account, AccountBook
from flink_app.delivery import Delivery, to_kinesis
from flink_app.errors import FraudWindowsError
from flink_app.features_table import differences, final_rows, stored_items
from flink_app.freshness import WARM_UP_MS, FreshnessProbe
from flink_app.generate import Chunk, Truth, payments
from flink_app.lake import download
from flink_app.local.aws import STREAM, LocalAws, embedded_aws
from flink_app.local.cluster import FlinkCluster
from flink_app.local.places import LOCAL
from flink_app.properties import Properties, read_properties
from flink_app.run import local_cluster, records_read, submit
from flink_app.show import customer_features, feature_tables

EVENTS: Final = 100_000
CUSTOMERS: Final = 2_000
RATE: Final = 1_500.0  # records a second
SEED: Final = 7
_SUSPICIOUS: Final = 3
_STALL_SECONDS: Final = 60
SHORT_RUN: Final = {"env.java.opts.taskmanager": "-XX:TieredStopAtLevel=1"}  # the second compiler pays after minutes


def main() -> int:
    """Run the demo; 0 only if the account balances and the features table agrees with the final rows."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    try:
        problems = demo(console)
    except KeyboardInterrupt:
        console.print("stopped; everything that the demo started has ended")
        return 130
    except FraudWindowsError as error:
        problems = list(error.problems)
    for problem in problems[:20]:
        console.print(f"error: {problem}", markup=False)
    return 1 if problems else 0


def demo(console: Console, events: int = EVENTS, customers: int = CUSTOMERS, rate: float = RATE) -> list[str]:
    """Run it all, print what happened, and return what is wrong, a line each."""
    started = time.monotonic()

    def say(line: str) -> None:
        console.print(f"{time.monotonic() - started:4.0f} s  {line}", markup=False)

    with embedded_aws(LOCAL / "demo-aws", say) as aws:
        properties = read_properties(aws.properties)
        book = AccountBook(properties)
        with local_cluster(properties, 1, say, SHORT_RUN) as cluster:
            job = submit(cluster, aws.properties, 1)
            say(f"job {job} is running")
            probe = FreshnessProbe(aws.client("dynamodb"), properties.features.table)
            say(f"sending {events:,} payments of {customers:,} customers, {rate:,.0f} a second")
            delivery = _send(aws, probe, console, events, customers, rate)
            _wait_until_read(cluster, job, delivery.truth.records)
            say("everything is read; a drained stop makes the open windows final")
            cluster.stop_with_savepoint(job, drain=True)
            probe.finish()
        say("stopped; checking what is stored")
        return _report(console, aws, properties, book.close(), delivery.truth, probe)


def _send(aws: LocalAws, probe: FreshnessProbe, console: Console, events: int, customers: int, rate: float) -> Delivery:
    """Payments at a steady rate, event time is now; the probe is told what rows to expect."""
    start_ms = int(time.time() * 1000) + 500
    chunks, told = itertools.tee(payments(seed=SEED, events=events, customers=customers, rate=rate, start_ms=start_ms))
    probe.start()

    def expected() -> Iterator[Chunk]:
        for chunk in chunks:
            probe.expect(next(told), start_ms)
            yield chunk

    stop = threading.Event()
    columns = (TextColumn("        "), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        task = progress.add_task("payments", total=events)
        try:
            return to_kinesis(
                expected(),
                aws.client("kinesis"),
                STREAM,
                start_ms=start_ms,
                progress=lambda count: progress.advance(task, count),
                stop=stop,
            )
        except KeyboardInterrupt:
            stop.set()
            raise


def _wait_until_read(cluster: FlinkCluster, job: str, records: int) -> None:
    """Until the job has read everything; a slow machine may take its time, a job that stands still may not."""
    read, moved_at = -1, time.monotonic()
    while read < records:
        now = records_read(cluster, job)
        if now != read:
            read, moved_at = now, time.monotonic()
        if time.monotonic() - moved_at > _STALL_SECONDS:
            raise FraudWindowsError(f"the job has stopped at {read:,} of {records:,} records · see {cluster.logs}")
        time.sleep(0.5)
    time.sleep(2)  # the last ticks


def _report(
    console: Console, aws: LocalAws, properties: Properties, account: Account, truth: Truth, probe: FreshnessProbe
) -> list[str]:
    """Print account, figures and customers; return the problems."""
    say: Callable[..., None] = lambda line="": console.print(line, markup=False)  # noqa: E731
    say("\nEvery record by its exit (law 1), from the stored files")
    for line in account.lines():
        say(line)
    problems = [] if account.is_balanced else ["the account does not balance"]
    expected = {"counted" if name == "accepted" else name: getattr(truth, name) for name in vars(truth)}
    problems += [
        f"account: {name}: got {account.exits[name]:,}, but {count:,} were sent"
        for name, count in expected.items()
        if account.exits[name] != count
    ]
    written = account.live_rows + account.final_rows
    say("\nRows")
    say(f"  written live {account.live_rows:,}, final {account.final_rows:,}")
    say(f"  {written / max(1, account.records_in):.2f} rows out per event in")
    warm_up = f"the first {WARM_UP_MS // 1000} s of the stream left out"
    say(f"\nFreshness: until the row can be read from DynamoDB, asked every 100 ms, {warm_up}")
    for since, found in (("window end", probe.fresh), ("late payment sent", probe.corrected)):
        say(
            f"  {since:<18} p50 {found.percentile(50):,.0f} ms, p99 {found.percentile(99):,.0f} ms"
            f" ({len(found.seen_after_ms):,} rows; never seen: {found.never_seen}), of it until the operator wrote it:"
            f" p50 {found.operator_percentile(50):,.0f} ms, p99 {found.operator_percentile(99):,.0f} ms"
        )
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder)
        files = download(properties.history.path, history, properties.aws)
        _show_history(say, history, files)
        problems += _disagreements(say, aws, properties, history)
        suspicious = _most_suspicious(history)
    for customer in suspicious:
        say()
        for table in feature_tables(
            customer, customer_features(aws.client("dynamodb"), properties.features.table, customer, "card_velocity", 3)
        ):
            console.print(table)
    say()
    say("NOT as it must be" if problems else "all as it must be")
    return problems


def _show_history(say: Callable[..., None], history: Path, files: int) -> None:
    """The Parquet files through DuckDB."""
    counts = _query(
        history, "SELECT feature_set, count(*), min(window_start), max(window_end) FROM {rows} GROUP BY 1 ORDER BY 1"
    )
    say(f"\nHistory in S3: {files} Parquet files, read by DuckDB {duckdb.__version__}")
    for feature_set, rows, first, last in counts:
        say(f"  {feature_set:<20}{rows:>9,} final rows, {first} … {last}")


def _disagreements(say: Callable[..., None], aws: LocalAws, properties: Properties, history: Path) -> list[str]:
    stored = stored_items(aws.client("dynamodb"), properties.features.table)
    final = final_rows(history)
    problems = list(differences(stored, final))
    verdict = "every value equal" if not problems else f"{len(problems):,} rows differ"
    say(f"\nDynamoDB against the final rows: {len(stored):,} items, {len(final):,} rows, {verdict}")
    return problems


def _most_suspicious(history: Path) -> list[str]:
    """Customers with the highest peak of payments in 30 seconds over what is usual for them."""
    found = _query(
        history,
        "SELECT customer_id FROM {rows} WHERE feature_set = 'card_velocity' GROUP BY customer_id"
        " HAVING max(tx_count) >= 20 ORDER BY max(tx_count) / median(tx_count) DESC, customer_id",
    )
    return [str(customer) for (customer,) in found[:_SUSPICIOUS]]


def _query(history: Path, sql: str) -> list[tuple[Any, ...]]:
    rows = f"read_parquet('{history}/**/*', hive_partitioning = true, union_by_name = true)"
    return duckdb.connect().execute(sql.format(rows=rows)).fetchall()


if __name__ == "__main__":
    sys.exit(main())
