"""The payments that every contender reads: made once, the same bytes in each engine's own container.

    raw/dt=…/hour=…/part.parquet   the raw archive's layout, for the job
    native/payments.jsonl          a payment a line, its arrival as one more field in front, for everybody else
    native-2/shard-*.jsonl         the same lines dealt out to two readers, each in the order of arrival
    batches/*.jsonl                the same lines in files of 100,000, for an engine that reads file by file

Two things that the generator does are left out, because Flink's json format reads them differently and the result rows
are compared: times are written in UTC with Z (it takes no other offset), and every malformed record is cut off in the
middle (it would read some of the generator's as payments, with a rounded amount or a number for a name).

A smaller payload is the beginning of a larger one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path

from flink_app.delivery import to_file
from flink_app.generate import EXITS, START_MS, Chunk, Truth, payments
from flink_app.local.places import LOCAL

SEED = 7
CUSTOMERS = 20_000
RATE = 10_000.0  # events a second of event time
BENCH = LOCAL / "bench"
BATCH = 100_000  # lines of a file; ten seconds of payments, as between two checkpoints

_MALFORMED = EXITS.index("malformed")
_OFFSET_TIME = re.compile(rb'"event_time":"([^"Z]+[+-]\d\d:\d\d)"')


@dataclass(frozen=True)
class Payload:
    """Where the payments lie.

    Attributes:
        folder: holds everything.
        events: number of records, trouble included.
        truth: expected exit of every record.
        record_bytes: mean size of a payment.
    """

    folder: Path
    events: int
    truth: Truth
    record_bytes: float

    @property
    def raw(self) -> Path:
        """Archive folder."""
        return self.folder / "raw"

    @property
    def lines(self) -> Path:
        """One file of JSON lines."""
        return self.folder / "native" / "payments.jsonl"

    def shards(self, number: int) -> Path:
        """The lines for so many readers: the file itself for one, else a folder of files."""
        if number == 1:
            return self.lines
        folder = self.folder / f"native-{number}"
        if not folder.exists():
            making = _fresh(folder)
            with ExitStack() as files, self.lines.open("rb") as lines:
                outs = [files.enter_context((making / f"shard-{n}.jsonl").open("wb")) for n in range(number)]
                for out, line in zip(cycle(outs), lines, strict=False):
                    out.write(line)
            making.rename(folder)
        return folder

    def batches(self) -> Path:
        """The lines as a folder of files, and one more payment a day later in the last file.

        An engine whose streams have no end would keep the windows of the last two minutes open: the last payment's
        watermark closes them, its own windows stay open.
        """
        folder = self.folder / "batches"
        if not folder.exists():
            making = _fresh(folder)
            with self.lines.open("rb") as lines:
                for number, batch in enumerate(iter(lambda: list(islice(lines, BATCH)), [])):
                    (making / f"{number:05d}.jsonl").write_bytes(b"".join(batch))
            (making / "99999.jsonl").write_bytes(_closing())
            making.rename(folder)
        return folder


def payload(events: int, folder: Path | None = None, rate: float = RATE) -> Payload:
    """The payments of a run of this size; written if they are not there yet.

    Args:
        events: number of records.
        folder: where they lie; None: below .local/bench.
        rate: records a second of event time.
    """
    folder = folder or BENCH / f"payments-{events}"
    facts = folder / "facts.json"
    made = Payload(folder, events, Truth(), 0.0)
    if not facts.exists():
        part = made.raw / "dt=2026-01-01" / "hour=00" / "part-0.parquet"
        for file in (part, made.lines):
            file.parent.mkdir(parents=True, exist_ok=True)
        truth = to_file(_comparable(events, rate), part).truth
        size = 0
        with made.lines.open("wb") as out:
            for chunk in _comparable(events, rate):
                out.write(b"".join(_lines(chunk)))
                size += sum(map(len, chunk.records))
        facts.write_text(json.dumps({"truth": asdict(truth), "record_bytes": size / events}))
    known = json.loads(facts.read_text())
    return replace(made, truth=Truth(**known["truth"]), record_bytes=known["record_bytes"])


def _comparable(events: int, rate: float) -> Iterator[Chunk]:
    for chunk in payments(seed=SEED, events=events, customers=CUSTOMERS, rate=rate):
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


def _closing() -> bytes:
    at = datetime.fromtimestamp(START_MS / 1000, UTC) + timedelta(days=1)
    payment = {
        "arrival_ms": int(at.timestamp() * 1000),
        "event_id": "closing",
        "customer_id": "closing",
        "merchant_id": "closing",
        "amount": 1.0,
        "event_time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return json.dumps(payment).encode() + b"\n"


def _fresh(folder: Path) -> Path:
    """An empty folder that becomes `folder` when it is complete."""
    making = folder.with_name(folder.name + ".part")
    making.mkdir(parents=True, exist_ok=True)
    return making
