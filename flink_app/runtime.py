"""What depends on the Flink version: settings, and the places where PyFlink has no public way and py4j is used.

First runtime: Flink 1.20. What a later one forbids in code (`python.fn-execution.*` from 2.2 on) is set here and
only here.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyflink.common import Configuration, Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import DataStream, KeyedStream, ProcessFunction, StreamExecutionEnvironment
from pyflink.datastream.data_stream import _create_j_data_stream_python_function_info
from pyflink.java_gateway import get_gateway
from pyflink.table import Schema, StreamTableEnvironment, Table
from pyflink.util.java_utils import (
    add_jars_to_context_class_loader,
    get_field,
    get_j_env_configuration,
    is_instance_of,
    load_java_class,
)

from flink_app.sql_templates import told_with_file
from operators.buckets import MAX_PARALLELISM

JOB_SETTINGS: Final = {
    "pipeline.max-parallelism": str(MAX_PARALLELISM),  # part of every savepoint: bucket keys are chosen for it
    "pipeline.object-reuse": "true",  # no step keeps or changes a row that it was given
    "pipeline.auto-watermark-interval": "100 ms",  # ShardWatermarks counts time in them
    "python.map-state.read-cache-size": "1",  # the log is read at a start only: cached, it fills the memory
    "python.fn-execution.bundle.time": "50",  # a row waits so long at the most, at the gate and at the windows
}
REPLAY_SETTINGS: Final = {  # on top of the others where no row is waited for: fewer bundles, fewer ends of them
    "python.fn-execution.bundle.time": "1000",
}
TABLE_SETTINGS: Final = {
    "table.local-time-zone": "UTC",
    "python.fn-execution.arrow.batch.size": "10000",  # the gate's work per batch is mostly fixed: fewer, larger ones
}
# Not among the tables' settings: Flink copies those into the environment's, which PyFlink lays over every operator's
# own. There, ten thousand would hold for the windows too, which count blobs, and for `process_one_by_one`.
GATE_SETTINGS: Final = {
    "python.fn-execution.bundle.size": "10000",
}
PACKAGES: Final = ("operators", "flink_app")
_ARROW_ROWS: Final = "fraudwindows.ArrowRows"
_SHARD_WATERMARKS: Final = "fraudwindows.ShardWatermarks"


@dataclass(frozen=True)
class Step:
    """One operator of the job graph, as a savepoint knows it.

    Attributes:
        uid: None if Flink would make one up.
        name: as the web UI shows it.
        parallelism: number of subtasks.
        slots: slot sharing group.
        bundle: elements that a Python operator hands over before it waits for results; None: it is none.
    """

    uid: str | None
    name: str
    parallelism: int
    slots: str
    bundle: int | None


def environments(
    settings: Mapping[str, str] | None = None, jar: Path | None = None
) -> tuple[StreamExecutionEnvironment, StreamTableEnvironment]:
    """The two faces of one job, with the job's settings.

    Args:
        settings: Flink options on top, for tests and the in-process cluster.
        jar: the connector jar where nobody submits it: in-process. Planning and code generation need it too, so it
            goes into the class loader of this process before anything else.
    """
    settings = dict(settings or {})
    if jar is not None:
        settings["pipeline.jars"] = jar.resolve().as_uri()
        add_jars_to_context_class_loader([settings["pipeline.jars"]])
    configuration = Configuration()
    for key, value in {**JOB_SETTINGS, **settings}.items():
        configuration.set_string(key, value)
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    if jar is not None:
        _use_this_class_loader(env)
    tables = StreamTableEnvironment.create(env)
    for key, value in TABLE_SETTINGS.items():
        if key not in settings:
            tables.get_config().set(key, value)
    tables.create_java_temporary_function("ARROW_ROWS", _ARROW_ROWS)
    return env, tables


def ship(env: StreamExecutionEnvironment, root: Path) -> None:
    """Send the application's packages to the Python workers, as one archive on their path."""
    archive = Path(tempfile.mkdtemp(prefix="fraud-windows-")) / "application.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(file for package in PACKAGES for file in (root / package).rglob("*.py")):
            packed.write(file, file.relative_to(root))
    env.add_python_file(str(archive))


