"""`fraud-windows check`: contract, windows, sinks and properties, before anything runs.

The whole job graph is built in this process by the same functions that `main.py` calls, and thrown away: no cluster, no
network. Only the number of shards is asked of AWS, if it answers within a second.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from flink_app import runtime
from flink_app.archive import ArchiveStore, Chunk, ChunkReader
from flink_app.aws_clients import client
from flink_app.errors import FraudWindowsError
from flink_app.job import build
from flink_app.local.places import JAR, ROOT
from flink_app.masking_key import with_stand_in_key
from flink_app.parts import Job, contradictions
from flink_app.planner import SqlPlan, plan_sql, planning_environment
from flink_app.properties import Properties, read_properties
from flink_app.window_files import read_window_files

_PATIENCE_SECONDS = 1.0
_SQL = ROOT / "sql"
_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Checked:
    """An application without a mistake.

    Attributes:
        properties, plan: as the job reads them.
        steps: operators of the job graph.
        parallelism: that the warnings are about.
        warnings: what runs, but perhaps not as meant; a line each.
    """

    properties: Properties
    plan: SqlPlan
    steps: int
    parallelism: int
    warnings: tuple[str, ...]


def check_application(given: Path | None = None, parallelism: int = 1) -> Checked:
    """Everything that can be known before the job runs.

    Args:
        given: the properties file, as for `read_properties`.
        parallelism: that the job is to run with.

    Raises:
        FraudWindowsError: every problem of properties and SQL found, each one line.
    """
    problems: list[str] = []
    properties = _collect(problems, read_properties, given)
    _collect(problems, read_window_files, _SQL / "windows", Path("sql/windows"))  # costs no JVM
    if not problems or properties is None:
        plan = _collect(problems, _plan)
    if problems or properties is None or plan is None:
        raise FraudWindowsError(*dict.fromkeys(problems))
    if problems := contradictions(properties, plan.contract):
        raise FraudWindowsError(*problems)
    steps = _graph(properties, plan, parallelism)
    return Checked(properties, plan, steps, parallelism, tuple(_warnings(properties, plan, parallelism)))


def _collect(
    problems: list[str], function: Callable[_Given, _Found], *arguments: _Given.args, **named: _Given.kwargs
) -> _Found | None:
    """What the function returns; None and its problems if it finds some."""
    try:
        return function(*arguments, **named)
    except FraudWindowsError as error:
        problems += error.problems
        return None


def _plan() -> SqlPlan:
    return plan_sql(_SQL, Path("sql"), planning_environment(short_lived=True))


def _graph(properties: Properties, plan: SqlPlan, parallelism: int) -> int:
    """Number of steps of the whole job. Raises FraudWindowsError: a source or sink that cannot be planned."""
    if not JAR.exists():
        jar = JAR.relative_to(ROOT)
        raise FraudWindowsError(
            f"{jar}: no such file · it has the connectors that sinks are planned with · run `make jar`"
        )
    env, tables = runtime.environments({}, JAR)
    env.set_parallelism(parallelism)
    build(env, tables, Job(with_stand_in_key(properties), plan, _no_chunks(properties)))
    return len(runtime.steps(env))


def _no_chunks(properties: Properties) -> ChunkReader | None:
    """An archive that is not looked into: the graph is the same for any number of chunks."""
    if properties.source.kind == "kinesis":
        return None
    store = ArchiveStore(properties.source.path, properties.aws.region, properties.aws.endpoint)
    return ChunkReader(store, (Chunk("", 0, 0, 0),))


def _warnings(properties: Properties, plan: SqlPlan, parallelism: int) -> list[str]:
    warnings = [
        f"{window.file.path}: HAVING: final rows only; a live row, once written, could not be taken back"
        for window in plan.windows
        if window.spec is not None and window.spec.having is not None
    ]
    warnings += [
        f"{window.file.path}: runs as native Flink SQL, final rows only, once: {window.reason}"
        for window in plan.windows
        if window.native is not None
    ]
    if not properties.features.enabled:
        warnings.append("Features.enabled is false: no live rows anywhere")
    if properties.source.kind == "kinesis":
        warnings += _shard_warnings(properties, parallelism)
    return warnings


def _shard_warnings(properties: Properties, parallelism: int) -> list[str]:
    where, shards = f"Source.stream {properties.source.stream}", open_shards(properties)
    if shards is None:
        unknown = "its shards are unknown, as AWS does not tell them now"
        return [f"{where}: {unknown} · wanted a parallelism of at least as many · got {parallelism}"]
    if shards <= parallelism:
        return []
    risk = (
        "a shard that cannot be read for half a minute while its reader's others go on comes behind their windows;"
        " inside the grace their rows are written again, later events are rejected as window_closed"
    )
    got = f"{shards} open shards, parallelism {parallelism}"
    return [f"{where}: {got}: {risk} · run with a parallelism of at least {shards}"]


def open_shards(properties: Properties) -> int | None:
    """Open shards of the stream; None: AWS cannot be reached, or does not say."""
    try:
        kinesis = client("kinesis", properties.aws.region, properties.aws.endpoint)
        url = urlsplit(kinesis.meta.endpoint_url)
        address = (url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
        with socket.create_connection(address, _PATIENCE_SECONDS):
            pass
        summary = kinesis.describe_stream_summary(StreamName=properties.source.stream)
    except (OSError, ValueError, BotoCoreError, ClientError):
        return None
    return int(summary["StreamDescriptionSummary"]["OpenShardCount"])
