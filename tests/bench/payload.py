"""The payments that every contender reads: made once, the same bytes in each engine's own container.

    raw/dt=…/hour=…/part.parquet   the raw archive's layout, for the job
    native/payments.jsonl          a payment a line, its arrival as one more field in front, for Flink's json format

Two things that the generator does are left out, because Flink's json format reads them differently and the result rows
are compared: times are written in UTC with Z (it takes no other offset), and every malformed record is cut off in the
middle (it would read some of the generator's as payments, with a rounded amount or a number for a name).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from flink_app.delivery import to_file
from flink_app.generate import EXITS, START_MS, Chunk, Truth, payments
from flink_app.local.places import LOCAL

SEED = 7
CUSTOMERS = 20_000
RATE = 10_000.0  # events a second of event time
BENCH = LOCAL / "bench"

_MALFORMED = EXITS.index("malformed")
_OFFSET_TIME = re.compile(rb'"event_time":"([^"Z]+[+-]\d\d:\d\d)"')


@dataclass(frozen=True)
class Payload:
    """Where the payments lie.

    Attributes:
        raw: archive folder.
        lines: JSON lines.
        events: number of records, trouble included.
        truth: expected exit of every record.
        record_bytes: mean size of a payment.
    """

    raw: Path
    lines: Path
    events: int
    truth: Truth
    record_bytes: float


def payload(events: int) -> Payload:
    """The payments of a run of this size; written if they are not there yet."""
    folder = BENCH / f"payments-{events}"
    raw, lines, facts = folder / "raw", folder / "native" / "payments.jsonl", folder / "facts.json"
    if not facts.exists():
        part = raw / "dt=2026-01-01" / "hour=00" / "part-0.parquet"
        for file in (part, lines):
            file.parent.mkdir(parents=True, exist_ok=True)
        truth = to_file(_comparable(events), part).truth
        size = 0
        with lines.open("wb") as out:
            for chunk in _comparable(events):
                out.write(b"".join(_lines(chunk)))
                size += sum(map(len, chunk.records))
        facts.write_text(json.dumps({"truth": asdict(truth), "record_bytes": size / events}))
    known = json.loads(facts.read_text())
    return Payload(raw, lines, events, Truth(**known["truth"]), known["record_bytes"])


def _comparable(events: int) -> Iterator[Chunk]:
    for chunk in payments(seed=SEED, events=events, customers=CUSTOMERS, rate=RATE):
        records = [_OFFSET_TIME.sub(_in_utc, record) for record in chunk.records]
        for at in (chunk.exits == _MALFORMED).nonzero()[0].tolist():
            records[at] = records[at][: len(records[at]) // 2].replace(b"\n", b" ")
        yield replace(chunk, records=records)


def _in_utc(found: re.Match[bytes]) -> bytes:
    instant = datetime.fromisoformat(found[1].decode()).astimezone(UTC)
    return b'"event_time":"%sZ"' % instant.isoformat(timespec="milliseconds")[:-6].encode()


def _lines(chunk: Chunk) -> Iterator[bytes]:
    for record, offset_ms in zip(chunk.records, chunk.send_offsets_ms.tolist(), strict=True):
        yield b'{"arrival_ms":%d,%s\n' % (START_MS + offset_ms, record[1:])
