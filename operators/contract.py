"""The event contract as data: what `sql/events.sql` says, free of Flink.

`flink_app.contract_sql` reads the file through Flink's own parser and makes this object; the gate, the windows and
the tests only see it. Types are Flink's, as the planner prints them (`DECIMAL(12, 2)`, `TIMESTAMP_LTZ(3)`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

EVENT_ID = "event_id"
CUSTOMER_ID = "customer_id"
EVENT_TIME = "event_time"

_SIMPLE = {
    "STRING": pa.string(),
    "BOOLEAN": pa.bool_(),
    "INT": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "TIMESTAMP_LTZ(3)": pa.timestamp("ms", "UTC"),
}


class ContractError(ValueError):
    """`sql/events.sql` asks for something that the gate cannot promise."""


@dataclass(frozen=True)
class Column:
    """One field of a payment.

    Attributes:
        name: the JSON field and the SQL column.
        type: one of STRING, BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p, s), TIMESTAMP_LTZ(3).
        nullable: False for NOT NULL; a record without the field is then malformed.
        pii: True for `COMMENT 'pii'`; the value leaves the gate only as HMAC-SHA256.
    """

    name: str
    type: str
    nullable: bool = True
    pii: bool = False

    def __post_init__(self) -> None:
        _ = self.arrow_type  # an unknown type is an error here, not at the first event
        if self.pii and self.type != "STRING":
            raise ContractError(f"column '{self.name}': COMMENT 'pii' masks STRING columns only, got {self.type}")

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type that carries the column through the job."""
        if self.type in _SIMPLE:
            return _SIMPLE[self.type]
        if decimal := re.fullmatch(r"DECIMAL\((\d+), ?(\d+)\)", self.type):
            return pa.decimal128(int(decimal[1]), int(decimal[2]))
        wanted = ", ".join([*_SIMPLE, "DECIMAL(p, s)"])
        raise ContractError(f"column '{self.name}': type {self.type} is not one of {wanted}")


@dataclass(frozen=True)
class Contract:
    """All columns of an event, in order, and the lateness bound L.

    Attributes:
        table: name of the table in `sql/events.sql`, as window files select from it.
        columns: in the order of the file; contains event_id, customer_id and event_time, all NOT NULL.
        lateness_ms: L, from the WATERMARK clause.
    """

    table: str
    columns: tuple[Column, ...]
    lateness_ms: int

    def __post_init__(self) -> None:
        by_name = {column.name: column for column in self.columns}
        for name, wanted in ((EVENT_ID, "STRING"), (CUSTOMER_ID, "STRING"), (EVENT_TIME, "TIMESTAMP_LTZ(3)")):
            column = by_name.get(name)
            if column is None or column.type != wanted or column.nullable or column.pii:
                raise ContractError(f"the event contract needs `{name} {wanted} NOT NULL`, not masked; got {column}")
        if self.lateness_ms < 0:
            raise ContractError(f"the lateness bound must not be negative, got {self.lateness_ms} ms")

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    def arrow_schema(self) -> pa.Schema:
        """The contract's columns as an Arrow schema."""
        return pa.schema([pa.field(c.name, c.arrow_type, c.nullable) for c in self.columns])
