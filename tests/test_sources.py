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


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(120_001, "0 00:02:00.001"), (1, "0 00:00:00.001"), (90_061_001, "1 01:01:01.001"), (60_000, "0 00:01:00.000")],
)
def test_a_duration_is_written_as_flink_reads_it(milliseconds, text):
    assert sources.interval(milliseconds) == text


def test_the_streams_watermark_is_arrival_minus_l_minus_a_millisecond(monkeypatch):
    declared = []
    monkeypatch.setattr(sources.runtime, "declare", lambda _tables, statement: declared.append(str(statement)))
    monkeypatch.setattr(sources, "records_view", lambda *_: None)
    sources.kinesis_records(None, job())
    (statement,) = declared
    assert "WATERMARK FOR arrival_time AS arrival_time - INTERVAL '0 00:02:00.001' DAY TO SECOND(3)" in statement


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
