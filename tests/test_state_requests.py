"""What the windows' state costs in requests to the JVM, with PyFlink's own state classes; the test plays the JVM."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flink_app.runtime import JOB_SETTINGS
from operators.feature_windows_shell import _declare_state
from tests.bucket_harness import T0, Bucket, payment, settings

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # Beam's imports

CACHED_ENTRIES = 1_000  # PyFlink's default
KEPT_ENTRIES = int(JOB_SETTINGS["python.map-state.read-cache-size"])


class Jvm:
    """Answers every request as if nothing were stored, and remembers it."""

    def __init__(self):
        self.requests = []

    def append_raw(self, state_key, data):
        self.requests.append(("append", len(data)))
        return SimpleNamespace(get=lambda: None)

    def get_raw(self, state_key, continuation_token):
        self.requests.append(("get", len(continuation_token)))
        nothing = (
            bytes([2]) if len(continuation_token) > 6 else b""
        )  # NOT_EXIST for a key, an iteration without entries
        return nothing, b""


@pytest.fixture
def jvm():
    return Jvm()


@pytest.fixture
def backend(jvm):
    from apache_beam.runners.worker.statecache import StateCache
    from pyflink.fn_execution.coders import BigIntCoder
    from pyflink.fn_execution.state_impl import RemoteKeyedStateBackend

    context = SimpleNamespace(user_state_cache_token=b"token", bundle_cache_token=None)
    handler = SimpleNamespace(_state_cache=StateCache(100 * 2**20), _underlying=jvm, _context=context)
    backend = RemoteKeyedStateBackend(handler, BigIntCoder(), None, CACHED_ENTRIES, KEPT_ENTRIES, CACHED_ENTRIES)
    backend.set_current_key(7)
    return backend


@pytest.fixture
def bucket(backend):
    from pyflink.fn_execution.datastream.process.runtime_context import StreamingRuntimeContext

    context = StreamingRuntimeContext("windows", "windows (1/1)", 1, 1, 0, 0, {}, None, backend, False)
    return Bucket(settings(), _declare_state(context))


def send(bucket, start, batches):
    for number in range(start, start + batches):
        at = T0 + number * 100
        bucket.send([(payment("anna", at, number), at), (payment("anna", at, number), at)])
        bucket.tick(at)


def test_a_bundles_writes_leave_together_at_its_end(bucket, backend, jvm):
    jvm.requests.clear()
    send(bucket, 0, batches=20)
    assert jvm.requests == []
    backend.commit()
    assert sorted(kind for kind, _ in jvm.requests) == ["append"] * 3, "log, schemas, progress"
    jvm.requests.clear()
    send(bucket, 20, batches=20)
    backend.commit()
    assert sorted(kind for kind, _ in jvm.requests) == ["append"] * 2, "log, progress"


def test_of_the_log_the_worker_keeps_one_entry(bucket, backend):
    send(bucket, 0, batches=50)
    backend.commit()
    cached = [value.value() for value in backend._state_handler._state_cache._cache.values()]
    assert cached
    assert max(len(entries) for entries in cached) == KEPT_ENTRIES
