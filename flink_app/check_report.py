"""What `check` prints about an application without a mistake: contract, windows, rows out, state, where rows go."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pyarrow as pa
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flink_app.check import Checked
from flink_app.durations import duration
from flink_app.parts import Job
from flink_app.planner import PlannedWindow
from flink_app.properties import Properties
from operators.contract import Column, Contract
from operators.packing import RAW_SCHEMA, drop_raw, event_schema, pack
from operators.window_spec import WindowSpec
from operators.window_tracker import grids

_TYPICAL_BATCH = 1_000  # records that the gate gets together when the stream is busy


def print_report(checked: Checked, console: Console) -> None:
    """The report, then the warnings."""
    plan = checked.plan
    for title, body in (
        ("contract · sql/events.sql", _contract(plan.contract)),
        *((f"{window.name} · {window.file.path}", _window(window)) for window in plan.windows),
        ("rows out for each event in", _rows_out(plan.windows)),
        ("state", _state(checked)),
        ("properties", _properties(checked.properties)),
    ):
        console.print(Text(title, style="bold"))
        console.print(Padding(body, (0, 0, 1, 2), expand=False))
    for warning in checked.warnings:
        console.print(Text("warning: ", style="yellow").append(warning, style="default"), soft_wrap=True)
    files = f"{len(plan.windows)} window file{'s' if len(plan.windows) != 1 else ''}"
    console.print(Text(f"ok: contract, {files}, sinks and properties; a job graph of {checked.steps} steps", "green"))


def windows_per_event(spec: WindowSpec) -> int:
    """How many windows of a file count an event: size / slide, and one for each further granularity of a rollup."""
    return sum(-(-grid.granularity.size_ms // grid.slide_ms) for grid in grids(spec))


def bytes_per_event(contract: Contract, batch: int) -> float:
    """What an event takes in the log, in bytes, when `batch` events of a bucket arrive together; of sample values."""
    events = [pa.array([_sample(column)] * batch, column.arrow_type) for column in contract.columns]
    ids = [pa.array([2**63] * batch, pa.uint64())] * 2
    arrival = pa.array([0] * batch, pa.timestamp("ms", "UTC"))
    packed = pa.RecordBatch.from_arrays([*events, *ids, arrival], schema=event_schema(contract))
    raw = pa.RecordBatch.from_arrays([pa.array([None] * batch, field.type) for field in RAW_SCHEMA], schema=RAW_SCHEMA)
    return len(drop_raw(pack(packed, raw))) / batch


def _sample(column: Column) -> object:
    if pa.types.is_string(column.arrow_type):
        return "f" * 64 if column.pii else "sample text"
    if pa.types.is_decimal(column.arrow_type):
        return decimal.Decimal(0)
    if pa.types.is_timestamp(column.arrow_type):
        return datetime(2026, 1, 31, tzinfo=UTC)
    return True if pa.types.is_boolean(column.arrow_type) else 1


def _plain_table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading)
    return table


def _facts(rows: Iterator[tuple[str, str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, fact in rows:
        table.add_row(Text(name), Text(fact))
    return table


def _contract(contract: Contract) -> RenderableType:
    table = _plain_table("column", "type", "", "")
    for column in contract.columns:
        masked = "pii: HMAC-SHA256 leaves the gate" if column.pii else ""
        table.add_row(column.name, column.type, "" if column.nullable else "NOT NULL", masked)
    bound = duration(contract.lateness_ms)
    return Group(Text(f"L = {bound}: an event that arrives more than {bound} after its event_time is too_late"), table)


def _window(window: PlannedWindow) -> RenderableType:
    columns = _plain_table("column", "type")
    for column in window.columns:
        columns.add_row(column.name, column.type)
    return Group(_facts(_window_facts(window)), columns)


def _window_facts(window: PlannedWindow) -> Iterator[tuple[str, str]]:
    if window.file.purpose:
        yield "purpose", window.file.purpose
    if window.spec is None:
        yield "runs", f"as native Flink SQL: {window.reason}"
        yield "feature set", window.name
        yield "live rows", "none; each row is written once, when the watermark passes its window"
        return
    spec = window.spec
    yield "runs", "on slices: the planner's window aggregate over customer_id, every function known to the operator"
    sets = [
        f"{grid.granularity.feature_set} ({_grid(grid.granularity.size_ms, grid.slide_ms)})" for grid in grids(spec)
    ]
    yield "feature set" + ("s" if len(sets) > 1 else ""), " · ".join(sets)
    if spec.where is not None:
        yield "WHERE", "windows without a matching event have no row"
    if spec.having is not None:
        yield "live rows", "none: HAVING writes final rows only"
    elif spec.emit_every_ms is not None:
        yield (
            "live rows",
            f"every {duration(spec.emit_every_ms)} while the window is open, at its end, and when corrected",
        )
    else:
        yield "live rows", "at the window's end, and each time an accepted event corrects them"


def _grid(size_ms: int, slide_ms: int) -> str:
    return duration(size_ms) if size_ms == slide_ms else f"{duration(size_ms)} every {duration(slide_ms)}"


def _rows_out(windows: tuple[PlannedWindow, ...]) -> RenderableType:
    table = _plain_table("window file", "live, DynamoDB", "final, S3")
    live_sum = final_sum = 0
    for window in windows:
        if window.spec is None:
            table.add_row(window.name, "not estimated", "not estimated")
            continue
        final = windows_per_event(window.spec)
        live = 0 if window.spec.having is not None else final
        live_sum, final_sum = live_sum + live, final_sum + final
        table.add_row(window.name, str(live), str(final))
    table.add_row("together", str(live_sum), str(final_sum), style="bold")
    assumed = (
        "of a customer whose payments are further apart than the windows are long. Never more live rows than that, as"
        " only an event makes a row be written; less in a burst, whose payments share rows, and where WHERE or HAVING"
        " leave some out"
    )
    return Group(table, Text(assumed, style="dim"))


def _state(checked: Checked) -> RenderableType:
    return _facts(_state_facts(checked))


def _state_facts(checked: Checked) -> Iterator[tuple[str, str]]:
    settings = Job(checked.properties, checked.plan).settings
    contract, buckets = checked.plan.contract, checked.properties.state.buckets
    kept_ms = settings.longest_ms + contract.lateness_ms + settings.grace_ms
    batch = max(1, _TYPICAL_BATCH // buckets)
    busy, alone = bytes_per_event(contract, batch), bytes_per_event(contract, 1)
    parts = (("longest window", settings.longest_ms), ("L", contract.lateness_ms), ("grace", settings.grace_ms))
    yield "events kept", f"{duration(kept_ms)}: " + " + ".join(f"{name} {duration(length)}" for name, length in parts)
    together = f"{batch} of a bucket arrive together ({_TYPICAL_BATCH:,} records in {buckets} buckets)"
    yield "size", f"{busy:,.0f} bytes an event when {together}, {alone:,.0f} when it comes alone; of sample values"
    yield "in all", f"at 1,000 events/s about {busy * kept_ms / 1e6:,.0f} MB"
    yield "ids for dedup", f"{duration(settings.dedup_ttl_ms)} at least, 16 bytes each, in the Python workers' memory"
    if checked.plan.natives:
        yield "native windows", "keep state of their own, as Flink SQL does"


def _properties(properties: Properties) -> RenderableType:
    return _facts(_property_facts(properties))


def _property_facts(properties: Properties) -> Iterator[tuple[str, str]]:
    source, aws = properties.source, properties.aws
    yield "AWS", f"{aws.region}, {_without_credentials(aws.endpoint) if aws.endpoint else 'the real one'}"
    if source.kind == "kinesis":
        yield "source", f"Kinesis stream {source.stream}, from {source.initial_position} without a savepoint"
        yield "raw archive", properties.archive.path
    else:
        yield "source", f"the raw archive {source.path}"
    if properties.features.enabled:
        features = properties.features
        pace = f"written at most every {duration(features.emit_interval_ms)}, deleted after {features.ttl_days} days"
        yield "live rows", f"DynamoDB table {features.table}, {pace}"
    yield "final rows", properties.history.path
    yield "quarantine", properties.quarantine.path
    yield "account", properties.account.path
    yield "masking key", "***"


def _without_credentials(endpoint: str) -> str:
    """The endpoint without `user:password@`."""
    url = urlsplit(endpoint)
    return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
