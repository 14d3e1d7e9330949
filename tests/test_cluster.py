"""The local Flink cluster: real processes, the submission contract, savepoints, and an end without leftovers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flink_app.local.cluster import FlinkCluster, SubmitError, _submit_problems
from flink_app.local.cluster_config import ClusterSettings, flink_configuration
from flink_app.local.flink_rest import ClusterError, root_cause

TINY = Path(__file__).parent / "jobs" / "tiny_job.py"


def alive(pids):
    return [
        pid
        for pid in pids
        if Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    ]


@pytest.mark.e2e
def test_a_job_runs_is_stopped_with_a_savepoint_and_restored_and_nothing_stays_behind(tmp_path):
    settings = ClusterSettings(checkpoint_interval_ms=1000)
    with FlinkCluster(settings, directory=tmp_path / "flink") as cluster:
        job = cluster.submit(TINY)
        cluster.wait_running(job)
        cluster.wait_checkpoints(job, 1)
        with pytest.raises(ClusterError, match=r"not within 0.5 s · the job is RUNNING · checkpoints: .* completed"):
            cluster.wait_checkpoints(job, 1_000, timeout=0.5)
        cluster.wait("records", lambda: cluster.metric(job, r"Source.*numRecordsOut$") > 0, 20)
        savepoint = cluster.stop_with_savepoint(job)
        assert cluster.job_state(job) == "FINISHED"

        job = cluster.submit(TINY, savepoint=savepoint, parallelism=2)
        cluster.wait_running(job)

        with pytest.raises(SubmitError) as error:
            cluster.submit(TINY, arguments=["--fail"])
        assert error.value.problems == ("sql/events.sql:1:1: nothing here", "Source.kind: got 'x' · wanted kinesis")

        cluster.wait("a Python worker", lambda: len(cluster.worker_pids()) > 1, 20)
        pids = cluster.worker_pids()
    assert alive(pids) == []


@pytest.mark.e2e
def test_the_cluster_ends_with_the_process_that_started_it_even_when_that_is_killed(tmp_path):
    starter = f"""
import time
from pathlib import Path
from flink_app.local.cluster import FlinkCluster
cluster = FlinkCluster(directory=Path({str(tmp_path / "flink")!r}))
cluster.start()
print(*cluster.worker_pids(), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert alive(pids)
        os.kill(process.pid, 9)
    until = time.monotonic() + 10
    while alive(pids) and time.monotonic() < until:
        time.sleep(0.1)
    assert alive(pids) == []


def test_the_errors_of_the_main_script_are_shown_without_a_stack_trace():
    text = (
        "Traceback (most recent call last):\n  File x\nKeyError: 'lost'\norg.apache.flink.ProgramAbortException\n\tat x"
    )
    assert _submit_problems("error: a\nerror: b\n" + text, Path("main.py"), Path("log")) == ["a", "b"]
    assert _submit_problems(text, Path("main.py"), Path("log")) == ["main.py: KeyError: 'lost' · see log"]


def test_the_root_cause_is_the_python_error_or_the_last_java_cause():
    java = "java.lang.RuntimeException: a\n\tat x\nCaused by: java.io.IOException: b\n\tat y"
    assert root_cause(java) == "java.io.IOException: b"
    assert root_cause(java + "\nTraceback\nValueError: c\n\tat z") == "ValueError: c"


def test_extra_configuration_wins_and_everything_listens_on_the_loopback(tmp_path):
    settings = ClusterSettings(backend="rocksdb", s3_endpoint="http://127.0.0.1:1", extra={"s3.access-key": "mine"})
    options = flink_configuration(settings, tmp_path, tmp_path, 1, 2)
    assert options["s3.access-key"] == "mine"
    assert options["state.backend.type"] == "rocksdb"
    assert {options[key] for key in options if key.endswith(("bind-host", "address", "taskmanager.host"))} == {
        "127.0.0.1"
    }
