"""Where the time goes, by stage: Flight Recorder samples of the JVM, py-spy samples of Python, CPU of JVM threads.

A run of its own: samplers slow what they watch. Shares come from here, seconds from the undisturbed runs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.payload import BENCH
from tests.bench.processes import thread_seconds
from tests.bench.race import started
from tests.bench.result import Setting

_JVM_STAGES: Final = (  # the frame nearest to the top that one of them matches decides
    (
        "sinks: Parquet, ZSTD",
        r"^(org\.apache\.(flink\.formats\.)?parquet|com\.github\.luben)",
    ),
    ("rows out: Arrow to rows", r"^fraudwindows\."),
    ("state backend", r"^(org\.rocksdb|org\.apache\.flink\.(contrib\.streaming\.state|state\.|runtime\.state))"),
    ("decode JSON", r"(formats\.json|jackson)"),
    ("de-duplicate", r"operators\.deduplicate"),
    ("window aggregates", r"(operators\.(window|aggregate)|AggsHandler|WindowAgg|dataview)"),
    ("Python bridge", r"(api\.python|operators\.python|fn_execution|apache\.beam|grpc)"),
    ("sinks: files", r"(connector\.file\.(sink|table)|StreamingFile|api\.functions\.sink)"),
    ("project, filter (generated)", r"(StreamExecCalc|Projection\$|Filter\$)"),
    ("shuffle, serialise", r"(io\.network|typeutils|serializ|netty)"),
    ("source", r"(connector\.file\.src|connector\.base\.source|SourceOperator|LineBytes|DelimitedInput)"),
)
_PYTHON_STAGES: Final = (
    ("gate: read Parquet", r"flink_app/archive|pyarrow/parquet"),
    ("gate: decode, validate", r"operators/(decoding|event_fields|contract|gate)\.py"),
    ("gate: mask", r"operators/masking"),
    ("gate: pack", r"operators/(packing|buckets)"),
    ("event log", r"operators/(event_log|bucket_state)"),
    ("unpack, intern", r"operators/(event_batches|interner|operands|decimals|expression)"),
    ("dedup", r"operators/seen_ids"),
    ("slices", r"operators/(slices|accumulators|partials)"),
    ("rows out", r"operators/(feature_rows|window_output|window_tracker)"),
    ("windows, other", r"operators/"),
    ("Beam, PyFlink", r"(apache_beam|pyflink|grpc)"),
)


_RECORDING: Final = "taskmanager.jfr"
_WAITS: Final = re.compile(r"(wait|channel_spin|Thread\.run|_get)? \((threading|grpc/_channel|queue)\.py:\d+\)$|^$")


Stack = tuple[list[str], int]  # frames, the running one first; samples


@dataclass(frozen=True)
class Profile:
    """Samples of one run.

    Attributes:
        title, parallelism: whose.
        jvm, python: stage -> samples.
        threads: kind of JVM thread -> CPU seconds.
        hot: 'jvm' and 'python': (function, samples) by the frame on top, most first.
        python_lines: (our function nearest to the top, samples), most first.
    """

    title: str
    parallelism: int
    jvm: dict[str, int]
    python: dict[str, int]
    threads: dict[str, float]
    hot: dict[str, list[tuple[str, int]]]
    python_lines: list[tuple[str, int]]


def profile(setting: Setting) -> Profile:
    """Run once under Flight Recorder and py-spy."""
    folder = _folder(setting)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    recording = folder / _RECORDING
    spies: dict[int, subprocess.Popen[bytes]] = {}
    threads: dict[tuple[int, str], float] = {}
    with started(setting) as run:
        jvm = run.usage.pids("jvm")[0]
        _jcmd(jvm, "JFR.start", "name=bench", "settings=profile")
        for info in run.polls():
            threads |= thread_seconds(jvm)
            for pid in run.usage.pids("python"):
                if pid not in spies and run.usage.cpu[pid, "python"] > 1:  # not the shell that starts it
                    spies[pid] = _spy(pid, folder / f"python-{pid}.txt")
            if info["duration"] / 1000 > setting.limit:
                break
        _jcmd(jvm, "JFR.dump", "name=bench", f"filename={recording}")
    for spy in spies.values():
        spy.wait(60)
    jvm_stacks, python_stacks = recorded_stacks(setting)
    return Profile(
        setting.title,
        setting.parallelism,
        _by_stage(jvm_stacks, _JVM_STAGES),
        _by_stage(python_stacks, _PYTHON_STAGES),
        _kinds(threads),
        {"jvm": _top(jvm_stacks), "python": _top(python_stacks)},
        _own(python_stacks),
    )


def recorded_stacks(setting: Setting) -> tuple[list[Stack], list[Stack]]:
    """Of the JVM and of Python, as the last profile of this setting has left them."""
    folder = _folder(setting)
    python = [stack for file in sorted(folder.glob("python-*.txt")) for stack in _spied(file)]
    return list(_recorded(folder / _RECORDING)), python


def _folder(setting: Setting) -> Path:
    return BENCH / "profiles" / setting.output.name


def _jcmd(pid: int, *command: str) -> None:
    subprocess.run(["jcmd", str(pid), *command], check=True, capture_output=True)


def _spy(pid: int, target: Path) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--format", "raw"]
    return subprocess.Popen(
        [*command, "--rate", "100", "--duration", "3600", "--nonblocking", "--output", str(target)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _recorded(recording: Path) -> Iterable[Stack]:
    command = ["jfr", "print", "--stack-depth", "64", "--events"]
    text = subprocess.run(
        [*command, "jdk.ExecutionSample,jdk.NativeMethodSample", str(recording)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for event in text.split("\njdk."):
        frames = re.findall(r"^\s+([\w.$/<>]+)\(.*\)\s+line:", event, re.MULTILINE)
        waits = "NativeMethodSample" in event[:30] and not any("rocksdb" in frame for frame in frames[:3])
        if frames and not waits:
            yield frames, 1


def _spied(file: Path) -> Iterable[Stack]:
    for line in file.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        if not _WAITS.search(frames):
            yield frames.split(";")[::-1], int(count)


def _by_stage(stacks: Iterable[Stack], stages: tuple[tuple[str, str], ...]) -> dict[str, int]:
    compiled = [(name, re.compile(pattern)) for name, pattern in stages]
    counts: Counter[str] = Counter()
    for frames, samples in stacks:
        named = (name for frame in frames for name, pattern in compiled if pattern.search(frame))
        counts[next(named, "other")] += samples
    return dict(counts.most_common())


def _top(stacks: Iterable[Stack]) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter()
    for frames, samples in stacks:
        counts[frames[0]] += samples
    return counts.most_common(40)


def _own(stacks: Iterable[Stack]) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter()
    for frames, samples in stacks:
        own = next((frame for frame in frames if re.search(r"operators/|flink_app/", frame)), frames[0])
        counts[own] += samples
    return counts.most_common(60)


def _kinds(threads: dict[tuple[int, str], float]) -> dict[str, float]:
    kinds: dict[str, float] = {}
    for (_, name), seconds in threads.items():
        kind = next(
            (
                label
                for label, pattern in (
                    ("JIT compiler", r"^C[12] Comp|^Sweeper"),
                    ("garbage collector", r"^G[1C] |^GC |^VM Thread"),
                    ("gRPC", r"grpc"),
                    ("RocksDB", r"rocksdb|^pool-"),
                )
                if re.search(pattern, name)
            ),
            name if seconds > 0.5 else "others",
        )
        kinds[kind] = kinds.get(kind, 0.0) + seconds
    return dict(sorted(kinds.items(), key=lambda item: -item[1]))
