"""CPU time and memory of a TaskManager and its Python workers, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Usage:
    """What the processes of some groups have used so far; call `sample` often: what ends between two calls is lost.

    Attributes:
        groups: process group ids.
        cpu: (pid, 'jvm' or 'python') -> CPU seconds.
        peak_mb: 'jvm', 'python' -> resident memory, highest sum.
    """

    groups: frozenset[int]
    cpu: dict[tuple[int, str], float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=lambda: {"jvm": 0.0, "python": 0.0})

    def sample(self) -> None:
        """Look at all processes now."""
        resident = {"jvm": 0.0, "python": 0.0}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, _, rest = stat.read_text().partition(" (")
            except OSError:  # it has just ended
                continue
            name, _, rest = rest.rpartition(") ")
            fields = rest.split()
            if int(fields[2]) in self.groups:
                kind = "jvm" if name == "java" else "python"
                self.cpu[int(pid), kind] = (int(fields[11]) + int(fields[12])) / _TICKS
                if name.startswith(
                    ("java", "python")
                ):  # what a JVM forks has its memory until it becomes another program
                    resident[kind] += int(fields[21]) * _PAGE_MB
        for kind, megabytes in resident.items():
            self.peak_mb[kind] = max(self.peak_mb[kind], megabytes)

    def seconds(self, kind: str) -> float:
        """CPU seconds of all processes of a kind."""
        return sum(seconds for (_, of), seconds in self.cpu.items() if of == kind)

    def pids(self, kind: str) -> list[int]:
        """Processes of a kind that have ever been seen, those that used most CPU first."""
        return [pid for pid, of in sorted(self.cpu, key=lambda key: -self.cpu[key]) if of == kind]


def thread_seconds(pid: int) -> dict[tuple[int, str], float]:
    """(thread id, name in 15 characters) -> CPU seconds, of the threads that a process has now."""
    seconds = {}
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            thread, _, rest = stat.read_text().partition(" (")
        except OSError:  # it has just ended
            continue
        name, _, rest = rest.rpartition(") ")
        fields = rest.split()
        seconds[int(thread), name] = (int(fields[11]) + int(fields[12])) / _TICKS
    return seconds
