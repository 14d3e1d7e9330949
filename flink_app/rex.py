"""Flink's expression trees (Calcite RexNodes, as the compiled plan writes them in JSON) -> `operators.expressions`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import pyarrow as pa

from operators.expressions import Call, Expression, Literal, Unsupported, compile_expression

Json: TypeAlias = dict[str, Any]

_TYPES = {
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INT": pa.int32(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "NULL": pa.null(),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMPARED = {"LOWER": (">", ">="), "UPPER": ("<", "<=")}


def expression_of(node: Json, inputs: Sequence[Expression | Unsupported]) -> Expression:
    """The tree of a RexNode.

    Args:
        node: of the compiled plan.
        inputs: what INPUT_REF 0, 1, … stand for.

    Raises:
        Unsupported: an unknown type or function, or an input that is one.
    """
    kind = node["kind"]
    if kind == "INPUT_REF":
        value = inputs[node["inputIndex"]]
        if isinstance(value, Unsupported):
            raise value
        return value
    if kind == "LITERAL":
        return _literal(node)
    if kind != "CALL":
        raise Unsupported(f"expression {kind}")
    name = _function(node)
    if name == "SEARCH":
        return _search(expression_of(node["operands"][0], inputs), node["operands"][1])
    if name == "CAST":
        _refuse_cut_text(node)
    call = Call(name, tuple(expression_of(operand, inputs) for operand in node["operands"]), arrow_type(node["type"]))
    compile_expression(call)  # says Unsupported here, while the query can still run natively
    return call


def conjunction(left: Expression | None, right: Expression) -> Expression:
    """`left AND right`."""
    return right if left is None else Call("AND", (left, right), pa.bool_())


def arrow_type(flink_type: str | Json) -> pa.DataType:
    """Arrow type of a type of the plan: `DECIMAL(12, 2) NOT NULL`, or a dictionary for timestamps.

    Raises:
        Unsupported: a type that the operator does not carry.
    """
    if isinstance(flink_type, dict):
        return _timestamp(flink_type["type"], flink_type.get("precision", 6))
    text = flink_type.removesuffix(" NOT NULL")
    if decimal := re.fullmatch(r"DECIMAL\((\d+), (\d+)\)", text):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if timestamp := re.fullmatch(r"TIMESTAMP\((\d)\)( WITH LOCAL TIME ZONE)?", text):
        return _timestamp(
            "TIMESTAMP_WITH_LOCAL_TIME_ZONE" if timestamp[2] else "TIMESTAMP_WITHOUT_TIME_ZONE", int(timestamp[1])
        )
    if re.match(r"(VARCHAR|CHAR)\(\d+\)$|STRING$", text):
        return pa.string()
    if text.startswith("INTERVAL") and "YEAR" not in text and "MONTH" not in text:
        return pa.duration("ms")
    if text not in _TYPES:
        raise Unsupported(f"type {text}")
    return _TYPES[text]


def _timestamp(kind: str, precision: int) -> pa.DataType:
    if kind == "SYMBOL":
        return pa.string()
    if precision > 3 or kind not in ("TIMESTAMP_WITH_LOCAL_TIME_ZONE", "TIMESTAMP_WITHOUT_TIME_ZONE"):
        raise Unsupported(f"type {kind}({precision})")
    return pa.timestamp("ms", "UTC" if kind == "TIMESTAMP_WITH_LOCAL_TIME_ZONE" else None)


def _function(node: Json) -> str:
    internal = re.fullmatch(r"\$(.+)\$\d+", node.get("internalName") or "")
    if internal is None:
        raise Unsupported(f"function {node.get('systemName') or node.get('catalogName') or node.get('class')}")
    return internal[1]


def _literal(node: Json) -> Literal:
    if "sarg" in node:
        raise Unsupported("a range outside of a comparison")
    kind = arrow_type(node["type"])
    return Literal(_value(node.get("value"), kind), kind)


def _value(value: Any, kind: pa.DataType) -> Any:
    """A literal's JSON as the Python value of `operators.expressions.Literal`."""
    if value is None or pa.types.is_boolean(kind):
        return value
    if pa.types.is_string(kind):
        return str(value)
    if pa.types.is_decimal(kind):
        return Decimal(str(value))
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_integer(kind) or pa.types.is_duration(kind):
        return int(value)
    if pa.types.is_timestamp(kind):
        moment = datetime.fromisoformat(str(value).replace(" ", "T").removesuffix("Z"))
        return (moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
    raise Unsupported(f"a literal of {kind}")


def _search(value: Expression, literal: Json) -> Expression:
    """SEARCH(x, Sarg[…]), Calcite's IN, BETWEEN and chains of comparisons, as plain comparisons joined by OR."""
    kind = arrow_type(literal["type"])
    sarg = literal["sarg"]
    ranges = [_in_range(value, entry, kind) for entry in sarg["ranges"]]
    if not ranges:
        raise Unsupported("an empty range")
    found = ranges[0] if len(ranges) == 1 else Call("OR", tuple(ranges), pa.bool_())
    compile_expression(found)
    when_null = sarg.get("nullAs", "UNKNOWN")
    if when_null == "UNKNOWN":
        return found
    is_null = Call("IS NULL", (value,), pa.bool_())
    return Call("CASE", (is_null, Literal(when_null == "TRUE", pa.bool_()), found), pa.bool_())


def _in_range(value: Expression, entry: Json, kind: pa.DataType) -> Expression:
    lower, upper = entry.get("lower"), entry.get("upper")
    if lower and upper and lower["value"] == upper["value"]:
        return Call("=", (value, Literal(_value(lower["value"], kind), kind)), pa.bool_())
    tests = [
        Call(names[bound["boundType"] != "OPEN"], (value, Literal(_value(bound["value"], kind), kind)), pa.bool_())
        for bound, names in ((lower, _COMPARED["LOWER"]), (upper, _COMPARED["UPPER"]))
        if bound
    ]
    if not tests:
        return Call("IS NOT NULL", (value,), pa.bool_())
    return tests[0] if len(tests) == 1 else Call("AND", tuple(tests), pa.bool_())


def _refuse_cut_text(node: Json) -> None:
    """CAST to VARCHAR(n) cuts and to CHAR(n) pads; the operator does neither."""
    target = re.match(r"(VARCHAR|CHAR)\((\d+)\)", str(node["type"]))
    if target is None or target[2] == str(2**31 - 1):
        return
    source = re.match(r"(VARCHAR|CHAR)\((\d+)\)", str(node["operands"][0].get("type", "")))
    same = source is not None and (source[2] == target[2] if target[1] == "CHAR" else int(source[2]) <= int(target[2]))
    if not same or (target[1] == "CHAR" and source is not None and source[1] != "CHAR"):
        raise Unsupported(f"CAST to {target[0]}")
