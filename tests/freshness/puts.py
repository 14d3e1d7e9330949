"""What a job writes into DynamoDB, counted at the fault proxy from the requests that the table took.

proxy.add(Rule("dynamodb:BatchWriteItem", puts := Puts()))
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.answers import Forward
from tests.faults.requests import Answer, Request

_UNIT = 1024  # bytes of an item that one write unit pays for


@dataclass
class Puts:
    """A fault that does no harm: it forwards, and counts.

    Attributes:
        requests: BatchWriteItem calls that were answered well.
        items: items that the table took; one that it took twice counts twice, it was paid for twice.
        units: write units of them.
        size: bytes of them, as DynamoDB counts.
        newest: of them, those whose window ends no earlier than any written before for the same customer and feature
            set: what would be left with one item for each, its newest row.
    """

    requests: int = 0
    items: int = 0
    units: int = 0
    size: int = 0
    newest: int = 0
    _ends: dict[tuple[str, str], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request, forward: Forward) -> Answer:
        """Forward, and count what was taken."""
        answer = forward(request)
        if answer.status == 200:
            taken = items_taken(request, answer)
            with self._lock:
                self.requests += 1
                for item in taken:
                    self._count(item)
        return answer

    def _count(self, item: Mapping[str, Any]) -> None:
        size = item_size(item)
        self.items += 1
        self.size += size
        self.units += -(-size // _UNIT)
        feature_set, _, end = item["feature_window"]["S"].partition("#")
        key = (item["customer_id"]["S"], feature_set)
        if end >= self._ends.get(key, ""):
            self._ends[key] = end
            self.newest += 1


def items_taken(request: Request, answer: Answer) -> list[dict[str, Any]]:
    """The items of a BatchWriteItem that the table took: none if it answered with an error."""
    if answer.status != 200:
        return []
    left = _puts(json.loads(answer.body).get("UnprocessedItems", {}))
    return [item for item in _puts(json.loads(request.body)["RequestItems"]) if item not in left]


def _puts(tables: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [each["PutRequest"]["Item"] for requests in tables.values() for each in requests]


def item_size(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Bytes that a put pays for: names and values.

    A number: about a byte for two digits and one more. Source: Amazon DynamoDB Developer Guide, "DynamoDB item sizes
    and formats".
    """
    size = 0
    for name, attribute in item.items():
        ((kind, value),) = attribute.items()
        if kind == "N":
            digits = sum(character.isdigit() for character in value.partition("E")[0].strip("-0."))
            size += len(name.encode()) + (digits + 1) // 2 + 1 + value.startswith("-")
        else:
            size += len(name.encode()) + (len(value.encode()) if kind == "S" else 1)
    return size
