"""Stop with a savepoint, edit, add and remove window files, restore, twice; and once at each other parallelism.

part 1, p=1 ──► savepoint ──► part 2, p=2 ──► savepoint ──► part 3, p=1 ──► drained stop
card_velocity   edited: a column more                        as it is
customer_spend  as it is                                     removed
                device_spread, new                           as it is
"""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest

from flink_app.features_table import differences
from flink_app.generate import ACCEPTED, payments
from tests import oracle
from tests.e2e_stage import expected, keyed

pytestmark = pytest.mark.e2e

SEEDS, CUSTOMERS, RATE = (21, 22, 23), 30, 300.0
RESENT = 50
DEVICE_SPREAD = """-- purpose: how many devices pay for a customer within a minute
-- grain:   one row per customer and minute, a new one every 10 seconds
-- owner:   fraud-features
SELECT
  customer_id,
  window_start,
  window_end,
  COUNT(DISTINCT device_id) AS device_count
FROM TABLE(HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '10' SECOND, INTERVAL '60' SECOND))
GROUP BY customer_id, window_start, window_end
"""


@pytest.fixture(scope="module")
def story(stage):
    """(world, final rows of all records, items as the second part left them, the time when it was stopped)."""
    print(f"seeds {SEEDS}")
    world, application = stage.world("restore"), stage.application("restore")
    job = world.submit(application)
    accepted = send_part(world, job, 0, 2_000)
    savepoint = world.stop(job, drain=False)

    velocity = application.windows / "card_velocity.sql"
    velocity.write_text(velocity.read_text().replace("COUNT(*) ", "MIN(amount) AS amount_min,\n  COUNT(*) ", 1))
    (application.windows / "device_spread.sql").write_text(DEVICE_SPREAD)
    job = world.submit(application, parallelism=2, savepoint=savepoint)
    world.resend(accepted[-RESENT:])
    send_part(world, job, 1, 2_000, more=RESENT)
    time.sleep(3)  # the last ticks
    stopped_at = time.time() * 1000
    savepoint = world.stop(job, drain=False)
    between = (world.records(), world.items(), stopped_at)

    (application.windows / "customer_spend.sql").unlink()
    job = world.submit(application, savepoint=savepoint)
    send_part(world, job, 2, 600)
    world.stop(job, drain=True)
    return world, between


def send_part(world, job, number, events, more=0):
    """Send, wait until all is read; returns the records that must count."""
    start_ms = int(time.time() * 1000) + 300
    chunks = list(payments(seed=SEEDS[number], events=events, customers=CUSTOMERS, rate=RATE, start_ms=start_ms))
    world.send(chunks, start_ms)
    world.wait_read(job, events + more)
    (chunk,) = chunks
    return [chunk.records[number] for number in range(events) if chunk.exits[number] == ACCEPTED]


def events_of(records):
    return oracle.accepted_events([(record.data, record.arrival) for record in records])[0]


def windows_of(events, name, size, slide):
    """(feature set, customer, window end) -> its events."""
    groups = {}
    for event in events:
        end = event["time"] // slide * slide + slide
        while end - size <= event["time"]:
            groups.setdefault((name, event["customer_id"], end), []).append(event)
            end += slide
    return groups


def device_rows(events):
    groups = windows_of(events, "device_spread", 60_000, 10_000)
    rows = {
        key: {"device_count": len({event["device_id"] for event in group}), "revision": len(group)}
        for key, group in groups.items()
    }
    return rows, groups


def of(feature_set, rows):
    return {key: row for key, row in rows.items() if key[1].startswith(feature_set)}


def spans_the_stop(group):
    return {int(event["event_id"][1:].partition("-")[0], 16) for event in group} >= set(SEEDS[:2])


def test_the_position_in_the_stream_is_kept_and_nothing_is_lost_or_double(story):
    world, _ = story
    records = world.records()
    assert Counter(record.data for record in records) == world.sent
    assert len({(record.shard, record.number) for record in records}) == len(records)
    account = world.account()
    _, exits = expected(records)
    assert account.is_balanced
    assert Counter(account.exits) == exits, f"seeds {SEEDS}"
    assert account.duplicate > RESENT  # those of before the stop, and the generator's own


def test_the_edited_window_is_warm_and_exact_and_each_row_final_once(story):
    world, _ = story
    records, found = world.records(), of("card_velocity", world.final_rows())
    groups = windows_of(events_of(records), "card_velocity", 30_000, 5_000)
    wanted = oracle.final_rows(events_of(records))
    for key, group in groups.items():
        wanted[key]["amount_min"] = min(event["amount"] for event in group)
    assert any(spans_the_stop(group) for group in groups.values())
    assert list(differences(found, of("card_velocity", keyed(wanted)))) == [], f"seeds {SEEDS}"
    assert set(world.history_rows().values()) == {1}


def test_the_new_window_is_warm_live_and_final(story):
    world, (records, items, stopped_at) = story
    rows, groups = device_rows(events_of(records))
    spanning = keyed({key: rows[key] for key in rows if spans_the_stop(groups[key]) and key[2] < stopped_at - 3_000})
    assert spanning
    assert {key: items.get(key) for key in spanning} == spanning, f"seeds {SEEDS}"
    rows, _ = device_rows(events_of(world.records()))
    assert list(differences(of("device_spread", world.final_rows()), keyed(rows))) == [], f"seeds {SEEDS}"


def test_the_features_table_equals_the_final_rows_of_the_windows_that_are_left(story):
    world, _ = story
    final, items = world.final_rows(), world.items()
    for feature_set in ("card_velocity", "device_spread"):
        assert list(differences(of(feature_set, items), of(feature_set, final))) == [], f"seeds {SEEDS}"


def test_the_removed_window_wrote_right_rows_as_long_as_it_was_there(story):
    world, (records, items, stopped_at) = story
    rows = oracle.final_rows(events_of(records))
    ended = of("customer_spend", keyed({key: row for key, row in rows.items() if key[2] < stopped_at - 3_000}))
    assert ended
    assert {key: items.get(key) for key in ended} == ended, f"seeds {SEEDS}"
    wanted, _ = expected(world.records())
    assert of("customer_spend", world.final_rows()).items() <= wanted.items()


def test_job_starts_do_not_pile_up_native_libraries_that_hold_their_classes(story, stage):
    """Restarts on a TaskManager that lives on ate its memory: see UnloadableClasses in deploy/jar.

    The first start may have loaded Beam's epoll library before it was switched off; each later one had a copy.
    """
    (pid,) = stage.cluster.task_manager_pids()
    libraries = set(re.findall(r"\S*beam_vendor\S*native_epoll\S*", Path(f"/proc/{pid}/maps").read_text()))
    assert len(libraries) <= 1, libraries
