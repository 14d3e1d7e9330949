"""The job, top to bottom.

records ─┬─► archive (raw)
         └─► gate ─► gated ─┬─► rejected bucket ──────────────────────────────► quarantine
                            └─► by bucket ─► feature windows ─► exits ─┬─► live ─────────► features
                                                                       ├─► final:<file> ─► history
                                                                       ├─► rejected ─────► quarantine
                                                                       ├─► account
                                                                       └─► event ─► native windows ─► both
"""

from __future__ import annotations

from typing import Final

from pyflink.common import Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment
from pyflink.table.expressions import col, row

from flink_app import runtime
from flink_app.parts import Job
from flink_app.sinks import sinks
from flink_app.sources import gate_archive, gate_records, kinesis_records
from operators.buckets import REJECTED_BUCKET
from operators.feature_windows_shell import FeatureWindows
from operators.gate_shell import GATED_TYPE

BYTES: Final = Types.PRIMITIVE_ARRAY(Types.BYTE())
KEYED_TYPE: Final = Types.ROW_NAMED(["key", "value"], [Types.INT(), GATED_TYPE])
EXITS_TYPE: Final = Types.ROW_NAMED(["exit", "batch"], [Types.STRING(), BYTES])


def build(env: StreamExecutionEnvironment, tables: StreamTableEnvironment, job: Job) -> None:
    """Add the whole job to the environment; nothing runs yet.

    Every step has a uid that no edit of a window file changes (`runtime.set_uids`): savepoints know steps by it.

    Args:
        env: the two faces of the job, from `runtime.environments`.
        tables: the other one.
        job: what to build.
    """
    # fmt: off
    if job.chunks is None:
        kinesis_records(tables, job)                                 # records (data, arrival_time, shard_id, …)
        gated = gate_records(tables, job.gate)                       # (bucket INT, batch BYTES), rejected ones too
    else:
        gated = gate_archive(env, tables, job)                       # the same, from chunks of Parquet
    tables.create_temporary_view("gated", gated)
    accepted = accepted_rows(tables)                                 # Row(key, Row(bucket, batch)): packed events
    keyed = runtime.key_by_first_field(accepted, Types.INT(), GATED_TYPE)         # key -> Row(bucket, batch)
    exits = keyed.process(FeatureWindows(job.settings), EXITS_TYPE)  # Row(exit, batch): Arrow streams of rows
    exits.name("feature windows").uid("feature windows")
    if job.properties.runtime.separate_workers:
        exits.slot_sharing_group("windows")
    exits_view(tables, exits)                                        # exits (exit STRING, batch BYTES)
    for stage, inserts in sinks(tables, job):                        # rows, as sql/sinks/*.sql declare them
        runtime.attach(env, tables, stage, inserts)
    # fmt: on


def accepted_rows(tables: StreamTableEnvironment) -> DataStream:
    """Blobs of accepted events; the rejected ones go from `gated` to the quarantine and cost the windows nothing."""
    gated = tables.from_path("gated").filter(col("bucket") != REJECTED_BUCKET)
    accepted = gated.select(col("bucket").alias("key"), row(col("bucket"), col("batch")).alias("value"))
    return runtime.set_uids("accepted", runtime.row_stream(tables, accepted, KEYED_TYPE))


def exits_view(tables: StreamTableEnvironment, exits: DataStream) -> None:
    """The view `exits`; its watermark is what native windows run on."""
    columns = {"exit": "STRING", "batch": "BYTES"}
    tables.create_temporary_view("exits", runtime.watermarked_table(tables, exits, columns))
