"""Where records come from: the Kinesis stream, or the raw archive of an earlier run. Both end in the same gated rows.

    kinesis   SQL source ─► records ─► gate (vectorised) ─► gated    watermark: arrival - L - 1 ms, of the slowest shard
    archive   chunk numbers ─► tickets ─► read + gate    ─► gated    watermark: first arrival - L - 1 ms, per chunk
              parallelism 1     ╰ rebalance

`gated` is a table (bucket INT, batch BYTES); a watermark comes with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pyflink.common import Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.table import Schema, StreamTableEnvironment, Table
from pyflink.table.expressions import col, lit

from flink_app import runtime
from flink_app.parts import Job
from flink_app.sql_templates import endpoint_option, statements, text, told_with_file
from operators.gate import Gate
from operators.gate_shell import CHUNK_TYPE, GATED_TYPE, TICKET_TYPE, ChunkClock, GateChunks, gate_function

_GATED: Final = {"bucket": "INT", "batch": "BYTES"}
_PADDING: Final = (
    256 * 1024
)  # characters: a ticket fills several network buffers, so that only one or two of them queue
_ARCHIVE_BLOB_ROWS: Final = 4_000  # of a bucket, in a batch: fewer mean more steps, more mean more copies in Beam


def kinesis_records(tables: StreamTableEnvironment, job: Job) -> None:
    """The view `records` over the stream; read once, whoever looks at it."""
    properties = job.properties
    for statement in statements(
        Path("sources/kinesis.sql"),
        stream=text(properties.source.stream),
        region=text(properties.aws.region),
        endpoint=endpoint_option(properties.aws.endpoint),
        initial_position=properties.source.initial_position,
    ):
        runtime.declare(tables, statement)
    with told_with_file(statement):
        read = runtime.table_stream(tables, tables.from_path("kinesis"))
    stream = runtime.set_uids("kinesis", runtime.shard_watermarks(read, job.plan.contract.lateness_ms + 1))
    schema = (
        Schema.new_builder()
        .column("data", "BYTES")
        .column("arrival_time", "TIMESTAMP_LTZ(3)")
        .column("shard_id", "STRING")
        .column("sequence_number", "STRING")
        .watermark("arrival_time", "SOURCE_WATERMARK()")
        .build()
    )
    tables.create_temporary_view("records", tables.from_data_stream(stream, schema))


def gate_records(tables: StreamTableEnvironment, gate: Gate) -> Table:
    """`records` through the gate."""
    columns = [col(name) for name in ("data", "arrival_time", "shard_id", "sequence_number")]
    gated = tables.from_path("records").select(gate_function(gate)(*columns).alias("gated"))
    bucket, batch = col("gated").get("bucket").alias("bucket"), col("gated").get("batch").alias("batch")
    rows = gated.select(bucket, batch).filter(col("batch").is_not_null)
    stream = runtime.configure_gate(runtime.set_uids("gate", runtime.table_stream(tables, rows)))
    return runtime.watermarked_table(tables, stream, _GATED)


def gate_archive(env: StreamExecutionEnvironment, tables: StreamTableEnvironment, job: Job) -> Table:
    """The archive through the gate: the same rows as `gate_records`, exact for any order of files and parallelism.

    Chunk numbers are the source's position in a checkpoint. A ticket carries padding, because whatever is queued
    between clock and readers must be worked off before a checkpoint barrier behind it: two chunks, not thousands.
    """
    assert job.chunks is not None
    clocks = tuple(chunk.first_arrival_ms - job.plan.contract.lateness_ms - 1 for chunk in job.chunks.chunks)
    numbers = env.from_source(
        NumberSequenceSource(0, len(clocks) - 1),
        WatermarkStrategy.no_watermarks(),
        "archive",
        type_info=Types.LONG(),
    )
    numbers.set_parallelism(1).uid("archive: chunks")
    clocked = runtime.process_one_by_one(numbers, ChunkClock(clocks), "clock", CHUNK_TYPE, Types.LONG())
    clocked.set_parallelism(1).uid("archive: clock")
    schema = (
        Schema.new_builder()
        .column("chunk", "INT")
        .column("clock_ms", "BIGINT")
        .column_by_expression("clock", "TO_TIMESTAMP_LTZ(clock_ms, 3)")
        .watermark("clock", "clock")
        .build()
    )
    padding = lit(" ").repeat(_PADDING).alias("padding")
    timed = tables.from_data_stream(clocked, schema).select(col("chunk"), padding, col("clock"))
    tickets = runtime.set_uids("archive", runtime.row_stream(tables, timed, TICKET_TYPE))
    read = GateChunks(job.gate, job.chunks, _ARCHIVE_BLOB_ROWS * job.properties.state.buckets)
    gated = runtime.process_one_by_one(tickets.rebalance(), read, "read and gate", GATED_TYPE, TICKET_TYPE)
    gated.set_parallelism(env.get_parallelism()).uid("gate: chunks")
    return runtime.watermarked_table(tables, gated, _GATED)
