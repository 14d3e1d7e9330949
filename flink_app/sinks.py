"""What leaves the job: tables and INSERT statements of `sql/sinks/`, as far as the properties configure them.

Every sink is a stage of its own, planned alone: an edited, added or removed window file changes its own stage only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from pyflink.table import Schema, StreamTableEnvironment

from flink_app import runtime
from flink_app.parts import Job
from flink_app.planner import NativeWindow
from flink_app.sql_templates import columns, endpoint_option, names, statements, text, told_with_file
from operators.buckets import LIVE_WRITERS, REJECTED_BUCKET
from operators.contract import Contract
from operators.feature_bucket import ACCOUNT_SCHEMA
from operators.feature_rows import final_schema, live_schema
from operators.feature_windows_shell import live_exit
from operators.packing import REJECT_SCHEMA

_FINAL_HEAD: Final = "customer_id STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3)"
_FINAL_TAIL: Final = "revision BIGINT, feature_set STRING, dt STRING, `hour` STRING"

Stage: TypeAlias = tuple[str, list[str]]


def sinks(tables: StreamTableEnvironment, job: Job) -> Iterator[Stage]:
    """(stage, its INSERT statements) of every sink that the properties configure; creates the tables on the way."""
    properties = job.properties
    features, *inserts = features_sql(job)
    if properties.features.enabled:
        runtime.declare(tables, features)
        yield "features", inserts
    for spec in job.plan.specs if properties.history.path else ():
        create, insert = history_sql(job, spec.name, columns(final_schema(spec)))
        runtime.declare(tables, create)
        yield f"history {spec.name}", [insert]
    if job.plan.natives:
        events_view(tables, job.plan.contract)
        for window in job.plan.natives:
            yield f"native {window.name}", native_inserts(tables, job, window)
    for name, path, values in (
        ("archive", properties.archive.path if job.chunks is None else "", {}),
        (
            "quarantine",
            properties.quarantine.path,
            {"columns": columns(REJECT_SCHEMA), "rejected_bucket": REJECTED_BUCKET},
        ),
        ("account", properties.account.path, {"columns": columns(ACCOUNT_SCHEMA)}),
    ):
        if path:
            create, insert = statements(Path(f"sinks/{name}.sql"), path=text(path), **values)
            runtime.declare(tables, create)
            yield name, [insert]


def features_sql(job: Job) -> list[str]:
    """CREATE of the features table, and an INSERT for each of its writers: live rows of the windows on slices."""
    live = live_schema(job.plan.specs)
    native = [f"`{column.name}` {column.type}" for window in job.plan.natives for column in window.columns]
    known = {field.name for field in live}
    extra = [column for column in dict.fromkeys(native) if column.split("`")[1] not in known]
    aws = job.properties.aws
    written = [
        statements(
            Path("sinks/features.sql"),
            columns=", ".join([columns(live), *extra]),
            live_columns=columns(live),
            live_names=names(live),
            live_values=", ".join(f"r.`{field.name}`" for field in live),  # Flink expands no r.* beside a column list
            live_exit=live_exit(writer),
            table=text(job.properties.features.table),
            region=text(aws.region),
            endpoint=endpoint_option(aws.endpoint),
        )
        for writer in range(LIVE_WRITERS)
    ]
    return [written[0][0], *(insert for _, insert in written)]


def history_sql(job: Job, name: str, body: str) -> tuple[str, str]:
    """CREATE and INSERT of one window file's history."""
    create, insert = statements(
        Path("sinks/history.sql"), name=name, columns=body, path=text(job.properties.history.path)
    )
    return create, insert


def events_view(tables: StreamTableEnvironment, contract: Contract) -> None:
    """The contract's table as native windows see it: accepted events, each once, event_time as their rowtime."""
    body = columns(contract.arrow_schema())
    (query,) = statements(Path("sources/events.sql"), columns=body)
    with told_with_file(query):
        accepted = tables.sql_query(query)
    stream = runtime.set_uids("events", runtime.table_stream(tables, accepted))
    schema = Schema.new_builder()
    for column in contract.columns:
        schema.column(column.name, column.type)
    watermarked = schema.watermark("event_time", "SOURCE_WATERMARK()").build()
    tables.create_temporary_view(contract.table, tables.from_data_stream(stream, watermarked))


def native_inserts(tables: StreamTableEnvironment, job: Job, window: NativeWindow) -> list[str]:
    """INSERTs of one native window, planned together so that the window is computed once."""
    body = ", ".join(f"`{column.name}` {column.type}" for column in window.columns)
    features, history = statements(
        Path("sinks/native.sql"),
        name=window.name,
        names=", ".join(f"`{column.name}`" for column in window.columns),
        item_ttl_seconds=job.settings.item_ttl_seconds,
    )
    tables.create_temporary_view(f"native_{window.name}", tables.sql_query(window.sql))
    if job.properties.history.path:
        create, _ = history_sql(job, window.name, f"{_FINAL_HEAD}, {body}, {_FINAL_TAIL}")
        runtime.declare(tables, create)
    wanted = ((features, job.properties.features.enabled), (history, bool(job.properties.history.path)))
    return [insert for insert, configured in wanted if configured]
