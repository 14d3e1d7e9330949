"""Writes are counted as DynamoDB charges them: what the table took, a unit for each KB begun."""

from __future__ import annotations

import json

import pytest

from tests.faults.requests import Answer, Request
from tests.freshness.puts import Puts, item_size


def row(end="12:00:30", **more):
    return {"customer_id": {"S": "c1"}, "feature_window": {"S": f"velocity#2026-01-01T{end}Z"}} | more


def sent(puts, *items, unprocessed=(), status=200):
    def requests(some):
        return {"features": [{"PutRequest": {"Item": item}} for item in some]}

    body = json.dumps({"RequestItems": requests(items)}).encode()
    left = {"UnprocessedItems": requests(unprocessed) if unprocessed else {}}
    answer = Answer(status, (), json.dumps(left).encode())
    assert puts(Request("POST", "/", {}, body), lambda _: answer) is answer


@pytest.mark.parametrize(
    ("attribute", "size"),
    [
        ({"S": "grün"}, 1 + 5),
        ({"N": "12345"}, 1 + 3 + 1),
        ({"N": "-1.25"}, 1 + 2 + 1 + 1),
        ({"N": "0"}, 1 + 1),
        ({"BOOL": True}, 1 + 1),
    ],
)
def test_an_item_is_its_names_and_values(attribute, size):
    assert item_size({"x": attribute}) == size


def test_what_the_table_did_not_take_costs_nothing():
    puts = Puts()
    sent(puts, row("12:00:30"), row("12:00:35"), unprocessed=[row("12:00:35")])
    sent(puts, row("12:00:35"), status=400)
    sent(puts, row("12:00:35"))
    assert (puts.requests, puts.items, puts.units) == (2, 2, 2)


def test_a_unit_is_a_kilobyte_begun():
    puts = Puts()
    sent(puts, row(note={"S": "x" * 1_100}))
    assert (puts.items, puts.units) == (1, 2)


def test_a_correction_of_an_older_window_is_what_one_item_per_customer_would_not_write():
    puts = Puts()
    for end in ("12:00:30", "12:00:35", "12:00:30", "12:00:35"):
        sent(puts, row(end))
    assert (puts.items, puts.newest) == (4, 3)
