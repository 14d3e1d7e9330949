"""Ends process groups when its starter is gone: `python watchdog.py`, group ids on stdin, one a line.

The end of stdin is the signal. A starter that exits, crashes or is killed closes the pipe, so nothing stays behind:
no JVM, and no Python worker of a TaskManager (a worker stays in the group of the TaskManager that started it).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

GRACE_SECONDS = 4.0


def signal_group(group: int, number: int) -> bool:
    """Send signal `number` to a process group (0 only asks); False if the group has no process left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end_groups(groups: Iterable[int], grace_seconds: float = GRACE_SECONDS) -> None:
    """SIGTERM to every group, SIGKILL to what is left after the grace."""
    left = [group for group in groups if signal_group(group, signal.SIGTERM)]
    until = time.monotonic() + grace_seconds
    while left and time.monotonic() < until:
        time.sleep(0.05)
        left = [group for group in left if signal_group(group, 0)]
    for group in left:
        signal_group(group, signal.SIGKILL)


class Watchdog:
    """Start processes that never outlive this one."""

    def __init__(self) -> None:
        command = [sys.executable, "-S", "-E", str(Path(__file__).resolve())]
        self._watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        self._watched: list[subprocess.Popen[bytes]] = []

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Take care of a process that leads its own process group."""
        assert self._watcher.stdin is not None
        self._watcher.stdin.write(f"{process.pid}\n".encode())
        self._watcher.stdin.flush()
        self._watched.append(process)

    def end(self) -> None:
        """End all groups now; afterwards the watchdog is gone."""
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        for process in self._watched:  # reap, else the watcher would see a group of one zombie
            try:
                process.wait(GRACE_SECONDS + 2)
            except subprocess.TimeoutExpired:
                signal_group(process.pid, signal.SIGKILL)
                process.wait()
        self._watcher.wait(GRACE_SECONDS + 2)


def watch() -> None:
    """Read group ids until the starter is gone, then end them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_groups([int(line) for line in sys.stdin if line.strip()])


if __name__ == "__main__":
    watch()
