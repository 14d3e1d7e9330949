"""The command line of what measures for a document: `make bench`, `make curves`, `make freshness`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from flink_app.errors import FraudWindowsError


def given_command(target: str) -> str:
    """The command that runs now, for the document that comes of it: `make TARGET`, or the module with its options."""
    options = sys.argv[1:]
    return " ".join([f".venv/bin/python -m tests.{target}", *options]) if options else f"make {target}"


def start(main: Callable[..., None]) -> None:
    """Run a typer function; what goes wrong ends it with exit code 1, a line for each problem."""
    try:
        typer.run(main)
    except FraudWindowsError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
