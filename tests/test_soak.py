"""The soak's judgement: what grows is found, what is flat passes. The soak itself is `make soak`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.soak.readings import Reading
from tests.soak.report import WATCHED, growth
from tests.soak.stream import HOUR_MS, a_day

FLAT = Reading(0.0, 10, 300, 120, 50, 1500, 400, 200, 300, 50, 0, 10, 20)
DAY = [replace(FLAT, hour=n / 10, s3_objects=n * 7) for n in range(240)]


def test_a_flat_day_passes():
    assert not any(growth(DAY).values())


def test_a_warm_up_is_no_growth():
    warming = [replace(reading, jvm_mb=min(1500, 500 + 200 * reading.hour)) for reading in DAY]
    assert not growth(warming)["jvm_mb"]


@pytest.mark.parametrize("name", [name for name in WATCHED if name != "s3_an_hour"])
def test_a_leak_of_anything_is_found(name):
    start = getattr(FLAT, name)
    leaking = [replace(reading, **{name: start * (1 + reading.hour / 10)}) for reading in DAY]
    assert [grown for grown, is_so in growth(leaking).items() if is_so] == [name]


def test_ever_smaller_files_are_found():
    more = [replace(reading, s3_objects=round(reading.hour**2 * 10)) for reading in DAY]
    assert [name for name, grown in growth(more).items() if grown] == ["s3_an_hour"]


def test_each_hour_has_customers_of_its_own_who_never_come_back():
    hours: dict[str, set[int]] = {}
    for chunk in a_day(0, 3, 60, 100):
        for customer, offset in zip(chunk.customers, chunk.send_offsets_ms.tolist(), strict=True):
            hours.setdefault(customer, set()).add(offset * 60 // HOUR_MS)
    assert len(hours) == 3 * 40
    assert all(len(of) == 1 for of in hours.values())
