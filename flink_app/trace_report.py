"""`trace` as a person reads it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from flink_app.show import feature_tables
from flink_app.trace import Trace


def print_report(event: str, trace: Trace, console: Console) -> None:
    """Where each record of the event went, and the rows that count it; its bytes are not shown."""
    table = Table(title=f"event {event}", title_justify="left", title_style="bold")
    for name in ("arrived", "event time", "customer", "shard", "sequence number", "exit", "detail"):
        table.add_column(name, overflow="fold")
    for sighting in trace.sightings:
        who = (sighting.event_time or "–", sighting.customer or "–")
        table.add_row(sighting.arrived, *who, *sighting.place, sighting.exit, sighting.detail)
    console.print(table)
    for customer, features in trace.rows.items():
        for rows in feature_tables(customer, features):
            console.print(rows)
