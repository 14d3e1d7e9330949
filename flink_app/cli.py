"""The command line: `fraud-windows`, or `python -m flink_app`.

Every problem is one line `error: …` on stderr and exit code 2; a stack trace is a bug of this project.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from flink_app.cloud import commands
from flink_app.errors import FraudWindowsError

app = typer.Typer(
    help="Card fraud features in seconds: windows from plain Flink SQL, Kinesis to DynamoDB and S3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
local = typer.Typer(help="The local AWS endpoint, with stream, features table and bucket.", no_args_is_help=True)
app.add_typer(local, name="local")

PropertiesFile = Annotated[
    Path | None,
    typer.Option(
        "--properties",
        metavar="FILE",
        help="Property groups of the application. Without it: the managed service's file, else that of `local up`.",
        show_default=False,
    ),
]


@local.command("up")
def local_up(
    aws: Annotated[
        Literal["embedded", "localstack"],
        typer.Option(
            help="embedded: MiniStack, a process of this machine. "
            "localstack: the one at AWS_ENDPOINT_URL if it answers, else one in Docker."
        ),
    ] = "embedded",
) -> None:
    """Start the endpoint (port 4566, or a free one) and create what is missing in it. Again: nothing changes."""
    from flink_app.local.aws import up  # noqa: PLC0415 each command loads what it needs

    up(aws)


@local.command("down")
def local_down() -> None:
    """Stop what `up` started and delete its data."""
    from flink_app.local.aws import down  # noqa: PLC0415

    down()


@local.command("status")
def local_status() -> None:
    """Say what runs where."""
    from flink_app.local.aws import status  # noqa: PLC0415

    aws = status()
    print(f"{aws.kind} AWS at {aws.endpoint}, properties {aws.properties}" if aws else "nothing runs")


@app.command()
def generate(
    events: Annotated[int, typer.Option(min=1, help="Records in all, trouble included.")],
    to: Annotated[
        str, typer.Option(metavar="kinesis|FILE", help="The stream, or FILE.parquet (raw archive), FILE.jsonl.")
    ],
    customers: Annotated[int, typer.Option(min=1, help="Customers of the bank.")] = 2_000,
    rate: Annotated[float, typer.Option(min=0.001, help="Records a second, evenly spaced.")] = 1_000.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same payments.")] = 1,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of all records sent a second time.")] = 0.02,
    late: Annotated[float, typer.Option(min=0, max=1, help="Share of all records late, but inside L.")] = 0.05,
    too_late: Annotated[float, typer.Option(min=0, max=1, help="Share of all records later than L.")] = 0.005,
    malformed: Annotated[float, typer.Option(min=0, max=1, help="Share of all records out of contract.")] = 0.005,
    future: Annotated[float, typer.Option(min=0, max=1, help="Share of all records ahead of their arrival.")] = 0.002,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="ISO 8601, when sending begins. Without it: kinesis now, FILE 2026-01-01T00:00Z."
        ),
    ] = None,
    properties: PropertiesFile = None,
) -> None:
    """Payments of a synthetic bank, with fraud bursts and every kind of trouble; says how each must leave the job."""
    from flink_app.delivery import to_file, to_kinesis  # noqa: PLC0415
    from flink_app.generate import EXITS, SLIP_TOLERANCE_MS, START_MS, Shares, payments  # noqa: PLC0415

    try:
        shares = Shares(duplicates, late, too_late, malformed, future)
    except ValueError as error:
        raise FraudWindowsError(str(error)) from error
    given_ms = _epoch_ms(start, "--start") if start else None
    kinesis, stream = _open_stream(properties) if to == "kinesis" else (None, "")
    start_ms = given_ms or (START_MS if kinesis is None else int(time.time() * 1000))
    run = payments(seed=seed, events=events, customers=customers, rate=rate, start_ms=start_ms, shares=shares)
    with _progress_bar(f"payments to {to}", events) as progress:
        if kinesis is None:
            delivery = to_file(run, Path(to), start_ms=start_ms, progress=progress)
        else:
            delivery = to_kinesis(run, kinesis, stream, start_ms=start_ms, progress=progress)
    truth = delivery.truth
    print(f"{truth.records:,} records in {delivery.seconds:.1f} s; by seed and arguments the job must count")
    print("  " + " · ".join(f"{name} {getattr(truth, name):,}" for name in EXITS))
    if delivery.slip_ms > SLIP_TOLERANCE_MS:
        behind = f"{delivery.slip_ms / 1000:.0f} s behind --rate"
        print(f"  but sending was {behind}: late ones may be too late, future ones may be none")


@app.command()
def run(
    properties: PropertiesFile = None,
    until_idle: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SECONDS", help="Stop when no record came for that long. Without it: only a signal stops."
        ),
    ] = None,
    parallelism: Annotated[int, typer.Option(min=1, help="Subtasks of every step of the job.")] = 1,
    savepoint: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Go on where an earlier run stopped. Without it: from the start of the stream."
        ),
    ] = None,
    drain: Annotated[
        bool, typer.Option(help="Stopping makes open windows final. --no-drain: stop so that --savepoint can go on.")
    ] = True,
) -> None:
    """The job on a local Flink cluster, until a signal (Ctrl-C) or silence; then the account of every record."""
    from flink_app.run import run_job  # noqa: PLC0415

    result = run_job(properties, until_idle=until_idle, parallelism=parallelism, savepoint=savepoint, drain=drain)
    if not result.account.is_balanced:
        raise typer.Exit(1)


@app.command()
def check(
    properties: PropertiesFile = None,
    parallelism: Annotated[int, typer.Option(min=1, help="Subtasks of the job, compared with the open shards.")] = 1,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|ZIP|APPLICATION",
            help="Another version: says what becomes of its state under this one. Without it: nothing is compared.",
        ),
    ] = None,
) -> None:
    """Validate contract, windows, sinks and properties without a cluster; say how each window runs."""
    from flink_app.check import check_application  # noqa: PLC0415
    from flink_app.check_report import print_report  # noqa: PLC0415

    checked = check_application(properties, parallelism)
    print_report(checked, Console(width=None if sys.stdout.isatty() else 160, highlight=False))
    if against is not None and not commands.check_against(against, checked):
        raise typer.Exit(1)


@app.command()
def plan(
    rate: Annotated[float, typer.Option(min=0.001, help="Payments a second.")] = 1_000.0,
    customers: Annotated[float, typer.Option(min=1, help="Customers who pay within the longest window.")] = 100_000.0,
    event_bytes: Annotated[float, typer.Option(min=1, help="Bytes of a record.")] = 270.0,
    late: Annotated[
        float, typer.Option(min=0, max=1, help="Share of payments late, inside the lateness bound.")
    ] = 0.05,
    late_by: Annotated[float, typer.Option(min=0, help="Seconds, how late those are on average.")] = 40.0,
    largest: Annotated[float, typer.Option(min=0, max=1, help="Share of payments of the busiest customer.")] = 0.001,
    buckets: Annotated[int, typer.Option(min=1, help="State.buckets of the application.")] = 16,
) -> None:
    """What a rate of payments needs of AWS, at 1, 10, 100 … times, what it costs, and which limit comes first."""
    from flink_app.local.places import ROOT  # noqa: PLC0415
    from flink_app.plan import Workload, plan_tables, shapes  # noqa: PLC0415
    from flink_app.planner import plan_sql, planning_environment  # noqa: PLC0415

    windows = plan_sql(ROOT / "sql", Path("sql"), planning_environment(short_lived=True))
    workload = Workload(rate, customers, event_bytes, late, late_by, largest, buckets)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(
        plan_tables(workload, shapes(windows.specs), [window.name for window in windows.natives])
    )


@app.command()
def package(
    to: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the zip.")] = Path("build/fraud-windows.zip"),
) -> None:
    """The zip for Managed Service for Apache Flink; the same input gives the same bytes."""
    from flink_app.package import build_package, report  # noqa: PLC0415

    print(*report(build_package(to)), sep="\n")


@app.command()
def show(
    customer: Annotated[str, typer.Argument(help="customer_id, such as c000001.")],
    feature_set: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this feature set. Without it: all.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of each feature set.")] = 10,
    properties: PropertiesFile = None,
) -> None:
    """A customer's features as stored in DynamoDB, newest first."""
    from flink_app.aws_clients import client  # noqa: PLC0415
    from flink_app.preflight import check_table  # noqa: PLC0415
    from flink_app.properties import read_properties  # noqa: PLC0415
    from flink_app.show import customer_features, feature_tables  # noqa: PLC0415

    read = read_properties(properties)
    if not read.features.enabled:
        raise FraudWindowsError("Features.enabled: got false · wanted true, else no features are stored · change it")
    check_table(read)
    dynamodb = client("dynamodb", read.aws.region, read.aws.endpoint)
    found = customer_features(dynamodb, read.features.table, customer, feature_set, limit)
    if not found:
        print(f"nothing stored for customer {customer}" + (f" in feature set {feature_set}" if feature_set else ""))
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in feature_tables(customer, found):
        console.print(table)