def _use_this_class_loader(env: StreamExecutionEnvironment) -> None:
    """Generated code is compiled in the class loader that a local environment was itself loaded from: not the jar's."""
    local = env._j_stream_execution_environment  # noqa: SLF001
    here = get_gateway().jvm.Thread.currentThread().getContextClassLoader()
    get_field(local.getClass(), "userClassloader").set(local, here)


def table_stream(tables: StreamTableEnvironment, table: Table) -> DataStream:
    """A table as a stream of table rows: they stay in Flink's internal format, nothing is converted.

    Translating a table twice would read its source twice; a stream that is viewed as a table again is read once.
    """
    row_data = get_gateway().jvm.org.apache.flink.table.data.RowData._java_lang_class  # noqa: SLF001
    data_type = table._j_table.getResolvedSchema().toSourceRowDataType().bridgedTo(row_data)  # noqa: SLF001
    return DataStream(tables._j_tenv.toDataStream(table._j_table, data_type))  # noqa: SLF001


def configure_gate(stream: DataStream) -> DataStream:
    """Give the Python operator of a table's translation, from the stream upwards, the gate's settings."""
    for step in stream._j_data_stream.getTransformation().getTransitivePredecessors():  # noqa: SLF001
        if _kind(step) == "PythonCalc":
            for key, value in GATE_SETTINGS.items():
                step.getOperatorFactory().getOperator().getConfiguration().setString(key, value)
    return stream


def shard_watermarks(records: DataStream, delay_ms: int) -> DataStream:
    """Table rows (data, arrival_time, shard_id, …) with the watermark of the shard that is furthest behind.

    Args:
        records: of `table_stream`.
        delay_ms: how far behind the arrival the watermark is.
    """
    strategy = load_java_class(_SHARD_WATERMARKS).newInstance().behind(delay_ms)
    return DataStream(records._j_data_stream.assignTimestampsAndWatermarks(strategy))  # noqa: SLF001


def row_stream(tables: StreamTableEnvironment, table: Table, row_type: TypeInformation) -> DataStream:
    """A table as a stream of `Row`, declared as the row type that PyFlink's operators want."""
    stream = tables._j_tenv.toDataStream(table._j_table)  # noqa: SLF001
    stream.getTransformation().setOutputType(row_type.get_java_type_info())
    return DataStream(stream)


def watermarked_table(tables: StreamTableEnvironment, stream: DataStream, columns: Mapping[str, str]) -> Table:
    """A stream of batches as a table (name -> SQL type) that lets the stream's watermark pass.

    Flink swallows a stream's watermark unless the table has an event time. Batches have none, and what a timer emits
    has no timestamp at all, so a constant stands in, which nobody reads.
    """
    schema = Schema.new_builder()
    for name, sql_type in columns.items():
        schema.column(name, sql_type)
    schema.column_by_expression("no_time", "TO_TIMESTAMP_LTZ(0, 3)").watermark("no_time", "SOURCE_WATERMARK()")
    return tables.from_data_stream(stream, schema.build())


def key_by_first_field(stream: DataStream, key: TypeInformation, value: TypeInformation) -> KeyedStream:
    """Key a stream of rows (key, value) without PyFlink's `key_by`, which sends every row through Python for its key.

    A keyed process function then sees the value; the key is the context's current key.
    """
    selector = get_gateway().jvm.KeyByKeySelector()
    keyed = stream._j_data_stream.keyBy(selector, Types.ROW([key]).get_java_type_info())  # noqa: SLF001
    return KeyedStream(keyed, value, stream)


def process_one_by_one(
    stream: DataStream, function: ProcessFunction, name: str, output_type: TypeInformation, input_type: TypeInformation
) -> DataStream:
    """A process function whose bundles hold one element: for elements that stand for much work.

    With common bundles Flink would hand over a thousand before it looks at the results, and neither a watermark nor a
    checkpoint barrier could pass meanwhile.
    """
    from pyflink.fn_execution.flink_fn_execution_pb2 import UserDefinedDataStreamFunction  # noqa: PLC0415  Beam: seconds

    jvm = get_gateway().jvm
    configuration = jvm.org.apache.flink.configuration.Configuration()
    configuration.addAll(get_j_env_configuration(stream._j_data_stream.getExecutionEnvironment()))  # noqa: SLF001
    configuration.setString("python.fn-execution.bundle.size", "1")
    operator = jvm.ExternalPythonProcessOperator(
        configuration,
        _create_j_data_stream_python_function_info(function, UserDefinedDataStreamFunction.PROCESS),
        input_type.get_java_type_info(),
        output_type.get_java_type_info(),
    )
    return DataStream(stream._j_data_stream.transform(name, output_type.get_java_type_info(), operator))  # noqa: SLF001


