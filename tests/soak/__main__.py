"""The soak: a day of the stream, faster than the wall clock, while memory, state and files are watched.

python -m tests.soak [--hours 24] [--speed 60] [--rate 50] [--write]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Before any import of the product: what runs here never meets a demo, `local up` or the tests.
os.environ.setdefault("FRAUD_WINDOWS_LOCAL_DIR", str(Path(__file__).resolve().parents[2] / ".local" / "soak"))

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from flink_app.local.places import ROOT
from tests.e2e_stage import Stage, open_stage
from tests.faults.grid import ROCKSDB
from tests.faults.laws import Verdict, judge
from tests.faults.scene import Scene, proxied_world
from tests.soak import report
from tests.soak.readings import Reading, read
from tests.soak.stream import HOUR_MS, SEED, a_day

EVERY_S = 10


def main() -> int:
    """1 if something grew or a law broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=int, default=24, help="of the stream (default: 24)")
    parser.add_argument("--speed", type=int, default=60, help="of the stream against the wall clock (default: 60)")
    parser.add_argument("--rate", type=float, default=50, help="payments a second of wall clock (default: 50)")
    parser.add_argument("--write", action="store_true", help="write docs/soak.md and docs/soak.svg")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(
        f"{given.hours} hours of the stream in about {given.hours * 60 / given.speed:.0f} minutes, p=2, RocksDB"
    )
    with tempfile.TemporaryDirectory(prefix="fraud-windows-soak-") as folder, open_stage(Path(folder)) as stage:
        readings, verdict = soak(stage, given.hours, given.speed, given.rate, console)
    console.print(report.told(verdict))
    if given.write:
        report.write(ROOT / "docs", readings, verdict, hours=given.hours, speed=given.speed, rate=given.rate)
    return 0 if verdict.holds and not any(report.growth(readings).values()) else 1


def soak(stage: Stage, hours: int, speed: int, rate: float, console: Console) -> tuple[list[Reading], Verdict]:
    """Run it: a reading every ten seconds, and the laws over all that was stored in the end."""
    world = proxied_world(stage, "soak", {"State": {"buckets": "4"}})  # two subtasks on a machine of two cores
    scene = Scene(world, stage.application("soak"), SEED, ROCKSDB, speed=speed, span_ms=(hours + 1) * HOUR_MS)
    try:
        scene.submit()
        scene.start_clock()
        scene.start_sending(a_day(scene.base_ms, hours, speed, rate), scene.real_ms)
        readings = list(_watch(scene, hours, console))
        scene.join_sender()
        scene.wait_stored()
        world.stop(scene.job, drain=True)
    finally:
        scene.close()
    report.show(console, readings)
    console.print(f"{world.sent.total():,} payments are in; the oracle counts again, and the whole table is read …")
    return readings, judge(world, may_close=True)


def _watch(scene: Scene, hours: int, console: Console) -> Iterator[Reading]:
    told = TextColumn("{task.completed:.1f} of {task.total} h · {task.fields[now]}")
    bar = Progress(BarColumn(), told, TimeRemainingColumn(), console=console)
    with bar:
        task = bar.add_task("", total=hours, now="")
        scene.wait_checkpoint(0)
        reading = None
        while (hour := scene.stream_ms(time.time() * 1000) / HOUR_MS) < hours:
            reading = read(scene, hour, reading)
            bar.update(task, completed=hour, now=f"{reading.backlog} records waiting, state {reading.state_mb:.1f} MB")
            yield reading
            time.sleep(EVERY_S)
        assert scene.restarts() == 0, scene.cluster.exceptions(scene.job)


if __name__ == "__main__":
    sys.exit(main())
