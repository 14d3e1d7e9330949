"""What can go wrong with a request: each fault is a function that the proxy calls instead of just forwarding.

A fault gets the request and `forward`, which asks the real endpoint; it returns the answer that the client sees, or
raises `ConnectionLost`: the client's connection is then reset without an answer.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.faults.requests import Answer, Request

Forward = Callable[[Request], Answer]
Fault = Callable[[Request, Forward], Answer]

_JSON = (("Content-Type", "application/x-amz-json-1.1"),)
_XML = (("Content-Type", "application/xml"),)


class ConnectionLost(Exception):  # noqa: N818 - an event, no bug
    """Reset the client's connection."""


def refuse(status: int, code: str, message: str = "injected fault") -> Fault:
    """An error in the service's own words; the endpoint never sees the request."""

    def fault(request: Request, forward: Forward) -> Answer:
        if request.service == "s3":
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            return Answer(status, _XML, b"" if request.method == "HEAD" else body.encode())
        return Answer(status, _JSON, json.dumps({"__type": code, "message": message}).encode())

    return fault


throttle = refuse(400, "ProvisionedThroughputExceededException")
expire_iterator = refuse(400, "ExpiredIteratorException")
internal_error = refuse(500, "InternalServerError")
slow_down = refuse(503, "SlowDown")
s3_internal_error = refuse(500, "InternalError")


def delay(seconds: float) -> Fault:
    """The answer comes, later."""

    def fault(request: Request, forward: Forward) -> Answer:
        time.sleep(seconds)
        return forward(request)

    return fault


def hang(seconds: float) -> Fault:
    """No answer at all; the endpoint never sees the request, and the connection breaks in the end."""

    def fault(request: Request, forward: Forward) -> Answer:
        time.sleep(seconds)
        raise ConnectionLost

    return fault


def reset(request: Request, forward: Forward) -> Answer:
    """The connection breaks before the endpoint sees the request."""
    raise ConnectionLost


def lose_answer(request: Request, forward: Forward) -> Answer:
    """The endpoint does what was asked, and nobody hears of it."""
    forward(request)
    raise ConnectionLost


def no_records(request: Request, forward: Forward) -> Answer:
    """GetRecords of a stream that went silent: nothing, and the same place to go on from."""
    iterator = json.loads(request.body)["ShardIterator"]
    body = {"Records": [], "NextShardIterator": iterator, "MillisBehindLatest": 0}
    return Answer(200, _JSON, json.dumps(body).encode())


def unprocessed(every: int) -> Fault:
    """BatchWriteItem that leaves each `every`-th item of a request out and says so."""

    def fault(request: Request, forward: Forward) -> Answer:
        asked = json.loads(request.body)
        kept: dict[str, list[Any]] = {}
        left: dict[str, list[Any]] = {}
        for table, writes in asked["RequestItems"].items():
            for number, write in enumerate(writes):
                (left if number % every == 0 else kept).setdefault(table, []).append(write)
        if not kept:
            return Answer(200, _JSON, json.dumps({"UnprocessedItems": left}).encode())
        body = json.dumps(asked | {"RequestItems": kept}).encode()
        answer = forward(replace(request, body=body))
        if answer.status != 200:
            return answer
        told = json.loads(answer.body)
        for table, writes in told.get("UnprocessedItems", {}).items():
            left.setdefault(table, []).extend(writes)
        return answer.with_body(json.dumps(told | {"UnprocessedItems": left}).encode())

    return fault


def arrivals(arrival: Callable[[float, str], float]) -> Fault:
    """GetRecords whose records have other arrival times.

    Args:
        arrival: (arrival time in epoch seconds, partition key) -> the arrival time that the job is told.
    """

    def fault(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if answer.status != 200:
            return answer
        told = json.loads(answer.body)
        for record in told["Records"]:
            at = arrival(float(record["ApproximateArrivalTimestamp"]), record["PartitionKey"])
            record["ApproximateArrivalTimestamp"] = round(at, 3)
        return answer.with_body(json.dumps(told).encode())

    return fault


class SmallSteps:
    """GetRecords of some shards gives few records at a time; the proxy learns which iterator is whose from the answers.

    Attributes:
        steps: how many requests were cut short.
    """

    def __init__(self, limit: Callable[[str], int | None]) -> None:
        """`limit`: shard id -> records at a time; None: as many as asked for."""
        self.steps = 0
        self._limit = limit
        self._shards: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        asked = json.loads(request.body)
        with self._lock:
            shard = asked.get("ShardId") or self._shards.get(asked.get("ShardIterator", ""), "")
        if request.operation == "kinesis:GetRecords" and (limit := self._limit(shard)):
            self.steps += 1
            request = replace(request, body=json.dumps(asked | {"Limit": limit}).encode())
        answer = forward(request)
        if answer.status == 200:
            told = json.loads(answer.body)
            if following := told.get("NextShardIterator") or told.get("ShardIterator"):
                with self._lock:
                    self._shards[following] = shard
        return answer
