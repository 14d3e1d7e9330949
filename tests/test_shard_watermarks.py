"""The watermark of a reader of several shards: the one furthest behind decides, whatever order they are read in."""

from __future__ import annotations

import pytest

from flink_app.local.places import JAR

pytestmark = pytest.mark.flink

DELAY, QUIET, SILENT = 120_001, 100, 300  # milliseconds; the others in periodic calls, ten a second
NOTHING = -(2**63)


class Reader:
    """The watermark generator of one reader, and what that reads."""

    def __init__(self):
        from pyflink.java_gateway import get_gateway
        from pyflink.util.java_utils import add_jars_to_context_class_loader, load_java_class

        add_jars_to_context_class_loader([JAR.as_uri()])
        self._data = get_gateway().jvm.org.apache.flink.table.data
        self._row = self._data.GenericRowData(4)
        self._generator = load_java_class("fraudwindows.ShardWatermarks").newInstance().behind(DELAY)
        self._generator = self._generator.createWatermarkGenerator(None)

    def reads(self, **arrivals):
        """A record of each shard; the row is used again, as Flink does."""
        for shard, arrival in arrivals.items():
            self._row.setField(1, self._data.TimestampData.fromEpochMillis(arrival))
            self._row.setField(2, self._data.StringData.fromString(shard))
            self._generator.onEvent(self._row, NOTHING, None)

    def says(self, after=1):
        """The arrival that the watermark stands for, after so many periodic calls; None: it says nothing."""
        for _ in range(after):
            found = self._generator.next()
        return None if found == NOTHING else found + DELAY

    @property
    def is_idle(self):
        return self._generator.isIdle()


@pytest.fixture
def reader():
    return Reader()


def test_the_shard_furthest_behind_decides(reader):
    reader.reads(a=9_000_000, b=1_000_000, c=5_000_000)
    assert reader.says(after=QUIET + 1) == 1_000_000
    reader.reads(b=6_000_000)
    assert reader.says() == 5_000_000


def test_a_shard_whose_backlog_comes_whole_before_anothers_first_record_closes_nothing(reader):
    for arrival in range(0, 3_600_000, 60_000):
        reader.reads(ahead=arrival)
        assert reader.says() is None
    reader.reads(behind=0)
    assert reader.says(after=QUIET) == 0


def test_nothing_is_said_for_ten_seconds_after_the_first_record(reader):
    assert reader.says(after=250) is None
    reader.reads(a=5)
    assert reader.says(after=QUIET) is None
    assert reader.says() == 5


def test_an_arrival_that_goes_back_takes_nothing_back(reader):
    reader.reads(a=5_000)
    reader.reads(a=1_000)
    assert reader.says(after=QUIET + 1) == 5_000


def test_a_silent_shard_does_not_count_after_half_a_minute(reader):
    reader.reads(a=1_000, silent=1)
    for arrival in range(2_000, 2_000 + SILENT):
        reader.reads(a=arrival)
        assert reader.says() in (None, 1)
    reader.reads(a=9_000)
    assert reader.says() == 9_000
    reader.reads(silent=2)
    assert reader.says() == 2


def test_when_all_are_silent_the_newest_record_stands_and_the_reader_is_idle(reader):
    reader.reads(a=1_000, b=2_000)
    assert reader.says(after=SILENT) == 1_000
    assert not reader.is_idle
    assert reader.says() == 2_000
    assert reader.is_idle


def test_after_a_silence_it_waits_for_the_other_shards_again(reader):
    reader.reads(a=1_000, b=2_000)
    reader.says(after=SILENT + 1)
    reader.reads(a=9_000_000)
    assert not reader.is_idle
    assert reader.says(after=QUIET - 1) is None
    reader.reads(b=3_000)
    assert reader.says(after=2) == 3_000


def test_a_reader_without_a_shard_is_idle_after_half_a_minute(reader):
    assert reader.says(after=SILENT - 1) is None
    assert not reader.is_idle
    reader.says()
    assert reader.is_idle
