"""CloudWatch's alarm logic, as far as deploy/stack.yaml uses it: metric math over periods, M of N, missing data.

Simpler than CloudWatch in one thing: it looks further back than N periods for points that are missing, this does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"
Series = Sequence[float]  # a value per period, NaN where nothing was published

_FUNCTIONS = {
    "ABS": np.abs,
    "DIFF": lambda values: np.concatenate([[math.nan], np.diff(values)]),
    "IF": np.where,
}


def values_of(alarm: Mapping[str, Any], series: Mapping[str, Series]) -> np.ndarray:
    """What the alarm compares with its threshold, per period; `series` by metric name."""
    if "MetricName" in alarm:
        return np.asarray(series[alarm["MetricName"]], float)
    queries = {query["Id"]: query for query in alarm["Metrics"]}

    def value(name: str) -> np.ndarray:
        query = queries[name]
        if "MetricStat" in query:
            return np.asarray(series[query["MetricStat"]["Metric"]["MetricName"]], float)
        used = set(re.findall(r"\b[a-z]\w*", query["Expression"]))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = eval(query["Expression"], {**_FUNCTIONS, **{other: value(other) for other in used}})
        missing = np.any([np.isnan(value(other)) for other in used], axis=0)
        return np.where(missing, math.nan, found)  # a missing operand makes a missing result

    shown = [query["Id"] for query in alarm["Metrics"] if query.get("ReturnData", True)]
    return value(next(name for name in shown if name != alarm.get("ThresholdMetricId")))


def states_of(alarm: Mapping[str, Any], series: Mapping[str, Series]) -> list[str]:
    """The alarm's state after each period, from the first for which N periods are known."""
    values, threshold = values_of(alarm, series), float(alarm["Threshold"])
    compare = {"GreaterThanThreshold": np.greater, "LessThanOrEqualToThreshold": np.less_equal}
    breaching = compare[alarm["ComparisonOperator"]](values, threshold)
    missing = np.isnan(values)
    breaching = np.where(missing, alarm["TreatMissingData"] == "breaching", breaching)
    wanted, of = alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]
    states = []
    for end in range(of, len(values) + 1):
        last = slice(end - of, end)
        if alarm["TreatMissingData"] == "missing" and missing[last].all():
            states.append(INSUFFICIENT)
        else:
            states.append(ALARM if breaching[last].sum() >= wanted else OK)
    return states
