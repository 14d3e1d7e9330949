"""`trace EVENT_ID`: what became of one event, from what is stored: raw archive, quarantine, features table.

    raw/        every record whose bytes hold the id      when it arrived, in which shard, its sequence number
    quarantine/ the same shard and sequence number?       its reason and detail
    neither?    the first of customer and id that arrived: counted; a later one: duplicate
    features    rows of the windows that hold its time    what it was counted in, as stored now

A record is written down when a checkpoint is complete, so a trace of the last minute may find nothing yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from flink_app.account import REJECT_REASONS
from flink_app.archive import ArchiveStore, EmptyArchiveError
from flink_app.aws_clients import client
from flink_app.properties import Aws, Properties
from flink_app.show import Item, feature_sets
from operators.feature_rows import instant

_PLACE: Final = ["shard_id", "sequence_number"]
_RECORD: Final = ["data", "arrival_time", *_PLACE]
_PAGE: Final = 50

Place = tuple[str, str]  # shard, sequence number


@dataclass(frozen=True)
class Sighting:
    """One record that holds the id.

    Attributes:
        arrival: UTC.
        place: in the stream.
        data: the record's bytes.
        customer: customer_id; None where the record cannot be read.
        time: event time, epoch milliseconds; None where the record cannot be read.
        exit: counted, duplicate, or the reason of its rejection.
        detail: what the quarantine says; of a duplicate the first record's place.
    """

    arrival: datetime
    place: Place
    data: bytes
    customer: str | None
    time: int | None
    exit: str = ""
    detail: str = ""

    @property
    def arrived(self) -> str:
        """The arrival as it stands in keys."""
        return instant(round(self.arrival.timestamp() * 1000))

    @property
    def event_time(self) -> str | None:
        """The event time as it stands in keys."""
        return None if self.time is None else instant(self.time)


@dataclass(frozen=True)
class Trace:
    """What became of an event.

    Attributes:
        sightings: its records by arrival.
        rows: customer -> feature set -> rows of the windows that it was counted in, as the features table has them now.
    """

    sightings: list[Sighting]
    rows: dict[str, dict[str, list[Item]]] = field(default_factory=dict)


def trace(properties: Properties, event: str, since: datetime, until: datetime, customer: str | None = None) -> Trace:
    """Look for an event.

    Args:
        properties: of the application; its archive, or the one it reads.
        event: event_id.
        since: earliest arrival, UTC; whole hours are read.
        until: latest arrival.
        customer: only this customer's; the id is one customer's own.

    Raises:
        ArchiveError: S3 says no.
    """
    hours = _hours(since, until)
    archive = properties.source.path if properties.source.kind == "archive" else properties.archive.path
    found = list(_records(archive, properties.aws, hours, event))
    found = [s for s in found if customer is None or s.customer in (customer, None)]
    rejected = _rejected(properties.quarantine.path, properties.aws, hours, {s.place for s in found}) if found else {}
    told: list[Sighting] = []
    accepted: dict[str | None, Sighting] = {}
    remembered = timedelta(seconds=properties.state.dedup_ttl_seconds)
    for sighting in sorted(found, key=lambda s: (s.arrival, s.place)):
        before = accepted.get(sighting.customer)
        if sighting.place in rejected:
            exit_, detail = rejected[sighting.place]
        elif before and sighting.arrival - before.arrival <= remembered:
            exit_, detail = "duplicate", f"of {' '.join(before.place)}"
        else:
            accepted[sighting.customer] = sighting
            exit_, detail = "counted", ""
        told.append(replace(sighting, exit=exit_, detail=detail))
    return Trace(told, _rows(properties, told) if properties.features.enabled else {})


def _hours(since: datetime, until: datetime) -> list[str]:
    """The partitions that the time touches."""
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    found = []
    while hour <= until:
        found.append(f"dt={hour:%Y-%m-%d}/hour={hour:%H}")
        hour += timedelta(hours=1)
    return found


def _records(archive: str, aws: Aws, hours: list[str], event: str) -> Iterator[Sighting]:
    """Records whose bytes hold the id, as text or as JSON escapes it; of those that can be read, only the event's."""
    spellings = {event.encode(), json.dumps(event)[1:-1].encode()}
    for table in _tables([f"{archive}/{hour}" for hour in hours], aws, _RECORD):
        holds = [pc.match_substring(table.column("data"), spelling) for spelling in spellings]
        for row in table.filter(pc.or_(holds[0], holds[-1])).to_pylist():
            customer, time, is_it = _read(row["data"], event)
            if is_it:
                place = (row["shard_id"], row["sequence_number"])
                yield Sighting(row["arrival_time"].replace(tzinfo=UTC), place, row["data"], customer, time)