def declare(tables: StreamTableEnvironment, statement: str) -> None:
    """Run one CREATE statement; what Flink has against it is a `SqlError` that names its file."""
    with told_with_file(statement):
        tables.execute_sql(statement)


def attach(env: StreamExecutionEnvironment, tables: StreamTableEnvironment, stage: str, inserts: Iterable[str]) -> None:
    """Add INSERT statements, planned together, as one stage of the job: their operators get uids `<stage>: …`.

    Each stage is planned alone, so that an edited window file changes no other stage's operators. Where batches become
    rows, a thread of its own begins: a sink's requests must not wait for the windows' thread, which waits for Python.
    """
    transformations = env._j_stream_execution_environment.getTransformations()  # noqa: SLF001
    before = len(transformations)
    together = tables.create_statement_set()
    for insert in inserts:
        with told_with_file(insert):
            together.add_insert_sql(insert)
    with told_with_file(insert):
        together.attach_as_datastream()
    head = get_gateway().jvm.org.apache.flink.streaming.api.operators.ChainingStrategy.HEAD
    for transformation in _set_uids(stage, list(transformations)[before:]):
        if _kind(transformation) == "Correlate":
            transformation.setChainingStrategy(head)


def set_uids(stage: str, stream: DataStream) -> DataStream:
    """Give every operator from the stream upwards that has no uid yet one: `<stage>: <operator>`.

    A table's operators have none of their own, and those that Flink makes up change with any edit of the job, which
    would orphan the position in the stream.
    """
    _set_uids(stage, [stream._j_data_stream.getTransformation()])  # noqa: SLF001
    return stream


def _set_uids(stage: str, transformations: Iterable[Any]) -> list[Any]:
    counts: Counter[str] = Counter()
    named: list[Any] = []
    seen: set[int] = set()

    def visit(transformation: Any) -> None:
        if transformation.getId() in seen or transformation.getUid() is not None:
            return
        seen.add(transformation.getId())
        for source in transformation.getInputs():
            visit(source)
        if transformation.getClass().getSimpleName() != "PartitionTransformation":
            name = _kind(transformation)
            counts[name] += 1
            transformation.setUid(f"{stage}: {name}" + (f" {counts[name]}" if counts[name] > 1 else ""))
            named.append(transformation)

    for transformation in transformations:
        visit(transformation)
    return named


def _kind(transformation: Any) -> str:
    """The operator's name without what changes with the SQL: `Calc(select=[…])` -> `Calc`, `Calc[7]` -> `Calc`."""
    name = re.sub(r"[\[(:].*$", "", str(transformation.getName())).strip()
    return re.sub(r"^\*anonymous.*", "TableFromDataStream", name) or "step"


def steps(env: StreamExecutionEnvironment) -> tuple[Step, ...]:
    """Every operator of the job graph that would be submitted now."""
    graph = env._generate_stream_graph(clear_transformations=False)  # noqa: SLF001
    return tuple(
        Step(
            node.getTransformationUID(),
            node.getOperatorName(),
            node.getParallelism(),
            node.getSlotSharingGroup(),
            _bundle(node.getOperatorFactory()),
        )
        for node in get_gateway().jvm.java.util.ArrayList(graph.getStreamNodes())
    )


def _bundle(factory: Any) -> int | None:
    if not is_instance_of(factory, "org.apache.flink.streaming.api.operators.SimpleOperatorFactory"):
        return None
    operator = factory.getOperator()
    if not is_instance_of(operator, "org.apache.flink.streaming.api.operators.python.AbstractPythonFunctionOperator"):
        return None
    size: int = operator.getConfiguration().get(get_gateway().jvm.org.apache.flink.python.PythonOptions.MAX_BUNDLE_SIZE)
    return size
