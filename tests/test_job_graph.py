"""The job graph as Flink would run it: one source, no Python where none is needed, and uids that survive edits."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.flink

ROOT = Path(__file__).resolve().parents[1]
JAR = ROOT / "deploy" / "jar" / "target" / "fraud-windows-connectors.jar"
SESSION = """
SELECT customer_id, window_start, window_end, COUNT(*) AS visit_count
FROM TABLE(SESSION(TABLE events PARTITION BY customer_id, DESCRIPTOR(event_time), INTERVAL '10' SECOND))
GROUP BY customer_id, window_start, window_end
"""
STATEFUL = {  # what holds state; a savepoint finds it by these uids and nothing else
    "kinesis: kinesis",
    "feature windows",
    "features: features",
    "features: features 2",
    "features: features 3",
    "features: features 4",
    "history card_velocity: StreamingFileWriter",
    "history customer_spend: StreamingFileWriter",
    "archive: StreamingFileWriter",
    "quarantine: StreamingFileWriter",
    "account: StreamingFileWriter",
}


@pytest.fixture(scope="module")
def sql(tmp_path_factory):
    import shutil

    return Path(shutil.copytree(ROOT / "sql", tmp_path_factory.mktemp("graph") / "sql"))


@pytest.fixture(scope="module")
def graph(sql):
    """Steps of the job for window files on top of the delivered ones, and settings of its parts."""
    from pyflink.util.java_utils import add_jars_to_context_class_loader

    assert JAR.exists(), f"{JAR} is missing; build it with: make jar"
    add_jars_to_context_class_loader([JAR.as_uri()])

    def steps(windows=(), chunks=None, separate_workers="false", parallelism=2):
        from flink_app import runtime
        from flink_app.job import build
        from flink_app.parts import Job
        from flink_app.planner import plan_sql
        from flink_app.properties import parse_properties

        groups = {
            "Source": {"kind": "kinesis", "stream": "payments"},
            "Features": {"table": "features"},
            **{name: {"path": f"file:///nowhere/{name}"} for name in ("History", "Archive", "Quarantine", "Account")},
            "Masking": {"key": "0123456789abcdef"},
            "Runtime": {"separate.workers": separate_workers},
        }
        listed = [{"PropertyGroupId": name, "PropertyMap": values} for name, values in groups.items()]
        added = [sql / "windows" / name for name, _ in windows]
        for file, (_, text) in zip(added, windows, strict=True):
            file.write_text(text)
        try:
            job = Job(parse_properties(listed, "test"), plan_sql(sql), chunks)
        finally:
            for file in added:
                file.unlink()
        env, tables = runtime.environments({}, JAR)
        env.set_parallelism(parallelism)
        build(env, tables, job)
        return runtime.steps(env)

    return steps


@pytest.fixture(scope="module")
def delivered(graph):
    return graph()


@pytest.fixture(scope="module")
def replay(graph):
    from flink_app.archive import ArchiveStore, Chunk, ChunkReader

    chunks = ChunkReader(ArchiveStore("/nowhere"), (Chunk("a", 0, 10, 1_000_000), Chunk("a", 1, 10, 2_000_000)))
    return graph(chunks=chunks, parallelism=2)


def uids(steps):
    return {step.uid for step in steps}


def test_every_step_has_a_uid_of_its_own(delivered):
    assert None not in uids(delivered)
    assert [uid for uid, count in Counter(step.uid for step in delivered).items() if count > 1] == []


def test_steps_with_state_have_the_uids_that_savepoints_know(delivered):
    assert uids(delivered) >= STATEFUL


def test_the_stream_is_read_once_and_python_runs_at_the_gate_and_the_windows_only(delivered):
    names = [re.sub(r"\[.*", "", step.name) for step in delivered]
    assert [name for name in names if name.startswith("Source: ") and "anonymous" not in name] == ["Source: kinesis"]
    assert names.count("PythonCalc") == 1
    assert not [name for name in names if "KEY_BY" in name.upper().replace("-", "_")]


def bundles(steps):
    return {step.uid: step.bundle for step in steps if step.bundle is not None}


def test_no_python_operator_has_anothers_bundles(replay, delivered):
    """PyFlink lays the environment's settings over every operator's own when the graph is made."""
    assert bundles(delivered) == {"gate: PythonCalc": 10_000, "feature windows": 1_000}
    assert bundles(replay) == {"archive: clock": 1, "gate: chunks": 1, "feature windows": 1_000}


def test_adding_a_window_file_changes_no_other_steps_uid(graph, delivered):
    third = SESSION.replace("SESSION(TABLE events PARTITION BY customer_id,", "TUMBLE(TABLE events,")
    steps = graph(windows=[("another.sql", third)])
    assert {uid.split(":")[0] for uid in uids(steps) - uids(delivered)} == {"history another"}
    assert uids(delivered) <= uids(steps)


def test_a_native_window_is_computed_once_and_adds_only_its_own_steps(graph, delivered):
    steps = graph(windows=[("a_session.sql", SESSION)])
    assert {uid.split(":")[0] for uid in uids(steps) - uids(delivered)} == {"events", "native a_session"}
    assert uids(delivered) <= uids(steps)
    assert [step.uid for step in steps if "WindowAggregate" in step.name] == ["native a_session: WindowAggregate"]


def test_separate_workers_put_the_windows_into_slots_of_their_own(graph):
    slots = {step.uid: step.slots for step in graph(separate_workers="true")}
    assert slots["gate: PythonCalc"] == slots["archive: StreamingFileWriter"] == "default"
    assert slots["feature windows"] == "windows"


def test_an_archive_has_one_clock_and_as_many_readers_as_subtasks(replay):
    parallelism = {step.uid: step.parallelism for step in replay}
    assert parallelism["archive: chunks"] == parallelism["archive: clock"] == 1
    assert parallelism["gate: chunks"] == parallelism["feature windows"] == 2
