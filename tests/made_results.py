"""Results of runs that never were, for tests of what the documents say about them."""

from __future__ import annotations

from tests.bench.result import Result


def run(warm_seconds, cpu_seconds, contender="job", parallelism=1, events=1_000_000, finished=True):
    """A run on heap with nothing but what a test is about."""
    return Result(
        title=f"{contender}, heap",
        contender=contender,
        backend="heap",
        parallelism=parallelism,
        payments=events,
        events=events,
        finished=finished,
        cold_seconds=warm_seconds + 20,
        job_seconds=warm_seconds + 10,
        steady_seconds=warm_seconds,
        first_row_seconds=1.0,
        jvm_cpu_seconds=cpu_seconds,
        python_cpu_seconds=0.0,
        steady_jvm_seconds=cpu_seconds,
        steady_python_seconds=0.0,
        jvm_peak_mb=1.0,
        python_peak_mb=1.0,
        rows_live=0,
        rows_final=1,
        checkpoints=1,
        state_mb=1.0,
        load=0.0,
    )
