"""What the doctor says: the verdict, its evidence, and the next step with its place in the runbook."""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from flink_app.doctor import Diagnosis, Verdict

NEXT_STEPS: Final = {  # every one names its section of deploy/RUNBOOK.md
    Verdict.HEALTHY: ("nothing to do; if rows are missing all the same, look at what is rejected", "rejected-ratio"),
    Verdict.NOT_ENOUGH_DATA: (
        "if it has just started, ask again in a minute; if it restarts again and again, or lags all the same",
        "without-a-verdict",
    ),
    Verdict.STREAM: ("more shards: `fraud-windows update --set Shards=N`, or a key that spreads", "stream-bound"),
    Verdict.CONSUMER: ("see who else reads the stream, and whether its answers are slow", "consumer-bound"),
    Verdict.CHECKPOINT: ("see where its files go: refused, slow, or too large a state", "checkpoint-bound"),
    Verdict.PYTHON: ("more parallelism: `fraud-windows update --set Shards=N`; or fewer rows", "python-bound"),
    Verdict.SINK: ("see which sink it is: the features table refuses or is slow, or S3 is slow", "sink-bound"),
}
RUNBOOK: Final = "deploy/RUNBOOK.md"
_COLOURS: Final = {Verdict.HEALTHY: "green", Verdict.NOT_ENOUGH_DATA: "yellow"}


def report(diagnosis: Diagnosis) -> Group:
    """As it is printed."""
    verdict = diagnosis.verdict
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("evidence", overflow="fold")
    for heading in ("measured", "threshold"):
        table.add_column(heading, justify="right")
    for name in ("", ""):
        table.add_column(name)
    for fact in diagnosis.evidence:
        value = "unknown" if fact.value is None else f"{fact.value:,.0f}"
        table.add_row(fact.metric, value, f"{fact.threshold:,.0f}", fact.unit, "over" if fact.is_over else "below")
    step, anchor = NEXT_STEPS[verdict]
    told: list[Text | Table] = [Text(verdict.value, f"bold {_COLOURS.get(verdict, 'red')}"), table]
    if diagnosis.also:
        told.append(Text("also: " + ", ".join(other.value for other in diagnosis.also)))
    return Group(*told, Text(f"next: {step}"), Text(f"see:  {RUNBOOK}#{anchor}"))


def print_report(diagnosis: Diagnosis, console: Console) -> None:
    """Print it."""
    console.print(report(diagnosis))
