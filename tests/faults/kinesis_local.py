"""kinesis-local, the Kinesis emulator whose resharding is right: closed shards keep their records.

MiniStack, which everything else runs on, deletes a shard that is split or merged together with its records, and
UpdateShardCount starts with new empty shards: a reader loses what it has not read yet. So streams that are resharded
lie here (it is slow, a few hundred records a second are no problem), the rest stays where it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flink_app.aws_clients import client
from flink_app.local.aws import REGION, LocalAws
from flink_app.local.places import ROOT, free_port
from flink_app.local.watchdog import Watchdog
from tests.e2e_stage import wait_for

VERSION = "0.6.2"
FOLDER = ROOT / ".local" / "kinesis-local"
_PACKAGE = FOLDER / "node_modules" / "kinesis-local"


@dataclass(frozen=True)
class WithKinesisLocal(LocalAws):
    """A local AWS whose Kinesis is elsewhere."""

    kinesis: str = ""

    def client(self, service: str) -> Any:
        return client(service, REGION, self.kinesis if service == "kinesis" else self.endpoint)


def missing() -> str:
    """What this machine lacks; installs the package if it can."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm (kinesis-local)"
    if not (_PACKAGE / "main.js").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(FOLDER), f"kinesis-local@{VERSION}"]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return "the npm package kinesis-local"
    return ""


@contextlib.contextmanager
def kinesis_local(log: Path) -> Iterator[str]:
    """Its endpoint, for the length of the block."""
    port, watchdog = free_port(), Watchdog()
    quick = {
        f"{what}_DURATION": "50ms" for what in ("CREATE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT")
    }
    settings = {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(free_port()),
        "KINESIS_MOCK_CERT_PATH": str(_PACKAGE / "server.json"),
        "SHARD_LIMIT": "500",
        "LOG_LEVEL": "ERROR",
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            ["node", "--require", str(Path(__file__).with_name("loopback.js")), "main.js"],
            cwd=_PACKAGE,
            env={**os.environ, **quick, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        watchdog.watch(process)
        endpoint = f"http://127.0.0.1:{port}"
        kinesis = client("kinesis", REGION, endpoint)

        def answers() -> bool:
            assert process.poll() is None, f"kinesis-local ended, see {log}"
            with contextlib.suppress(Exception):
                return bool(kinesis.list_streams())
            return False

        wait_for("kinesis-local", answers, 30)
        yield endpoint
    finally:
        watchdog.end()
