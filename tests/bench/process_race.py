"""One run of one program that is no Flink job, and what it took."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flink_app.errors import FraudWindowsError
from tests.bench.contenders import ProcessContender
from tests.bench.processes import Usage
from tests.bench.result import FirstRow, Result, Setting, load

_POLL_SECONDS: Final = 0.1
_TELL_SECONDS: Final = 20


class ProgramError(FraudWindowsError):
    """A program ended with an error; its log is named."""


def race_process(setting: Setting, say: Callable[[str], None] = lambda _: None) -> Result:
    """Run to the end, or for `limit` seconds from the start on. Rows are not counted yet.

    Raises:
        ProgramError: the program failed.
    """
    contender = setting.contender
    assert isinstance(contender, ProcessContender), contender
    shutil.rmtree(setting.output, ignore_errors=True)
    setting.output.mkdir(parents=True)
    command = contender.command(setting.payload, setting.output, setting.parallelism, setting.backend)
    load_before, log = load(), setting.output / "program.log"
    began = time.time()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        usage, first_row = Usage(frozenset({process.pid})), FirstRow(setting, began)
        ready, finished = _watch(process, setting, usage, first_row, log, say)
        ended = time.time()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if finished and process.returncode:
        raise ProgramError(f"{setting.title}: ended with {process.returncode} · see {log}")
    return Result(
        title=setting.title,
        contender=contender.name,
        backend=setting.backend,
        parallelism=setting.parallelism,
        payments=setting.payload.events,
        events=setting.payload.events,  # of a stopped one: at the most
        finished=finished,
        cold_seconds=ended - began,
        job_seconds=ended - ready[0],
        steady_seconds=ended - ready[0],
        first_row_seconds=first_row.seconds,
        jvm_cpu_seconds=usage.seconds("jvm"),
        python_cpu_seconds=usage.seconds("python"),
        steady_jvm_seconds=usage.seconds("jvm") - ready[1],
        steady_python_seconds=usage.seconds("python") - ready[2],
        jvm_peak_mb=usage.peak_mb["jvm"],
        python_peak_mb=usage.peak_mb["python"],
        rows_live=0,
        rows_final=0,
        checkpoints=0,
        state_mb=0.0,
        load=load_before,
    )


def _watch(
    process: subprocess.Popen[bytes],
    setting: Setting,
    usage: Usage,
    first_row: FirstRow,
    log: Path,
    say: Callable[[str], None],
) -> tuple[tuple[float, float, float], bool]:
    """((time, JVM and Python CPU when it was ready), whether it ended by itself)."""
    began = told = time.time()
    ready: tuple[float, float, float] | None = None
    while process.poll() is None:
        usage.sample()
        first_row.look()
        now = time.time()
        if ready is None and "ready" in log.read_text(errors="replace"):
            ready = now, usage.seconds("jvm"), usage.seconds("python")
        if now - began > setting.limit:
            break
        if now - told > _TELL_SECONDS:
            told = now
            say(f"  {setting.title}: {now - began:.0f} s, {_read(log):,} payments")
        time.sleep(_POLL_SECONDS)
    first_row.look()
    return ready or (began, 0.0, 0.0), process.poll() is not None


def _read(log: Path) -> int:
    told = re.findall(r"\bread (\d+)", log.read_text(errors="replace"))
    return int(told[-1]) if told else 0
