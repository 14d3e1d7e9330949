"""kinesis-local, the Kinesis emulator whose resharding is right: closed shards keep their records.

MiniStack, which everything else runs on, deletes a shard that is split or merged together with its records, and
UpdateShardCount starts with new empty shards: a reader loses what it has not read yet. So streams that are resharded
lie here (it is slow, a few hundred records a second are no problem), the rest stays where it is.

    with on_kinesis_local(stage) as stage:
        world = stage.world("resharded", Aws={"endpoint": stage.proxy.endpoint})
        split_a_shard(stage.aws.client("kinesis"), world.name)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flink_app.aws_clients import client
from flink_app.local.aws import REGION, LocalAws
from flink_app.local.places import ROOT, free_port
from flink_app.local.watchdog import Watchdog
from tests.e2e_stage import Stage, wait_for

VERSION = "0.6.2"  # it has no dependencies
FOLDER = ROOT / ".local" / "kinesis-local" / VERSION
LOOPBACK = Path(__file__).with_name("loopback.js")
_PACKAGE = FOLDER / "node_modules" / "kinesis-local"

Shard = dict[str, Any]  # as ListShards has it


@dataclass(frozen=True)
class WithKinesisLocal(LocalAws):
    """A local AWS whose Kinesis is elsewhere."""

    kinesis: str = ""

    def client(self, service: str) -> Any:
        return client(service, REGION, self.kinesis if service == "kinesis" else self.endpoint)


def missing() -> str:
    """What this machine lacks for it."""
    return "" if shutil.which("node") and shutil.which("npm") else "node and npm (kinesis-local)"


def install() -> None:
    """The npm package, unless it is there."""
    if not (_PACKAGE / "main.js").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(FOLDER), f"kinesis-local@{VERSION}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def on_kinesis_local(stage: Stage) -> Iterator[Stage]:
    """The stage with its streams on kinesis-local; a job reaches them through the stage's proxy."""
    with kinesis_local(stage.folder / "kinesis-local.log") as endpoint:
        stage.proxy.upstreams["kinesis"] = endpoint
        try:
            yield replace(stage, aws=WithKinesisLocal(**vars(stage.aws), kinesis=endpoint))
        finally:
            del stage.proxy.upstreams["kinesis"]


@contextlib.contextmanager
def kinesis_local(log: Path) -> Iterator[str]:
    """Its endpoint, for the length of the block."""
    install()
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
            ["node", "--require", str(LOOPBACK), "main.js"],
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


def split_a_shard(kinesis: Any, stream: str) -> None:
    """Split the open shard of the lowest hash keys in its middle."""
    shard = open_shards(kinesis, stream)[0]
    middle = (_lowest(shard) + int(shard["HashKeyRange"]["EndingHashKey"])) // 2
    kinesis.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))
    settle(kinesis, stream)


def merge_two_shards(kinesis: Any, stream: str) -> None:
    """Merge the open shards of the highest hash keys."""
    low, high = open_shards(kinesis, stream)[-2:]
    kinesis.merge_shards(StreamName=stream, ShardToMerge=low["ShardId"], AdjacentShardToMerge=high["ShardId"])
    settle(kinesis, stream)


def settle(kinesis: Any, stream: str) -> None:
    """Until a resharding is done."""
    time.sleep(0.5)
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})


def open_shards(kinesis: Any, stream: str) -> list[Shard]:
    """Shards that take records, by hash key."""
    shards = kinesis.list_shards(StreamName=stream)["Shards"]
    return sorted((shard for shard in shards if not is_closed(shard)), key=_lowest)


def is_closed(shard: Shard) -> bool:
    """Whether it was split or merged."""
    return "EndingSequenceNumber" in shard["SequenceNumberRange"]


def _lowest(shard: Shard) -> int:
    return int(shard["HashKeyRange"]["StartingHashKey"])
