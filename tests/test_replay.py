"""The raw archive of a Kinesis run, replayed, gives the same final rows: at any parallelism and any cut of batches."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flink_app.features_table import differences

pytestmark = pytest.mark.e2e

SEED = 5


@pytest.fixture(scope="module")
def application(stage):
    return stage.application("replay")


def replayed(stage, application, name, archive, **how):
    """The world after a replay of the archive to its end."""
    world = stage.world(name, Source={"kind": "archive", "path": archive}, Features={"enabled": "false"})
    job = world.submit(application, **how)
    assert stage.cluster.wait_ended(job, 120) == "FINISHED"
    return world


def assert_the_same(world, run):
    assert list(differences(world.final_rows(), run.rows)) == []
    assert world.history_rows() == run.world.history_rows()
    account = world.account()
    assert account.is_balanced
    assert account.exits == run.account.exits


@pytest.mark.parametrize(("parallelism", "bundle"), [(1, None), (2, 3)])
def test_a_replay_gives_the_same_final_rows(stage, application, kinesis_run, parallelism, bundle):
    flink = {"python.fn-execution.bundle.size": str(bundle)} if bundle else {}
    archive = kinesis_run.world.properties.archive.path
    world = replayed(stage, application, f"replay-{parallelism}", archive, parallelism=parallelism, flink=flink)
    assert_the_same(world, kinesis_run)


def test_an_archive_that_is_cut_and_mixed_otherwise_gives_the_same_final_rows(
    stage, application, kinesis_run, tmp_path
):
    print(f"seed {SEED}")
    cut_anew(kinesis_run.world.files("archive"), tmp_path / "raw")
    world = replayed(stage, application, "replay-4", str(tmp_path / "raw"), parallelism=4)
    assert_the_same(world, kinesis_run)


def cut_anew(files: list[Path], folder: Path) -> None:
    """The same records in five files of small row groups; each group spans seconds and is in no order."""
    mix = random.Random(SEED)
    tables = [pq.ParquetFile(file).read() for file in files]
    everything = pa.concat_tables(tables).sort_by("arrival_time")
    groups = [everything.slice(start, 311) for start in range(0, everything.num_rows, 311)]
    mix.shuffle(groups)
    folder.mkdir()
    for number in range(5):
        with pq.ParquetWriter(folder / f"part-{mix.random()}-{number}", everything.schema) as writer:
            for group in groups[number::5]:
                rows = list(range(group.num_rows))
                mix.shuffle(rows)
                writer.write_table(group.take(rows))
