"""Window files drawn by chance, as text: what an analyst could write, and the corners that nobody would.

Only what has one right answer: no comparison or rounding of DOUBLE sums, which may differ in the last bit; no division
by what can be zero, at which Flink stops.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

EXTRA_COLUMNS = """  visits       INT,
  points       BIGINT,
  score        DOUBLE,
  fee          DECIMAL(4, 4),
  issued       TIMESTAMP_LTZ(3),
"""
_WINDOWS = (
    "TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '{size}' SECOND)",
    "TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '{size}' SECOND{shift})",
    "HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '{slide}' SECOND, INTERVAL '{size}' SECOND)",
    "HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '{slide}' SECOND, INTERVAL '{size}' SECOND{shift})",
)
_CUMULATE = "CUMULATE(TABLE events, DESCRIPTOR(event_time), INTERVAL '{slide}' SECOND, INTERVAL '{size}' SECOND)"


@dataclass(frozen=True)
class RandomWindow:
    """One window file: its name, its feature columns (name, expression), and the clauses around them."""

    name: str
    columns: tuple[tuple[str, str], ...]
    window: str
    where: str
    having: str

    def sql(self, *, counted: bool = False) -> str:
        """The statement; `counted` adds the number of events, as the referee wants it."""
        columns = (*self.columns, ("revision", "COUNT(*)")) if counted else self.columns
        listed = "".join(f",\n  {expression} AS {name}" for name, expression in columns)
        return (
            f"SELECT\n  customer_id,\n  window_start,\n  window_end{listed}\nFROM TABLE({self.window})\n{self.where}"
            f"GROUP BY customer_id, window_start, window_end\n{self.having}"
        )


class SqlWriter:
    """Writes window files out of a random source."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def window(self, name: str) -> RandomWindow:
        """One window file."""
        rng = self._rng
        slide = rng.choice((1, 2, 3, 5, 7))
        size = slide * rng.randint(1, 8)
        window = rng.choice(_WINDOWS if rng.random() < 0.96 else (_CUMULATE,))
        offset = rng.choice([seconds for seconds in (-2, 0, 1, 3) if abs(seconds) < slide])
        chosen = window.format(size=size, slide=slide, shift=f", INTERVAL '{offset}' SECOND")
        columns = tuple((f"{name}_c{i}", self._output()) for i in range(rng.randint(2, 6)))
        where = f"WHERE {self._condition(2)}\n" if rng.random() < 0.4 else ""
        having = f"HAVING {self._over_aggregates()}\n" if rng.random() < 0.25 else ""
        return RandomWindow(name, columns, chosen, where, having)

    def _pick(self, *ways: Callable[[], str] | str) -> str:
        way = self._rng.choice(ways)
        return way if isinstance(way, str) else way()

    # ---- over events

    def _money(self, depth: int = 1) -> str:
        if depth == 0:
            return self._pick("amount", "amount", "fee")
        money, condition = lambda: self._money(depth - 1), lambda: self._condition(depth - 1)
        return self._pick(
            "amount", "amount", "fee", "amount * 2", "amount + fee", "amount * fee", "-amount", "ABS(amount)",
            "amount / 3",
            "CAST(visits AS DECIMAL(12, 2))", "COALESCE(fee, 0.5)", "ROUND(amount, 1)", "CAST(amount AS DECIMAL(9, 1))",
            "CAST(amount AS DECIMAL(5, 2))", "amount - 100.005", "FLOOR(amount)", "CEIL(fee)", "MOD(amount, 7)",
            "NULLIF(amount, 12.50)", "GREATEST(amount, 5.00)",
            lambda: f"CASE WHEN {condition()} THEN {money()} ELSE {money()} END",
            lambda: f"CASE WHEN {condition()} THEN {money()} END",
        )  # fmt: skip

    def _whole(self) -> str:
        return self._pick(
            "visits", "points", "visits + 1", "visits * 3", "points - visits", "MOD(visits, 7)", "CHAR_LENGTH(channel)",
            "visits / 4", "-points", "ABS(visits)", "COALESCE(visits, -1)", "CAST(amount AS INT)",
            "CAST(amount AS BIGINT)",
            "CASE WHEN card_present THEN 1 ELSE 0 END", "CAST(score AS INT)", "CAST(card_present AS INT)",
            "EXTRACT(SECOND FROM event_time)", "NULLIF(visits, 0)", "1",
        )  # fmt: skip

    def _double(self) -> str:
        return self._pick("score", "score * 2", "score + visits", "CAST(visits AS DOUBLE)", "ABS(score)", "-score")

    def _text(self) -> str:
        return self._pick(
            "channel", "merchant_id", "currency", "email", "device_id", "UPPER(channel)", "LOWER(device_id)",
            "COALESCE(channel, 'none')", "SUBSTRING(merchant_id FROM 1 FOR 2)", "TRIM(device_id)",
            "channel || currency",
            "CAST(visits AS STRING)", "CAST(amount AS STRING)",
            "CASE WHEN card_present THEN channel ELSE merchant_id END",
        )  # fmt: skip

    def _condition(self, depth: int = 1) -> str:
        simple = (
            "card_present", "card_present IS NULL", "card_present IS NOT TRUE", "NOT card_present", "channel = 'ecom'",
            "channel <> 'ecom'", "channel IN ('ecom', 'pos')", "channel NOT IN ('ecom', 'pos')", "channel IS NULL",
            "channel IS DISTINCT FROM 'pos'", "channel LIKE 'e%'", "amount > 12.5", "amount BETWEEN 0 AND 50",
            "amount <= fee",
            "fee IS NOT NULL", "visits > 0", "MOD(visits, 2) = 0", "points < visits", "score >= 0", "score = 0",
            "currency = channel", "amount IN (1, 12.50, 99.99)", "visits <> 3 OR amount < 0", "device_id > 'b'",
            "issued > event_time", "CHAR_LENGTH(device_id) < 3", "merchant_id = 'm1'", "amount NOT BETWEEN 1 AND 2",
        )  # fmt: skip
        if depth == 0:
            return self._pick(*simple)
        part = lambda: self._condition(depth - 1)  # noqa: E731
        return self._pick(
            *simple,
            lambda: f"({part()}) AND ({part()})",
            lambda: f"({part()}) OR ({part()})",
            lambda: f"NOT ({part()})",
            lambda: f"CASE WHEN {part()} THEN {part()} ELSE {part()} END",
        )

    # ---- over aggregates

    def _filter(self) -> str:
        return f" FILTER (WHERE {self._condition()})" if self._rng.random() < 0.35 else ""

    def _count(self) -> str:
        anything = lambda: self._pick(self._money, self._whole, self._text, self._double, "card_present", "issued")  # noqa: E731
        return self._pick(
            "COUNT(*)", lambda: f"COUNT({anything()})", lambda: f"COUNT(DISTINCT {anything()})"
        ) + self._filter()  # fmt: skip

    def _money_aggregate(self) -> str:
        return f"{self._pick('SUM', 'AVG', 'MIN', 'MAX')}({self._money()}){self._filter()}"

    def _whole_aggregate(self) -> str:
        return f"{self._pick('SUM', 'AVG', 'MIN', 'MAX')}({self._whole()}){self._filter()}"

    def _other_aggregate(self) -> str:
        return self._pick(
            lambda: f"{self._pick('SUM', 'AVG', 'MIN', 'MAX')}({self._double()}){self._filter()}",
            lambda: f"{self._pick('MIN', 'MAX')}({self._pick('event_time', 'issued')}){self._filter()}",
            lambda: f"{self._pick('STDDEV_POP', 'STDDEV_SAMP', 'VAR_POP', 'VAR_SAMP')}(score)",
        )

    def _exact(self) -> str:
        return self._pick(self._count, self._money_aggregate, self._whole_aggregate)

    def _over_aggregates(self) -> str:
        """A condition on a row."""
        return self._pick(
            lambda: f"{self._count()} > {self._rng.randint(0, 2)}",
            lambda: f"{self._money_aggregate()} > {self._rng.choice(('0', '12.345', '-5'))}",
            lambda: f"{self._exact()} IS NOT NULL",
            lambda: f"{self._money_aggregate()} <= {self._money_aggregate()}",
            lambda: f"{self._whole_aggregate()} <> {self._count()} OR COUNT(*) = 2",
        )

    def _output(self) -> str:
        exact = self._exact
        return self._pick(
            self._count, self._money_aggregate, self._money_aggregate, self._whole_aggregate, self._other_aggregate,
            lambda: f"{self._money_aggregate()} / NULLIF({self._count()}, 0)",
            lambda: f"{self._money_aggregate()} / COUNT(*)",
            lambda: f"{self._whole_aggregate()} / COUNT(*)",
            lambda: f"MAX({(money := self._money())}) - MIN({money})",
            lambda: f"{self._money_aggregate()} * {exact()}",
            lambda: f"{exact()} + {exact()}",
            lambda: f"CASE WHEN {self._over_aggregates()} THEN {self._money_aggregate()} END",
            lambda: f"COALESCE({self._money_aggregate()}, 0)",
            lambda: f"CAST({self._money_aggregate()} AS DECIMAL(10, 2))",
            lambda: f"ROUND({self._money_aggregate()}, 2)",
            lambda: f"CAST({exact()} AS STRING)",
            lambda: f"CAST({exact()} AS DOUBLE)",
            lambda: f"CAST({self._money_aggregate()} AS BIGINT)",
            self._over_aggregates,
            "EXTRACT(MINUTE FROM window_end)",
            "customer_id || '!'",
        )  # fmt: skip
