"""The configuration of a local Flink cluster: what the managed service sets by itself, in values for one machine."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flink_app.aws_clients import is_local, local_keys

_BACKENDS = {"heap": "hashmap", "rocksdb": "rocksdb"}


def flink_home() -> Path:
    """The Flink distribution inside the PyFlink wheel, found without importing PyFlink (which takes a second)."""
    spec = importlib.util.find_spec("pyflink")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pyflink is not installed · wanted apache-flink==1.20.1 · run `make setup`")
    return Path(spec.origin).parent


@dataclass(frozen=True)
class ClusterSettings:
    """How large a local cluster is and how it keeps state.

    Attributes:
        task_managers: TaskManager processes.
        slots: task slots of each; a job needs as many slots as its parallelism, times its slot sharing groups.
        backend: 'heap' or 'rocksdb' (incremental, as on the managed service).
        checkpoint_interval_ms: 0 turns checkpoints off.
        job_manager_memory, task_manager_memory: whole process, Flink's notation.
        s3_endpoint: where `s3://` paths lie; None for real AWS with the credentials of the environment.
        extra: further Flink configuration, wins over everything here.
    """

    task_managers: int = 1
    slots: int = 2
    backend: str = "heap"
    checkpoint_interval_ms: int = 10_000
    job_manager_memory: str = "1g"
    task_manager_memory: str = "2500m"
    s3_endpoint: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.backend not in _BACKENDS:
            raise ValueError(f"backend: got '{self.backend}' · wanted {' or '.join(_BACKENDS)}")
        if self.task_managers < 0 or self.slots < 1:
            raise ValueError(f"got {self.task_managers} TaskManagers of {self.slots} slots · wanted >= 0 of >= 1")


def flink_configuration(
    settings: ClusterSettings, directory: Path, savepoints: Path, rest_port: int, rpc_port: int
) -> dict[str, str]:
    """Flink's options as flat keys; everything listens on 127.0.0.1, everything on disk lies in `directory`."""
    default = (flink_home() / "conf" / "config.yaml").read_text()
    modules = re.findall(r"--add-(?:opens|exports)=\S+", default)  # what this Flink version needs on Java 17
    quick_start = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # half the start-up time, for processes without hot loops
    options: dict[str, object] = {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": rpc_port,
        "jobmanager.bind-host": "127.0.0.1",
        "jobmanager.memory.process.size": settings.job_manager_memory,
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.numberOfTaskSlots": settings.slots,
        "taskmanager.memory.process.size": settings.task_manager_memory,
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": rest_port,
        "io.tmp.dirs": directory / "tmp",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "env.java.opts.all": " ".join([*modules, f"-Djava.io.tmpdir={directory / 'tmp'}"]),
        "env.java.opts.jobmanager": quick_start,
        "env.java.opts.client": quick_start,
        "state.backend.type": _BACKENDS[settings.backend],
        "execution.checkpointing.incremental": str(settings.backend == "rocksdb").lower(),
        "execution.checkpointing.dir": f"file://{directory / 'checkpoints'}",
        "execution.checkpointing.savepoint-dir": f"file://{savepoints}",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 10,
        "restart-strategy.fixed-delay.delay": "1 s",
        "heartbeat.timeout": "20 s",  # a killed TaskManager is noticed soon, a busy one is not lost
        "heartbeat.interval": "3 s",
        "metrics.fetcher.update-interval": 1000,
    }
    if settings.checkpoint_interval_ms:
        options["execution.checkpointing.interval"] = f"{settings.checkpoint_interval_ms} ms"
    if settings.s3_endpoint:
        options["s3.endpoint"] = settings.s3_endpoint
    if is_local(settings.s3_endpoint):
        key, secret = local_keys()
        options |= {"s3.path.style.access": "true", "s3.access-key": key, "s3.secret-key": secret}
    return {key: str(value) for key, value in {**options, **settings.extra}.items()}


def write_configuration(folder: Path, options: Mapping[str, str]) -> None:
    """Write config.yaml and the log configuration into `folder`; logs go to files only."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in options.items()))
    for source in (flink_home() / "conf").glob("log*"):
        shutil.copy(source, folder)
    shutil.copy(flink_home() / "conf" / "log4j.properties", folder / "log4j-console.properties")
