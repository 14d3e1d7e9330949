"""A real Flink cluster on this machine: JobManager and TaskManager processes from the PyFlink wheel.

    with FlinkCluster(ClusterSettings(slots=2, s3_endpoint="http://127.0.0.1:4566")) as cluster:
        job = cluster.submit(MAIN, jar=JAR, properties=Path("application_properties.json"))
        cluster.wait_running(job)
        savepoint = cluster.stop_with_savepoint(job)

A job is submitted as the managed service does it: one main script, one jar, property groups. All processes end with
the `with` block, or with this process, however it ends (flink_app.local.watchdog).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from flink_app.aws_clients import is_local, local_keys
from flink_app.local.cluster_config import ClusterSettings, flink_configuration, flink_home, write_configuration
from flink_app.local.flink_rest import ClusterError, FlinkRest, root_cause
from flink_app.local.places import LOCAL, PLUGINS, free_port
from flink_app.local.watchdog import Watchdog

_JOB_ID = re.compile(r"Job has been submitted with JobID ([0-9a-f]{32})")


class SubmitError(ClusterError):
    """The main script ended without submitting a job; problems are its own `error: …` lines where it printed any."""


class FlinkCluster(FlinkRest):
    """One JobManager and its TaskManagers, on free ports of 127.0.0.1.

    Attributes:
        directory: configuration, logs, checkpoints and temporary files; emptied by start(), kept by stop() (logs!).
        savepoints: default target of savepoints; never emptied.
        url: of the REST interface and web UI, known after start().
    """

    def __init__(
        self,
        settings: ClusterSettings | None = None,
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__("")
        self.settings = settings or ClusterSettings()
        self.directory = (directory or LOCAL / "flink").resolve()
        self.savepoints = self.directory.parent / f"{self.directory.name}-savepoints"
        self._environment = dict(environment or {})
        self._progress = progress
        self._job_manager: subprocess.Popen[bytes] | None = None
        self._task_managers: list[subprocess.Popen[bytes]] = []
        self._started = 0
        self._watchdog: Watchdog | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def logs(self) -> Path:
        """Folder of all log files."""
        return self.directory / "log"

    def start(self) -> None:
        """Start all processes and wait until every slot is offered (about 5 s on two cores)."""
        started = time.monotonic()
        try:
            self._start_job_manager()
            for _ in range(self.settings.task_managers):
                self.add_task_manager(wait=False)
            self.wait_task_managers()
        except BaseException:
            self.stop()
            raise
        processes = f"JobManager and {self.settings.task_managers} × TaskManager with {self.settings.slots} slots"
        self._progress(f"Flink cluster: {processes}, web UI {self.url} ({time.monotonic() - started:.1f} s)")

    def stop(self) -> None:
        """End every process of the cluster, Python workers included; safe to call twice."""
        watchdog, self._watchdog = self._watchdog, None
        self._job_manager, self._task_managers = None, []
        if watchdog:
            watchdog.end()
        if self._lock:
            self._lock.close()

    def add_task_manager(self, *, wait: bool = True) -> None:
        """Start one more TaskManager."""
        self._task_managers.append(self._spawn("taskmanager"))
        if wait:
            self.wait_task_managers()

    def kill_task_manager(self, index: int = 0) -> None:
        """End a TaskManager and its Python workers by kill -9, as a machine fails; the job restarts where slots are."""
        process = self._task_managers.pop(index)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_task_managers(self, timeout: float = 60) -> None:
        """Until all TaskManagers that were started have registered."""
        wanted = len(self._task_managers)

        def registered() -> bool:
            self._raise_if_dead()
            return len([t for t in self.rest("/taskmanagers")["taskmanagers"] if t["slotsNumber"]]) >= wanted

        self.wait(f"{wanted} TaskManagers", registered, timeout)

    def task_manager_pids(self) -> list[int]:
        """Process ids of the TaskManagers' JVMs."""
        return [process.pid for process in self._task_managers]

    def worker_pids(self) -> list[int]:
        """Process ids of everything in the TaskManagers' process groups, Python workers included."""
        groups = set(self.task_manager_pids())
        listing = subprocess.run(["ps", "-eo", "pid=,pgid="], check=True, capture_output=True, text=True).stdout
        return [int(pid) for pid, group in (line.split() for line in listing.splitlines()) if int(group) in groups]

    def submit(
        self,
        main_script: Path,
        *,
        jar: Path | None = None,
        properties: Path | None = None,
        py_files: Sequence[Path] = (),
        parallelism: int | None = None,
        savepoint: str | None = None,
        allow_non_restored: bool = False,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        timeout: float = 180,
    ) -> str:
        """`flink run` the main script; returns the job id once the JobManager has it.

        `properties` reaches the script as `--properties FILE`. Raises SubmitError when the script ends without a job.
        """
        command: list[str] = [str(flink_home() / "bin" / "flink"), "run", "--detached"]
        command += ["--parallelism", str(parallelism)] if parallelism else []
        command += ["--fromSavepoint", savepoint] if savepoint else []
        command += ["--allowNonRestoredState"] if allow_non_restored else []
        command += ["--jarfile", str(jar)] if jar else []
        command += ["--pyFiles", ",".join(str(path) for path in py_files)] if py_files else []
        command += ["--python", str(main_script)]
        command += ["--properties", str(properties)] if properties else []
        self._progress(f"submit {main_script.name} (Flink's client plans the SQL: about 15 s on two cores)")
        log = self.logs / "submit.out"
        with log.open("w+") as output:
            process = self._popen([*command, *arguments], output, environment)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                raise SubmitError(f"{main_script.name}: no job within {timeout:g} s · see {log}") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            output.seek(0)
            text = output.read()
        if match := _JOB_ID.search(text):
            return match[1]
        raise SubmitError(*_submit_problems(text, main_script, log))

    def _start_job_manager(self) -> None:
        if not list(PLUGINS.glob("s3-fs-hadoop/*.jar")):
            raise ClusterError(f"{PLUGINS}: Flink's S3 plugin is missing · run `make setup`")
        self._take_directory()
        self._watchdog = Watchdog()
        for attempt in range(3):  # somebody may take a port between the choice and the use
            port = free_port(0 if attempt else 8081)
            self.url = f"http://127.0.0.1:{port}"
            options = flink_configuration(self.settings, self.directory, self.savepoints, port, free_port())
            write_configuration(self.directory / "conf", options)
            self._job_manager = self._spawn("jobmanager")
            if self.wait("JobManager", self._job_manager_state, 60) == "up":
                return
        raise ClusterError(f"the JobManager ended three times · see {self.logs}")

    def _job_manager_state(self) -> str | None:
        """'up', 'ended', or None while it starts; another cluster that answers on the port is none of ours."""
        if self._job_manager is None or self._job_manager.poll() is not None:
            return "ended"
        try:
            options = {entry["key"]: entry["value"] for entry in self.rest("/jobmanager/config")}
        except ClusterError:
            return None
        return "up" if options.get("io.tmp.dirs") == str(self.directory / "tmp") else None

    def _take_directory(self) -> None:
        """Empty the directory; one that another running cluster has is left alone, for a new one beside it."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        self._lock = self.directory.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.directory = self.directory.with_name(f"{self.directory.name}-{os.getpid()}")
        shutil.rmtree(self.directory, ignore_errors=True)
        for folder in (self.logs, self.directory / "tmp", self.savepoints):
            folder.mkdir(parents=True, exist_ok=True)

    def _spawn(self, kind: str) -> subprocess.Popen[bytes]:
        """Start a Flink process in the foreground of its own process group, under the watchdog's eye."""
        self._started += 1
        with (self.logs / f"{kind}-{self._started}.out").open("w") as output:
            return self._popen([str(flink_home() / "bin" / f"{kind}.sh"), "start-foreground"], output)

    def _popen(
        self, command: list[str], output: IO[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=self._process_environment() | dict(environment or {}),
            cwd=self.directory,
            start_new_session=True,
        )
        assert self._watchdog is not None
        self._watchdog.watch(process)
        return process

    def _process_environment(self) -> dict[str, str]:
        environment = {**os.environ} | {
            "FLINK_HOME": str(flink_home()),
            "FLINK_CONF_DIR": str(self.directory / "conf"),
            "FLINK_LOG_DIR": str(self.logs),
            "FLINK_PID_DIR": str(self.directory / "tmp"),
            "FLINK_PLUGINS_DIR": str(PLUGINS),
            "TMPDIR": str(self.directory / "tmp"),
            "PYTHONPYCACHEPREFIX": str(LOCAL / "pycache"),  # workers would compile Beam on every start without it
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if is_local(self.settings.s3_endpoint):
            key, secret = local_keys()
            environment |= {
                "AWS_CBOR_DISABLE": "1",  # emulators do not speak it
                "AWS_ACCESS_KEY_ID": key,
                "AWS_SECRET_ACCESS_KEY": secret,
                "AWS_REGION": environment.get("AWS_REGION", "us-east-1"),
            }
            environment.pop("AWS_PROFILE", None)
        return environment | self._environment

    def _raise_if_dead(self) -> None:
        for process in (self._job_manager, *self._task_managers):
            if process and process.poll() is not None:
                raise ClusterError(f"a Flink process ended with {process.returncode} · see {self.logs}")


def _submit_problems(text: str, main_script: Path, log: Path) -> list[str]:
    """The lines of the client's output that a person needs."""
    if own := re.findall(r"^error: (.*)$", text, re.MULTILINE):
        return own
    if "Error" in text or "Exception" in text:
        return [f"{main_script.name}: {root_cause(text)} · see {log}"]
    last = text.strip().rpartition("\n")[2] or "no output"
    return [f"{main_script.name} ended without a job: {last} · see {log}"]
