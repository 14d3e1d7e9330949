"""What tests share: one JVM for all `flink` tests, one local AWS and one Flink cluster for all `e2e` ones."""

from __future__ import annotations

import gc
import logging
import os
import warnings
from pathlib import Path

# Before any import of the product: what runs for tests never meets a demo or `local up`. Kept between runs, because
# Python workers start twice as fast with compiled modules.
os.environ.setdefault("FRAUD_WINDOWS_LOCAL_DIR", f"{Path(__file__).resolve().parents[1]}/.local/tests")
os.environ["FRAUD_WINDOWS_LOCAL_DIR"] += os.environ.get("PYTEST_XDIST_WORKER", "")

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

hypothesis.settings.register_profile("project", deadline=None, print_blob=True, max_examples=50)  # no wall clock
hypothesis.settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2_000)  # make laws
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))


STAGED = {  # files whose tests share the stage, below: make test gives them a process, and everything else another
    "test_doctor.py",
    "test_dropped_in_windows.py",
    "test_end_to_end.py",
    "test_faults_together.py",
    "test_replay.py",
    "test_restore.py",
    "test_task_manager_loss.py",
}


class StageApart(LoadScopeScheduling):
    """pytest-xdist: a file's tests in one process, and all staged files in the same."""

    def _split_scope(self, nodeid):
        file = Path(nodeid.split("::")[0]).name
        return "stage" if file in STAGED else file


def pytest_xdist_make_scheduler(config, log):
    return StageApart(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items):
    """`flink` tests get the JVM before their module's own fixtures; the stage, which takes longest, comes first."""
    for item in items:
        if item.get_closest_marker("flink"):
            item.fixturenames.insert(0, "flink_jvm")
        if "stage" in item.fixturenames:
            assert item.path.name in STAGED, f"{item.path.name} shares the stage: name it in STAGED"
    items.sort(key=lambda item: item.path.name not in STAGED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails on the stage shows what its cluster complained of: of a run elsewhere nothing else stays."""
    report = yield
    stage = getattr(item, "funcargs", {}).get("stage")
    if stage and report.when == "call" and report.failed:
        for log in sorted(stage.cluster.logs.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            loud = [line[:400] for line in lines if " WARN " in line or " ERROR " in line or "FAILED" in line]
            report.sections.append((f"{log.name}: its last warnings and errors", "\n".join(loud[-40:])))
    return report


@pytest.fixture(scope="session")
def flink_jvm():
    """PyFlink's gateway, started once, ended with its pipes closed; PyFlink itself leaves both to chance."""
    os.environ.setdefault("JVM_ARGS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")  # half the start-up time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Beam and what it imports warn while they are imported
        import pyflink.fn_execution.beam.beam_worker_pool_service  # noqa: F401
        from pyflink import java_gateway
    started = []
    launch = java_gateway.launch_gateway_server_process

    def remembered(environment, arguments):
        started.append(launch(environment, arguments))
        return started[-1]

    java_gateway.launch_gateway_server_process = remembered
    gateway = java_gateway.get_gateway()
    yield gateway
    gc.collect()  # Java objects that are garbage already tell the JVM, as long as it is there
    logging.disable(logging.CRITICAL)  # the others cannot, and would say so at length when the interpreter ends
    gateway.shutdown_callback_server()
    for process in started:
        process.stdin.close()  # the JVM's signal to end
        process.wait(20)
        process.stderr.close()
    gc.collect()  # Java objects' finalizers must not run inside pytest's parser: CPython gh-106905, before 3.11.8


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    """The local AWS and the Flink cluster that `e2e` tests share; each test makes a stream and sinks of its own."""
    from tests.e2e_stage import open_stage

    with open_stage(tmp_path_factory.mktemp("stage")) as opened:
        yield opened


@pytest.fixture(scope="session")
def kinesis_run(stage):
    """See `tests.e2e_kinesis_run`."""
    from tests import e2e_kinesis_run

    return e2e_kinesis_run.kinesis_run(stage)
