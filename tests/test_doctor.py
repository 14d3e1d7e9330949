"""Every verdict of the doctor, really caused: one job on a local cluster, made ill and well again, one cause at a time.

    healthy ─► shard limit ─► slow checkpoints ─► slow GetRecords ─► slow BatchWriteItem ─► workers that hardly run

The proxy stands between the job (and the producer) and its AWS: it delays answers, and plays the limit of a shard,
which the embedded AWS does not have.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from dataclasses import replace

import pytest

from flink_app.aws_clients import client
from flink_app.delivery import to_kinesis
from flink_app.doctor import Verdict, diagnose
from flink_app.doctor_flink import look
from flink_app.generate import payments
from flink_app.local.aws import REGION
from flink_app.run import records_read
from tests.faults import answers, processes
from tests.faults.aws_faults import CHECKPOINTS, CHECKPOINTS_IN_S3, READ, WRITE
from tests.faults.proxy import Rule
from tests.faults.requests import Answer
from tests.faults.scene import proxied_world

pytestmark = [pytest.mark.e2e, pytest.mark.verdicts]

SEED, CUSTOMERS = 71, 2_000
PATIENCE = 240  # seconds; no verdict hangs on it
LOOK_SECONDS = 6.0
OTHERWISE_PATIENT = {  # a failed checkpoint restarts the job by default, and a restart is no verdict
    **CHECKPOINTS_IN_S3,
    "execution.checkpointing.timeout": "10 s",
    "execution.checkpointing.tolerable-failed-checkpoints": "1000",
}
NOTHING_YET = {Verdict.HEALTHY, Verdict.NOT_ENOUGH_DATA}


class ShardLimit:
    """PutRecords into a shard that takes so many records a second and refuses the rest, each by its own error.

    Attributes:
        refused: records.
    """

    def __init__(self, per_second):
        self._per_second, self._free, self._filled = per_second, float(per_second), time.monotonic()
        self._lock = threading.Lock()
        self.refused = 0

    def __call__(self, request, forward):
        asked = json.loads(request.body)
        wanted = len(asked["Records"])
        with self._lock:
            now = time.monotonic()
            self._free = min(self._per_second, self._free + (now - self._filled) * self._per_second)
            self._filled = now
            taken = min(wanted, int(self._free))
            self._free -= taken
            self.refused += wanted - taken
        refusal = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded for shard"}
        told = {"Records": []}
        headers = (("Content-Type", "application/x-amz-json-1.1"),)
        if taken:
            answer = forward(replace(request, body=json.dumps(asked | {"Records": asked["Records"][:taken]}).encode()))
            told, headers = json.loads(answer.body), answer.headers
        told |= {"FailedRecordCount": wanted - taken, "Records": told["Records"] + [refusal] * (wanted - taken)}
        return Answer(200, headers).with_body(json.dumps(told).encode())


class Patient:
    """A job with one shard behind the proxy, the payments on their way to it, and the doctor beside it."""

    def __init__(self, stage):
        self.stage, self.cluster, self.proxy = stage, stage.cluster, stage.proxy
        self.world = proxied_world(stage, "doctor", {})
        kinesis = stage.aws.client("kinesis")
        kinesis.delete_stream(StreamName=self.world.name)
        kinesis.get_waiter("stream_not_exists").wait(StreamName=self.world.name, WaiterConfig={"Delay": 1})
        kinesis.create_stream(StreamName=self.world.name, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(StreamName=self.world.name, WaiterConfig={"Delay": 1})
        self.job = self.world.submit(stage.application("doctor"), flink=OTHERWISE_PATIENT)
        self.sent, self.seed = 0, SEED

    @contextlib.contextmanager
    def payments(self, rate, customers=CUSTOMERS):
        """On their way while the block runs, through the proxy."""
        stop, start_ms = threading.Event(), int(time.time() * 1000) + 200
        self.seed += 1
        chunks = payments(seed=self.seed, events=10**6, customers=customers, rate=rate, start_ms=start_ms)
        producer = client("kinesis", REGION, self.proxy.endpoint)

        def send():
            truth = to_kinesis(chunks, producer, self.world.name, start_ms=start_ms, stop=stop).truth
            self.sent += truth.records

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def look(self):
        diagnosis = diagnose(look(self.cluster, LOOK_SECONDS))
        figures = ", ".join(f"{fact.metric} {fact.value:,.0f} ({fact.threshold:,.0f})" for fact in diagnosis.evidence)
        print(f"{diagnosis.verdict.value}: {figures}")
        return diagnosis

    def until(self, wanted):
        """Look until the verdict is there; until then there must be none, never another."""
        since = time.monotonic()
        while (found := self.look()).verdict is not wanted:
            assert found.verdict in NOTHING_YET, found
            assert time.monotonic() - since < PATIENCE, found
        return {fact.metric: fact for fact in found.evidence}

    def recover(self):
        """No fault any more: everything is read, and it is healthy again, by rows of new payments."""
        self.proxy.clear()
        self.cluster.wait("all to be read", lambda: records_read(self.cluster, self.job) >= self.sent, PATIENCE)
        since = time.monotonic()
        with self.payments(rate=100):
            while self.look().verdict is not Verdict.HEALTHY:
                assert time.monotonic() - since < PATIENCE


@pytest.fixture(scope="module")
def patient(stage):
    made = Patient(stage)
    yield made
    stage.proxy.clear()
    stage.cluster.cancel(made.job)


def test_a_job_that_keeps_up_is_healthy(patient):
    with patient.payments(rate=200):
        patient.until(Verdict.HEALTHY)
        assert patient.look().verdict is Verdict.HEALTHY


def test_producers_at_the_limit_of_a_shard_make_it_stream_bound(patient):
    limit = ShardLimit(per_second=1_000)
    patient.proxy.add(Rule("kinesis:PutRecords", limit))
    with patient.payments(rate=1_400, customers=20):  # few rows: the local table must not be what is slow
        evidence = patient.until(Verdict.STREAM)
    assert limit.refused
    assert evidence.keys() == {"records of a shard"}
    patient.recover()


def test_checkpoints_that_time_out_make_it_checkpoint_bound(patient):
    rule = Rule("s3:*", answers.delay(15), where=lambda request: f"/{CHECKPOINTS}/" in request.target)
    patient.proxy.add(rule)
    with patient.payments(rate=200):
        evidence = patient.until(Verdict.CHECKPOINT)
    assert rule.hits
    assert evidence["checkpoints failed"].is_over or evidence["a checkpoint takes"].is_over
    patient.recover()


def test_slow_answers_of_the_stream_make_it_consumer_bound(patient):
    patient.proxy.add(Rule("kinesis:*", answers.SmallSteps(lambda _: 50)))
    slow = patient.proxy.add(Rule(READ, answers.delay(1)))
    with patient.payments(rate=300):
        evidence = patient.until(Verdict.CONSUMER)
    assert slow.hits
    assert evidence["oldest unread record has waited"].is_over
    assert not evidence["feature windows is busy"].is_over
    patient.recover()


def test_slow_answers_of_the_features_table_make_it_sink_bound(patient):
    slow = patient.proxy.add(Rule(WRITE, answers.delay(2)))
    with patient.payments(rate=500):
        evidence = patient.until(Verdict.SINK)
    assert slow.hits
    assert any(metric.startswith("DynamoDB writer") for metric in evidence)
    patient.recover()


def test_workers_that_hardly_run_make_it_python_bound(patient):
    with hardly_running(processes.workers(patient.cluster)), patient.payments(rate=500):
        evidence = patient.until(Verdict.PYTHON)
    assert evidence["feature windows is busy"].is_over
    patient.recover()


@contextlib.contextmanager
def hardly_running(pids, period=0.5, share=0.08):
    """Stop and continue the processes so that they run only a share of the time."""
    over = threading.Event()

    def toggle():
        while not over.is_set():
            for number, seconds in ((signal.SIGSTOP, period * (1 - share)), (signal.SIGCONT, period * share)):
                for pid in pids:
                    os.kill(pid, number)
                time.sleep(seconds)

    thread = threading.Thread(target=toggle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
