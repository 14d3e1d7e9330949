"""Where the time goes: microseconds per event and stage, beside what the same work costs at the least."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from tests.bench.contenders import CONTENDERS
from tests.bench.findings import Findings
from tests.bench.floors import FLOORS, floors
from tests.bench.payload import Payload
from tests.bench.result import Result
from tests.bench.stages import Profile

_OVERHEAD: Final = "compiling and collecting"
# stage of the flow -> stages of the JVM, stages of Python, keys of FLOORS
_FLOW: Final[tuple[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...]] = (
    ("source", ("source",), ("gate: read Parquet",), ("read",)),
    ("gate", ("decode JSON",), ("gate: decode, validate", "gate: mask"), ("parse", "decode", "hash", "gate")),
    ("into Arrow and out", (), ("gate: pack", "unpack, intern"), ("copy",)),
    ("crossing to Python and back, shuffle", ("Python bridge", "shuffle, serialise"), ("Beam, PyFlink",), ()),
    ("event log, dedup", ("state backend",), ("event log", "dedup"), ("member",)),
    ("slices, windows", (), ("slices", "windows, other"), ("update",)),
    ("rows out", ("rows out: Arrow to rows",), ("rows out",), ()),
    ("sinks", ("sinks: Parquet, ZSTD", "sinks: files"), (), ("write",)),
    ("compiling and collecting", (_OVERHEAD,), (), ()),
    ("other", ("other",), ("other",), ()),
)


def text(found: Findings, payload: Payload) -> str:
    """The budget of the job on RocksDB, as Markdown; empty if that was not profiled."""
    title = f"{CONTENDERS['job'].name}, rocksdb"
    profile = next((one for one in found.profiles if (one.title, one.parallelism) == (title, 1)), None)
    if profile is None:
        return ""
    jvm, python = (_micros(profile, found.runs, kind) for kind in ("JVM", "Python"))
    least = floors(payload)
    about = (
        "CPU microseconds per payment by stage of the flow, beside what libraries need for the core of the same work"
        f" on the first {least.payments:,} of these payments, alone in a process, best of five."
    )
    lines = [
        f"## Budget: {title}",
        "",
        about,
        "",
        "| stage | JVM | Python | floor |",
        "|---|---:|---:|---|",
    ]
    for stage, of_jvm, of_python, keys in _FLOW:
        theirs = "; ".join(f"{least.micros[key]:.2f} {FLOORS[key]}" for key in keys)
        lines.append(f"| {stage} | {_sum(jvm, of_jvm)} | {_sum(python, of_python)} | {theirs} |")
    lines.append(f"| all | {sum(jvm.values()):.1f} | {sum(python.values()):.1f} | |")
    return "\n".join([*lines, "", "![flame graph of the JVM](flame-jvm.svg)", "", "![… of Python](flame-python.svg)"])


def profile_text(profile: Profile, results: Sequence[Result]) -> str:
    """One profile's stages, as Markdown."""
    name = profile.title + (f", p={profile.parallelism}" if profile.parallelism > 1 else "")
    lines = [f"## Where the time goes: {name}", ""]
    for kind in ("JVM", "Python"):
        micros = _micros(profile, results, kind)
        if micros:
            total = sum(micros.values())
            lines += [f"| {kind} stage | share | µs/event |", "|---|---:|---:|"]
            lines += [f"| {stage} | {each / total:.0%} | {each:.1f} |" for stage, each in micros.items()]
            lines.append("")
    return "\n".join(lines)


def _micros(profile: Profile, results: Sequence[Result], kind: str) -> dict[str, float]:
    """Stage -> microseconds per event: the profile's shares of the undisturbed runs' CPU seconds.

    Of a contender that was always stopped at the limit: until then.
    """
    runs = [run for run in results if (run.title, run.parallelism) == (profile.title, profile.parallelism)]
    runs = [run for run in runs if run.finished] or runs
    stages = profile.jvm if kind == "JVM" else profile.python
    total = sum(stages.values())
    if not total or not runs:
        return {}
    seconds = statistics.median(run.steady_jvm_seconds if kind == "JVM" else run.steady_python_seconds for run in runs)
    micros = seconds / statistics.median(run.events for run in runs) * 1e6
    busy = sum(profile.threads.values())
    overhead = sum(profile.threads.get(name, 0.0) for name in ("JIT compiler", "garbage collector")) / busy
    found = {_OVERHEAD: overhead * micros} if kind == "JVM" else {}
    left = micros - sum(found.values())
    return found | {stage: samples / total * left for stage, samples in stages.items()}


def _sum(micros: dict[str, float], stages: Sequence[str]) -> str:
    found = [micros[stage] for stage in stages if stage in micros]
    return f"{sum(found):.1f}" if found else ""
