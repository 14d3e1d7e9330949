"""A Python like the managed service's: apache-flink with what it depends on, and nothing else: not this project."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def closure(*names: str) -> dict[str, Distribution]:
    """The installed distributions that these need, themselves included: canonical name -> distribution."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-").replace(".", "-")
        if name in found:
            continue
        found[name] = distribution(name)
        needs = [Requirement(text) for text in found[name].requires or ()]
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def make_service_python(folder: Path) -> Path:
    """Create it in `folder`; returns the interpreter.

    Nothing is installed: a finder shows it those modules here that belong to it, under the paths that they have here
    (so that what other tests' workers compiled is used again).
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    belonging = closure("apache-flink", "setuptools").values()
    modules = {file.parts[0].partition(".")[0] for found in belonging for file in found.files or () if file.parts}
    packages = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (packages / "sitecustomize.py").write_text(
        _FINDER.format(modules=modules, here=str(distribution("pip").locate_file("")))
    )
    return folder / "bin" / "python"


_FINDER = """
import sys
from importlib.machinery import PathFinder

MODULES = {modules!r}


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [{here!r}]) if path is None and name in MODULES else None


sys.meta_path.append(Finder)
"""
