"""Flink's compiled plan of one window query -> `operators.window_spec.WindowSpec`.

    scan → watermark → calc → exchange → window-aggregate → calc → sink
                       where, arguments   grouping, calls     outputs, having

Only this line of nodes fits the slices. A join, a session, another key, a function that the operator does not compute
exactly: `Unsupported`, with the reason, and the caller runs the query natively.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from flink_app.rex import arrow_type, conjunction, expression_of
from operators.contract import CUSTOMER_ID, Contract
from operators.expressions import Column, Expression, Unsupported
from operators.window_spec import AGGREGATES, Aggregate

Json: TypeAlias = dict[str, Any]
Lazy: TypeAlias = Expression | Unsupported  # a column that nobody may need keeps its error until somebody does

_LINEAR = ("table-source-scan", "watermark-assigner", "calc", "exchange", "window-aggregate", "sink")
_REASONS = {
    "join": "a join",
    "window-join": "a join",
    "interval-join": "a join",
    "temporal-join": "a join",
    "union": "UNION",
    "over-aggregate": "an OVER window",
    "rank": "a top-n query",
    "window-rank": "a top-n query",
    "window-deduplicate": "a top-n query",
    "deduplicate": "a top-n query",
    "expand": "GROUPING SETS",
    "match": "MATCH_RECOGNIZE",
    "correlate": "a table function",
    "python-calc": "a Python function",
    "window-table-function": "a condition on the window before it is aggregated, or a window without GROUP BY",
    "group-window-aggregate": "the old HOP() or TUMBLE() in GROUP BY instead of TABLE(HOP(…))",
    "group-aggregate": "an aggregate without a window",
}
_PROPERTIES = {"WindowStart": "window_start", "WindowEnd": "window_end"}


@dataclass(frozen=True)
class WindowQuery:
    """A window query in the operator's terms, still without the file's header.

    Attributes:
        kind: HOP or TUMBLE.
        size_ms, slide_ms, offset_ms: of the window function.
        where, aggregates, outputs, having: as in `WindowSpec`.
    """

    kind: str
    size_ms: int
    slide_ms: int
    offset_ms: int
    where: Expression | None
    aggregates: tuple[Aggregate, ...]
    outputs: tuple[tuple[str, Expression], ...]
    having: Expression | None


def window_query(plan: str | Json, names: Sequence[str], contract: Contract) -> WindowQuery:
    """Translates a compiled plan (the JSON of `CompiledPlan`).

    Args:
        plan: of INSERT INTO some sink SELECT ….
        names: output columns of the SELECT, in order.
        contract: the columns that the scan delivers, in order.

    Raises:
        Unsupported: the query does not fit the slices; the message says why.
    """
    chain = _chain(json.loads(plan) if isinstance(plan, str) else plan)
    _refuse_other_nodes(chain)
    places = [i for i, node in enumerate(chain) if _kind(node) == "window-aggregate"]
    if len(places) != 1:
        raise Unsupported("no window aggregate" if not places else "a window over a window")
    aggregate = chain[places[0]]
    inputs: list[Lazy] = [Column(i, column.arrow_type) for i, column in enumerate(contract.columns)]
    inputs, where = _through_calcs(chain[: places[0]], inputs)
    kind, size_ms, slide_ms, offset_ms = _window(aggregate)
    key = [_force(inputs[index]) for index in aggregate["grouping"]]
    customer = contract.names.index(CUSTOMER_ID)
    if key != [Column(customer, pa.string())]:
        raise Unsupported("GROUP BY other keys than customer_id")
    time = _force(inputs[aggregate["windowing"]["timeAttributeIndex"]])
    if time != Column(contract.names.index("event_time"), pa.timestamp("ms", "UTC")):
        raise Unsupported("a window over another time than event_time")
    aggregates = tuple(_aggregate(call, inputs) for call in aggregate["aggCalls"])
    results, having = _through_calcs(chain[places[0] + 1 :], _window_columns(aggregate, aggregates))
    outputs = _feature_columns(names, [_force(result) for result in results], len(aggregates))
    return WindowQuery(kind, size_ms, slide_ms, offset_ms, where, aggregates, outputs, having)


def _kind(node: Json) -> str:
    return re.sub(r"^stream-exec-|_\d+$", "", node["type"])


def _chain(plan: Json) -> list[Json]:
    """Nodes from the scan to the sink."""
    nodes = {node["id"]: node for node in plan["nodes"]}
    inputs: dict[int, int] = {}
    for edge in plan["edges"]:
        if edge["target"] in inputs:
            kind = _kind(nodes[edge["target"]])
            raise Unsupported(_REASONS.get(kind, f"{kind} of two inputs"))
        inputs[edge["target"]] = edge["source"]
    chain = [next(node for node in plan["nodes"] if _kind(node) == "sink")]
    while chain[0]["id"] in inputs:
        chain.insert(0, nodes[inputs[chain[0]["id"]]])
    return chain


def _refuse_other_nodes(chain: list[Json]) -> None:
    others = [_kind(node) for node in chain if _kind(node) not in _LINEAR]
    for kind in sorted(others, key=lambda kind: "python" not in kind):  # the cause before its effects
        raise Unsupported(_REASONS.get(kind, kind))
    if _kind(chain[0]) != "table-source-scan" or "abilities" in chain[0]["scanTableSource"]:
        raise Unsupported("a source that filters by itself")


def _through_calcs(chain: list[Json], inputs: list[Lazy]) -> tuple[list[Lazy], Expression | None]:
    """Columns after the projections, and the conditions on the way as one."""
    condition: Expression | None = None
    for node in chain:
        if _kind(node) == "calc":
            if node["condition"]:
                condition = conjunction(condition, expression_of(node["condition"], inputs))
            inputs = [_lazy(projection, inputs) for projection in node["projection"]]
    return inputs, condition


def _lazy(projection: Json, inputs: list[Lazy]) -> Lazy:
    try:
        return expression_of(projection, inputs)
    except Unsupported as error:
        return error


def _force(value: Lazy) -> Expression:
    if isinstance(value, Unsupported):
        raise value
    return value


def _window(aggregate: Json) -> tuple[str, int, int, int]:
    """(HOP or TUMBLE, size, slide, offset), all in milliseconds."""
    windowing = aggregate["windowing"]
    window = windowing["window"]
    kind = {"TumblingWindow": "TUMBLE", "HoppingWindow": "HOP"}.get(window["type"])
    if kind is None:
        name = {"CumulativeWindow": "CUMULATE", "SessionWindow": "SESSION"}.get(window["type"], window["type"])
        raise Unsupported(f"a {name} window")
    if windowing["strategy"] != "TimeAttribute" or not windowing["isRowtime"] or aggregate["needRetraction"]:
        raise Unsupported(f"a window by {windowing['strategy']}")
    size = _milliseconds(window["size"])
    slide = _milliseconds(window["slide"]) if "slide" in window else size
    return kind, size, slide, _milliseconds(window.get("offset") or "PT0S")


def _milliseconds(duration: str) -> int:
    """An ISO 8601 duration of Java, e.g. PT1M30S, P1D, PT-5S."""
    parts = re.fullmatch(r"P(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?\d+(?:\.\d+)?)S)?)?", duration)
    if parts is None:
        raise Unsupported(f"a window duration of {duration}")
    days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)


def _aggregate(call: Json, inputs: list[Lazy]) -> Aggregate:
    internal = re.fullmatch(r"\$(.+)\$\d+", call.get("internalName") or "")
    function = internal[1] if internal else str(call.get("systemName") or call.get("catalogName") or "user-defined")
    if function not in AGGREGATES or len(call["argList"]) > 1:
        raise Unsupported(f"aggregate {function}" + (" of several columns" if len(call["argList"]) > 1 else ""))
    distinct = call["distinct"] and function not in ("MIN", "MAX")
    if distinct and function != "COUNT":
        raise Unsupported(f"{function}(DISTINCT …)")
    return Aggregate(
        function=function,
        argument=_force(inputs[call["argList"][0]]) if call["argList"] else None,
        filter=_force(inputs[call["filterArg"]]) if call["filterArg"] >= 0 else None,
        distinct=distinct,
        type=arrow_type(call["type"]),
    )


def _window_columns(aggregate: Json, aggregates: Sequence[Aggregate]) -> list[Lazy]:
    """What the nodes after the aggregate see: the key, the results, then the window's properties in the plan's order.

    As inputs of `WindowSpec.outputs` window_start and window_end always come in this order, after the aggregates.
    """
    places = {"window_start": len(aggregates) + 1, "window_end": len(aggregates) + 2}
    columns: list[Lazy] = [Column(0, pa.string())]
    columns += [Column(i + 1, call.type) for i, call in enumerate(aggregates)]
    for entry in aggregate["namedWindowProperties"]:
        name = _PROPERTIES.get(entry["property"]["kind"])
        columns.append(Column(places[name], pa.timestamp("ms")) if name else Unsupported("window_time"))
    return columns


def _feature_columns(
    names: Sequence[str], results: Sequence[Expression], aggregates: int
) -> tuple[tuple[str, Expression], ...]:
    """The columns but the three that name the row, which must be what they are called."""
    keys = {
        CUSTOMER_ID: Column(0, pa.string()),
        "window_start": Column(aggregates + 1, pa.timestamp("ms")),
        "window_end": Column(aggregates + 2, pa.timestamp("ms")),
    }
    for name, result in zip(names, results, strict=True):
        if name in keys and result != keys[name]:
            raise Unsupported(f"column {name} is computed")
    return tuple((name, result) for name, result in zip(names, results, strict=True) if name not in keys)
