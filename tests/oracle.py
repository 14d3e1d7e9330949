"""What the rows must be, computed so plainly that a stranger can check it: loops, dictionaries, the standard library.

Shares no code with the product. A record is (data bytes, arrival in epoch ms); the delivered windows stand by hand.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

LATENESS_MS = 120_000
FUTURE_MS = 5_000

Record = tuple[bytes, int]
Event = dict[str, Any]
Row = dict[str, Any]

# feature set -> (size, slide), milliseconds
WINDOWS = {
    "card_velocity": (30_000, 5_000),
    "customer_spend_1m": (60_000, 60_000),
    "customer_spend_5m": (300_000, 300_000),
    "customer_spend_15m": (900_000, 900_000),
}


def accepted_events(records: list[Record], lateness_ms: int = LATENESS_MS) -> tuple[list[Event], Counter[str]]:
    """Laws 1 and 2: every record leaves by one exit; the first of equal (customer_id, event_id) is counted."""
    exits: Counter[str] = Counter()
    events: list[Event] = []
    seen = set()
    for data, arrival in records:
        try:
            event = json.loads(data.decode(), parse_float=Decimal, parse_int=Decimal)
            event["time"] = epoch_ms(event["event_time"])
            check_fields(event)
            identity = (event["customer_id"], event["event_id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            exits["malformed"] += 1
            continue
        if event["time"] - arrival > FUTURE_MS:
            exits["future"] += 1
        elif arrival - event["time"] > lateness_ms:
            exits["too_late"] += 1
        elif identity in seen:
            exits["duplicate"] += 1
        else:
            seen.add(identity)
            exits["counted"] += 1
            events.append(event)
    return events, exits


def check_fields(event: Event) -> None:
    """Every field has its type, every required one is there."""
    for name in ("event_id", "customer_id", "merchant_id"):
        if not isinstance(event[name], str) or not event[name]:
            raise TypeError(name)
    for name in ("currency", "country", "channel", "device_id", "email"):
        if not isinstance(event.get(name), str | None):
            raise TypeError(name)
    if not isinstance(event.get("card_present"), bool | None):
        raise TypeError("card_present")
    amount = event["amount"]
    if not isinstance(amount, Decimal) or amount != round(amount, 2) or abs(amount) >= 10**10:
        raise ValueError(amount)


def epoch_ms(text: str) -> int:
    """Milliseconds since the epoch, finer fractions cut off."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def final_rows(events: list[Event]) -> dict[tuple[str, str, int], Row]:
    """The delivered windows' rows, by (feature set, customer_id, window end in epoch ms)."""
    members: dict[tuple[str, str, int], list[Event]] = {}
    for event in events:
        for name, (size, slide) in WINDOWS.items():
            end = event["time"] // slide * slide + slide  # the first window end after the event
            while end - size <= event["time"]:
                members.setdefault((name, event["customer_id"], end), []).append(event)
                end += slide
    return {key: row_of(key[0], group) for key, group in members.items()}


def row_of(feature_set: str, group: list[Event]) -> Row:
    """The columns of one window row."""
    amounts = [event["amount"] for event in group]
    row: Row = {
        "tx_count": len(group),
        "amount_sum": sum(amounts),
        "amount_max": max(amounts),
        "merchant_count": len({event["merchant_id"] for event in group}),
        "revision": len(group),
    }
    if feature_set == "card_velocity":
        row["amount_avg"] = (sum(amounts) / len(amounts)).quantize(Decimal("0.000001"), ROUND_HALF_UP)
    else:
        ecom = [event["amount"] for event in group if event.get("channel") == "ecom"]
        row["ecom_amount_sum"] = sum(ecom) if ecom else None
    return row
