"""The watermarks of both sources stay L and one millisecond behind the arrival: an event exactly L late is in time."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyFlink and Beam warn while they are imported
    from flink_app import sources
    from flink_app.archive import ArchiveStore, Chunk, ChunkReader

from tests.delivered import CONTRACT


class Stopped(Exception):  # noqa: N818 no error: the test has seen what it came for
    pass


def job(**more):
    properties = SimpleNamespace(
        source=SimpleNamespace(stream="payments", initial_position="LATEST"),
        aws=SimpleNamespace(region="us-east-1", endpoint=""),
    )
    return SimpleNamespace(properties=properties, plan=SimpleNamespace(contract=CONTRACT), **more)


def test_the_streams_watermark_is_arrival_minus_l_minus_a_millisecond(monkeypatch):
    def stop(_stream, delay_ms):
        delays.append(delay_ms)
        raise Stopped

    delays = []
    for name in ("declare", "table_stream"):
        monkeypatch.setattr(sources.runtime, name, lambda *_: None)
    monkeypatch.setattr(sources.runtime, "shard_watermarks", stop)
    with pytest.raises(Stopped):
        sources.kinesis_records(SimpleNamespace(from_path=lambda _: None), job())
    assert delays == [120_001]


def test_a_replays_watermark_is_first_arrival_minus_l_minus_a_millisecond(monkeypatch):
    chunks = (Chunk("a", 0, 1, 200_000), Chunk("b", 0, 1, 300_000))
    kept = []

    def stop(clocks):
        kept.append(clocks)
        raise Stopped

    source = SimpleNamespace(set_parallelism=lambda _: source, uid=lambda _: source)
    monkeypatch.setattr(sources, "NumberSequenceSource", lambda first, last: (first, last))
    monkeypatch.setattr(sources, "WatermarkStrategy", SimpleNamespace(no_watermarks=lambda: None))
    monkeypatch.setattr(sources, "ChunkClock", stop)
    env = SimpleNamespace(from_source=lambda *_, **__: source)
    with pytest.raises(Stopped):
        sources.gate_archive(env, None, job(chunks=ChunkReader(ArchiveStore("/nowhere"), chunks)))
    assert kept == [(79_999, 179_999)]
