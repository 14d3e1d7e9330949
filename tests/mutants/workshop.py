"""Copies of the project in which mutants are tested: one edit, the tests that must fail, the edit taken back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.mutant import Mutant

_PARTS: Final = ("operators", "flink_app", "sql", "tests", "pyproject.toml", "README.md")
_TESTS_FAILED: Final = 1  # pytest's exit code; others mean that it could not run the tests
_OPTIONS: Final = ("-x", "-q", "-rfE", "--tb=no", "--durations=0", "-p", "no:cacheprovider", "--hypothesis-seed=0")


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant, or of the project without one.

    Attributes:
        failed: whether a test failed.
        by: the first test that did; what else happened if none ran.
        is_error: the tests did not run at all.
        seconds: of the run.
        output: of pytest.
    """

    failed: bool
    by: str
    is_error: bool
    seconds: float
    output: str


class Workshop:
    """One copy of the project.

    Args:
        root: of the project; it is only read.
        folder: an empty one for the copy.
        limit_seconds: a run of tests that takes longer counts as failed: the mutant never ends.
    """

    def __init__(self, root: Path, folder: Path, limit_seconds: float) -> None:
        self._folder, self._limit_seconds = folder, limit_seconds
        self._running: subprocess.Popen[str] | None = None
        for part in _PARTS:
            if (root / part).is_dir():
                shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(root / part, folder)

    def try_out(self, mutant: Mutant) -> Verdict:
        """The verdict of the mutant's own tests on it.

        Raises:
            StaleMutantError: it does not apply.
        """
        file = self._folder / mutant.file
        right = file.read_text(encoding="utf-8")
        file.write_text(mutant.applied(right), encoding="utf-8")
        try:
            return self.run(mutant.killers)
        finally:
            file.write_text(right, encoding="utf-8")

    def run(self, tests: tuple[str, ...]) -> Verdict:
        """The verdict of tests on the copy as it is; those that need Flink or AWS are left out."""
        started = time.monotonic()
        command = [sys.executable, "-m", "pytest", *_OPTIONS, "-m", "not flink and not e2e", *tests]
        environment = os.environ | {
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "300",
        }  # bytecode knows whole seconds only
        process = self._running = subprocess.Popen(
            command, cwd=self._folder, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=self._limit_seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            output, _ = process.communicate()
            return Verdict(True, f"no end within {self._limit_seconds:g} s", False, time.monotonic() - started, output)
        seconds = time.monotonic() - started
        first = re.search(r"^FAILED (.+?)(?: - .*)?$", output, re.MULTILINE)
        if process.returncode == _TESTS_FAILED and first is not None:
            return Verdict(True, first[1], False, seconds, output)
        is_error = process.returncode != 0
        return Verdict(False, "tests did not run" if is_error else "", is_error, seconds, output)

    def stop(self) -> None:
        """End the tests that are running, if any are."""
        if self._running is not None and self._running.poll() is None:
            os.killpg(self._running.pid, signal.SIGKILL)
