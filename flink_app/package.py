"""The application as Managed Service for Apache Flink takes it: one zip.

    flink_app/  operators/  sql/           as in the checkout; the main script is flink_app/main.py
    lib/fraud-windows-connectors.jar       the one jar
    python/                                third-party wheels, unpacked: a compiled module cannot be imported from a zip

The same input gives the same bytes: sorted names, one date, one mode, nothing compressed here (jar and wheels hold the
weight and are compressed already where it pays), so no version of zlib shows in the hash.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flink_app.errors import FraudWindowsError
from flink_app.local.places import JAR, LOCAL, MAIN, ROOT

REQUIREMENTS: Final = ROOT / "deploy" / "requirements.txt"
PYTHON_FOLDER: Final = "python"
JAR_IN_ZIP: Final = f"lib/{JAR.name}"
RUN_OPTIONS: Final = {  # property group kinesis.analytics.flink.run.options, paths inside the zip
    "python": MAIN.relative_to(ROOT).as_posix(),
    "jarfile": JAR_IN_ZIP,
    "pyFiles": f"{PYTHON_FOLDER}/",
}
MAX_BYTES: Final = 512 * 1024 * 1024  # of the service for an application's code

_SOURCES: Final = {"flink_app": "*.py", "operators": "*.py", "sql": "*.sql"}
_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
_MODE: Final = 0o100644 << 16
_PLATFORM: Final = ["--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--only-binary", ":all:"]


class PackageError(FraudWindowsError):
    """Something that belongs into the zip is missing or does not fit the service."""


@dataclass(frozen=True)
class Package:
    """A zip that was written.

    Attributes:
        path: of the zip.
        sha256: of its bytes, hexadecimal.
        size: bytes.
        files: number of files by top folder of the zip.
        wheels: file names of the wheels inside.
    """

    path: Path
    sha256: str
    size: int
    files: Counter[str]
    wheels: tuple[str, ...]


def build_package(target: Path) -> Package:
    """Write the zip. Raises PackageError: no jar, wheels that cannot be had or checked, too large."""
    if not JAR.exists():
        raise PackageError(f"{JAR.relative_to(ROOT)}: no such file · wanted the connector jar · run `make jar`")
    wheels = download_wheels()
    target.parent.mkdir(parents=True, exist_ok=True)
    files: Counter[str] = Counter()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name, content in sorted(_contents(wheels)):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr, entry.create_system = _MODE, 3
            packed.writestr(entry, content)
            files[name.partition("/")[0]] += 1
    size = target.stat().st_size
    if size > MAX_BYTES:
        got = f"{size / 2**20:.0f} MiB"
        raise PackageError(f"{target}: got {got} · wanted at most {MAX_BYTES / 2**20:.0f} MiB, the service's limit")
    with target.open("rb") as written:
        sha256 = hashlib.file_digest(written, "sha256").hexdigest()
    return Package(target, sha256, size, files, tuple(wheel.name for wheel in wheels))


def download_wheels() -> list[Path]:
    """The wheels of deploy/requirements.txt, by name; pip checks every hash. Kept below .local/, asked for once."""
    locked = REQUIREMENTS.read_bytes()
    folder = LOCAL / "wheels" / hashlib.sha256(locked).hexdigest()[:16]
    complete = folder / ".complete"
    if not complete.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--require-hashes", *_PLATFORM, "--dest", str(folder), "--requirement", str(REQUIREMENTS)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 all of it is ours
        if done.returncode:
            reason = done.stderr.strip().rpartition("\n")[2]
            raise PackageError(f"{REQUIREMENTS.relative_to(ROOT)}: pip download failed: {reason}")
        complete.touch()
    return sorted(folder.glob("*.whl"))


def report(package: Package) -> Iterator[str]:
    """Lines for a person: what it is, what is in it, and what the service is to be told."""
    yield f"{package.path}  {package.size / 2**20:.1f} MiB of {MAX_BYTES / 2**20:.0f} MiB"
    yield f"sha256 {package.sha256}"
    yield "  " + " · ".join(f"{folder}/ {count} files" for folder, count in sorted(package.files.items()))
    yield "  wheels " + " · ".join("-".join(wheel.split("-")[:2]) for wheel in package.wheels)
    yield "  run options " + " · ".join(f"{key}={value}" for key, value in RUN_OPTIONS.items())


def _contents(wheels: list[Path]) -> Iterator[tuple[str, bytes]]:
    """(name in the zip, bytes) of every file."""
    for folder, pattern in _SOURCES.items():
        for file in (ROOT / folder).rglob(pattern):
            yield file.relative_to(ROOT).as_posix(), file.read_bytes()
    yield JAR_IN_ZIP, JAR.read_bytes()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as unpacked:
            for name in unpacked.namelist():
                if name.endswith("/") or ".data/scripts/" in name:  # command lines, which nobody calls there
                    continue
                if ".data/" in name:
                    raise PackageError(f"{wheel.name}: {name}: a wheel that has to be installed, not just unpacked")
                yield f"{PYTHON_FOLDER}/{name}", unpacked.read(name)
