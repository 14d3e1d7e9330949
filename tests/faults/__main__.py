"""The fault grid: every fault × every law × every seed, on a real cluster.

python -m tests.faults [--list] [--only NAME …] [--seeds 1,2] [--write]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

# Before any import of the product: what runs here never meets a demo, `local up` or the tests.
os.environ.setdefault("FRAUD_WINDOWS_LOCAL_DIR", str(Path(__file__).resolve().parents[2] / ".local" / "faults"))

from rich.console import Console

from flink_app.local.places import ROOT
from tests.e2e_stage import open_stage
from tests.faults import report
from tests.faults.grid import FAULTS, Cell, run_grid, runs


def main() -> int:
    """1 if a law broke or a fault did not hit."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="faults whose name contains one of these")
    parser.add_argument("--seeds", default="1,2", help="of the payments; odd ones run on RocksDB (default: 1,2)")
    parser.add_argument("--list", action="store_true", help="name the faults and what they inject")
    parser.add_argument("--write", action="store_true", help="write docs/faults.md")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 200)
    chosen = [f for f in FAULTS if not given.only or any(part.lower() in f.name.lower() for part in given.only)]
    if given.list or not chosen:
        for fault in FAULTS:
            console.print(f"[bold]{fault.name:<28}[/]{fault.about}", highlight=False, soft_wrap=True)
        return 0 if given.list else 2
    seeds = [int(seed) for seed in given.seeds.split(",")]
    cells: list[Cell] = []
    console.print(f"{len(chosen)} faults × {len(seeds)} seeds, {len(runs(chosen))} runs a seed of one to five minutes")
    with tempfile.TemporaryDirectory(prefix="fraud-windows-faults-") as folder, open_stage(Path(folder)) as stage:
        report.header(console)
        for run in run_grid(stage, chosen, seeds):
            report.lines(console, run)
            cells += run
    report.summary(console, cells)
    if given.write:
        report.write(ROOT / "docs" / "faults.md", cells)
    return 0 if all(cell.holds or cell.skipped for cell in cells) else 1


if __name__ == "__main__":
    sys.exit(main())