@app.command()
def trace(
    event: Annotated[str, typer.Argument(help="event_id.")],
    customer: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this customer's. Without it: any customer's.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="ISO 8601, arrival. Without it: a day before --until.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601, arrival. Without it: now.")] = None,
    properties: PropertiesFile = None,
) -> None:
    """What became of one event: when it arrived, by which exit it left, and the rows that count it.

    Exit code 1: no record of it arrived in that time, or none is written down yet (a checkpoint later it is).
    """
    from flink_app.properties import read_properties  # noqa: PLC0415
    from flink_app.trace import trace as trace_event  # noqa: PLC0415
    from flink_app.trace_report import print_report  # noqa: PLC0415

    last_ms = _epoch_ms(until, "--until") if until else int(time.time() * 1000)
    first_ms = _epoch_ms(since, "--since") if since else last_ms - 86_400_000
    first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (first_ms, last_ms))
    found = trace_event(read_properties(properties), event, first, last, customer)
    if not found.sightings:
        print(f"no record of event {event} from {first:%Y-%m-%dT%H:00Z} to {last:%Y-%m-%dT%H:59Z}")
        raise typer.Exit(1)
    print_report(event, found, Console(width=None if sys.stdout.isatty() else 160, highlight=False))


@app.command()
def doctor(
    application: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="An application in AWS, by its CloudWatch metrics. Without it: --url."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Flink's REST interface, as `run` prints it: http://127.0.0.1:8081. Without it: --application.",
        ),
    ] = None,
    region: commands.Region = None,
    minutes: Annotated[int, typer.Option(min=2, help="How far back to look, with --application.")] = 15,
    seconds: Annotated[float, typer.Option(min=1, help="How long to look, with --url.")] = 15.0,
) -> None:
    """What holds a lagging job up: stream, consumer, checkpoints, Python or sinks; the evidence, and what to do.

    Exit code 0: healthy. 1: something holds it up, or there is not enough data. 2: nothing could be asked.
    """
    from flink_app.doctor import Verdict, diagnose  # noqa: PLC0415
    from flink_app.doctor_report import print_report  # noqa: PLC0415

    if (application is None) == (url is None):
        raise FraudWindowsError("doctor: wanted one of --application NAME (in AWS) and --url URL (Flink's REST)")
    if url is not None:
        from flink_app.doctor_flink import look_at  # noqa: PLC0415

        seen = look_at(url, seconds)
    else:
        from flink_app.doctor_cloudwatch import look_at_application  # noqa: PLC0415

        seen = look_at_application(str(application), commands.chosen_region(region), minutes)
    diagnosis = diagnose(seen)
    print_report(diagnosis, Console(width=None if sys.stdout.isatty() else 160, highlight=False))
    if diagnosis.verdict is not Verdict.HEALTHY:
        raise typer.Exit(1)


for command in commands.COMMANDS:
    app.command()(command)


def main() -> None:
    """Entry point: problems become lines, and only lines."""
    try:
        app()
    except FraudWindowsError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _open_stream(properties: Path | None) -> tuple[Any, str]:
    """A client for the stream of the properties, and its name, once it is known to be there."""
    from flink_app.aws_clients import client  # noqa: PLC0415
    from flink_app.preflight import check_stream  # noqa: PLC0415
    from flink_app.properties import read_properties  # noqa: PLC0415

    read = read_properties(properties)
    if read.source.kind != "kinesis":
        raise FraudWindowsError(f"Source.kind: got {read.source.kind} · wanted kinesis for --to kinesis · change it")
    check_stream(read)
    return client("kinesis", read.aws.region, read.aws.endpoint), read.source.stream


def _epoch_ms(text: str, option: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise FraudWindowsError(
            f"{option}: got '{text}' · wanted ISO 8601 with Z or an offset · e.g. 2026-01-31T12:00:00Z"
        )
    return round(moment.timestamp() * 1000)


@contextmanager
def _progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere silence until the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