def _read(data: bytes, event: str) -> tuple[str | None, int | None, bool]:
    """Customer and time of a record, and whether it is the event's; one that cannot be read may be."""
    try:
        record = json.loads(data)
        is_it = record.get("event_id") == event
        return record["customer_id"], _epoch_ms(record["event_time"]), is_it
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, None, True


def _rejected(quarantine: str, aws: Aws, hours: list[str], places: set[Place]) -> dict[Place, tuple[str, str]]:
    """Place -> (reason, detail) of the records that were rejected."""
    numbers = pa.array([number for _, number in places], pa.string())
    found = {}
    for reason in REJECT_REASONS:
        for table in _tables([f"{quarantine}/reason={reason}/{hour}" for hour in hours], aws, [*_PLACE, "detail"]):
            for row in table.filter(pc.is_in(table.column("sequence_number"), numbers)).to_pylist():
                found[row["shard_id"], row["sequence_number"]] = (reason, row["detail"])
    return found


def _tables(folders: list[str], aws: Aws, columns: list[str]) -> Iterator[pa.Table]:
    for folder in folders:
        store = ArchiveStore(folder, aws.region, aws.endpoint)
        try:
            files = store.files()
        except EmptyArchiveError:
            continue
        for file in files:
            yield store.open(file).read(columns)


def _rows(properties: Properties, sightings: list[Sighting]) -> dict[str, dict[str, list[Item]]]:
    """The rows that hold a counted event's time, by customer and feature set."""
    table = properties.features.table
    dynamodb = client("dynamodb", properties.aws.region, properties.aws.endpoint)
    rows: dict[str, dict[str, list[Item]]] = {}
    for sighting in sightings:
        if sighting.exit == "counted" and sighting.customer and sighting.time is not None:
            for name in feature_sets(dynamodb, table, sighting.customer):
                if windows := list(_windows(dynamodb, table, sighting.customer, name, sighting.time)):
                    rows.setdefault(sighting.customer, {}).setdefault(name, []).extend(windows)
    return rows


def _windows(dynamodb: Any, table: str, customer: str, feature_set: str, time: int) -> Iterator[Item]:
    """The windows of a feature set that hold a time; they are stored by their end, and begin in the same order."""
    from boto3.dynamodb.types import TypeDeserializer  # noqa: PLC0415 with boto3, which `--help` need not load

    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="customer_id = :c AND feature_window BETWEEN :first AND :last",
        ExpressionAttributeValues={
            ":c": {"S": customer},
            ":first": {"S": f"{feature_set}#{instant(time // 1000 * 1000)[:-1]}"},  # before the Z and any milliseconds
            ":last": {"S": f"{feature_set}#~"},
        },
        PaginationConfig={"PageSize": _PAGE},
    )
    decode = TypeDeserializer().deserialize
    items = ({name: decode(value) for name, value in item.items()} for page in pages for item in page["Items"])
    begun = takewhile(lambda item: _epoch_ms(item["window_start"]) <= time, items)
    yield from (item for item in begun if _epoch_ms(item["window_end"]) > time)


def _epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
