"""`make fuzz`: hostile records through gate and bucket, in this process; exit code 0 when every one is accounted for.

python -m tests.fuzz [--records N] [--seed S]
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.fuzz.campaign import BATCH, Campaign

EXITS = ("accepted", "malformed", "future", "too_late")


def main(
    records: Annotated[int, typer.Option(help="How many records.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same records.")] = 1,
) -> None:
    """A million hostile records; nothing may raise, and none may get lost."""
    console = Console(highlight=False)
    campaign, started = Campaign(seed), time.monotonic()
    batches = -(-records // BATCH)
    for number in track(range(batches), f"{records:,} records, seed {seed}", console=console):
        campaign.batch(min(BATCH, records - number * BATCH))
        if number % 300 == 299:
            campaign.restart()
        if len(campaign.problems) > 20:
            break
    campaign.finish()
    console.print(table_of(campaign.exits))
    seconds = time.monotonic() - started
    console.print(
        f"{campaign.sent:,} records in {seconds:.0f} s, {campaign.sent / seconds:,.0f} a second, judge and all"
    )
    for problem in campaign.problems[:20]:
        console.print(problem, markup=False, soft_wrap=True)
    console.print(f"{len(campaign.problems) or 'no'} problems")
    sys.exit(1 if campaign.problems else 0)


def table_of(exits: Counter[tuple[str, str]]) -> Table:
    """What was done to the records, and how they left."""
    table = Table("records", *EXITS)
    for column in table.columns[1:]:
        column.justify = "right"
    for kind in dict.fromkeys(kind for kind, _ in exits):
        table.add_row(kind, *[f"{exits[kind, name]:,}" for name in EXITS])
    table.add_section()
    totals = {name: sum(n for (_, to), n in exits.items() if to == name) for name in EXITS}
    table.add_row("all", *[f"{totals[name]:,}" for name in EXITS])
    return table


if __name__ == "__main__":
    typer.run(main)
