"""kill -9 of the TaskManager, Python workers and all, in the middle of the stream: no law bends."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from flink_app.features_table import differences
from flink_app.generate import payments
from tests.e2e_stage import expected, wait_for

pytestmark = pytest.mark.e2e

SEED, EVENTS, CUSTOMERS, RATE = 31, 4_500, 40, 300.0
AS_ON_THE_MANAGED_SERVICE = {"state.backend.type": "rocksdb", "execution.checkpointing.incremental": "true"}


def test_after_a_killed_task_manager_every_record_counts_once_and_every_row_is_final_once(stage):
    print(f"seed {SEED}")
    world = stage.world("loss", Runtime={"separate.workers": "true"})
    job = world.submit(stage.application("loss"), parallelism=2, flink=AS_ON_THE_MANAGED_SERVICE)
    start_ms = int(time.time() * 1000) + 300
    chunks = list(payments(seed=SEED, events=EVENTS, customers=CUSTOMERS, rate=RATE, start_ms=start_ms))
    sender = threading.Thread(target=world.send, args=(chunks, start_ms))
    sender.start()
    cluster = stage.cluster
    world.wait_read(job, EVENTS // 3)
    cluster.wait_checkpoints(job, cluster.checkpoints(job)["counts"]["completed"] + 1)
    cluster.kill_task_manager()
    cluster.add_task_manager()
    cluster.wait("the failure to be noticed", lambda: cluster.exceptions(job), 60)
    cluster.wait_running(job, 60)
    sender.join()
    wait_for("all records in the archive", lambda: world.account().records_in == EVENTS, 90)
    world.stop(job, drain=True)

    records = world.records()
    wanted, exits = expected(records)
    assert Counter(record.data for record in records) == world.sent
    account = world.account()
    assert account.is_balanced
    assert Counter(account.exits) == exits, f"seed {SEED}"
    found = world.final_rows()
    assert list(differences(found, wanted)) == [], f"seed {SEED}"
    assert set(world.history_rows().values()) == {1}
    assert list(differences(world.items(), found)) == [], f"seed {SEED}"
