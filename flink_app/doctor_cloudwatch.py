"""The doctor's figures out of CloudWatch, by an application's name: the metrics of deploy/stack.yaml's dashboard.

Each figure is the median of the minutes looked at: what holds for half of them is no spike. With MetricsLevel
APPLICATION there are no tasks: what Flink's busy times would tell comes from the containers' CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

from flink_app.doctor import Symptoms
from flink_app.errors import FraudWindowsError

LOOK_MINUTES: Final = 15
INTERVAL_MS: Final = 60_000.0  # CheckpointInterval of deploy/stack.yaml
_PERIOD: Final = 60

Values = Sequence[float]  # a value a minute, oldest first; minutes without one are not there


@dataclass(frozen=True)
class Figure:
    """Which metric says it.

    Attributes:
        namespace, metric, statistic: as CloudWatch names them.
        dimension: name of the one that names the resource.
        suffix: of the resource's name, after the application's.
        figure: minutes' values and the number of minutes -> the figure.
        more: further dimensions.
    """

    namespace: str
    metric: str
    statistic: str
    dimension: str
    suffix: str
    figure: Callable[[Values, int], float]
    more: tuple[tuple[str, str], ...] = ()


def _usual(values: Values, _minutes: int) -> float:
    return median(values)


def _usual_count(values: Values, minutes: int) -> float:
    """A minute without a value had none of it: DynamoDB publishes throttling only where there is some."""
    return median([*values, *[0.0] * max(minutes - len(values), 0)])


def _growth(values: Values, _minutes: int) -> float:
    """Of a total that begins again at a restart."""
    return sum(max(later - earlier, 0.0) for earlier, later in itertools.pairwise(values))


def _newest(values: Values, _minutes: int) -> float:
    return values[-1]


_FLINK, _KINESIS, _DYNAMODB = "AWS/KinesisAnalytics", "AWS/Kinesis", "AWS/DynamoDB"
_APPLICATION, _STREAM, _TABLE = ("Application", ""), ("StreamName", "-payments"), ("TableName", "-features")
FIGURES: Final[Mapping[str, Figure]] = {  # names are those of Symptoms
    "behind_ms": Figure(_KINESIS, "GetRecords.IteratorAgeMilliseconds", "Maximum", *_STREAM, _usual),
    "freshness_ms": Figure(_FLINK, "freshness_ms", "Maximum", *_APPLICATION, _usual),
    "producers_refused": Figure(_KINESIS, "WriteProvisionedThroughputExceeded", "Sum", *_STREAM, _usual_count),
    "reads_refused": Figure(_KINESIS, "ReadProvisionedThroughputExceeded", "Sum", *_STREAM, _usual_count),
    "rows_refused": Figure(_DYNAMODB, "WriteThrottleEvents", "Sum", *_TABLE, _usual_count),
    "row_batch_ms": Figure(
        *(_DYNAMODB, "SuccessfulRequestLatency", "Average", *_TABLE, _usual), (("Operation", "BatchWriteItem"),)
    ),
    "cpu_percent": Figure(_FLINK, "containerCPUUtilization", "Maximum", *_APPLICATION, _usual),
    "checkpoints_failed": Figure(_FLINK, "numberOfFailedCheckpoints", "Maximum", *_APPLICATION, _growth),
    "checkpoint_ms": Figure(_FLINK, "lastCheckpointDuration", "Maximum", *_APPLICATION, _newest),
    "settled_seconds": Figure(_FLINK, "uptime", "Maximum", *_APPLICATION, lambda values, _: values[-1] / 1000),
}


def look_at_application(application: str, region: str, minutes: int) -> Symptoms:
    """`look` with the environment's credentials."""
    from flink_app.aws_clients import client  # noqa: PLC0415

    return look(client("cloudwatch", region), application, minutes)


def look(cloudwatch: Any, application: str, minutes: int = LOOK_MINUTES, now: datetime | None = None) -> Symptoms:
    """The figures of an application that deploy/stack.yaml made, and of its stream and table.

    Args:
        cloudwatch: a client.
        application: name; stream and table are called after it.
        minutes: that are looked at.
        now: their end.

    Raises:
        FraudWindowsError: CloudWatch knows nothing of that name, or refuses.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 half a second that --help need not pay

    end = (now or datetime.now(UTC)).replace(second=0, microsecond=0)
    queries = [_query(name, figure, application) for name, figure in FIGURES.items()]
    try:
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries,
            StartTime=end - timedelta(minutes=minutes),
            EndTime=end,
            ScanBy="TimestampAscending",
        )
        found: dict[str, list[float]] = {}
        for page in pages:
            for result in page["MetricDataResults"]:
                found.setdefault(result["Id"], []).extend(result["Values"])
    except (BotoCoreError, ClientError) as error:
        raise FraudWindowsError(f"CloudWatch: {error}") from None
    if not any(found.values()):
        raise FraudWindowsError(
            f"--application {application}: CloudWatch has no metric of it in the last {minutes} minutes"
            " · wanted an application of deploy/stack.yaml that runs · look at `fraud-windows status`"
        )
    figures = {name: FIGURES[name].figure(values, minutes) for name, values in found.items() if values}
    return replace(Symptoms(checkpoint_interval_ms=INTERVAL_MS), **figures)  # type: ignore[arg-type]  # all floats


def _query(name: str, figure: Figure, application: str) -> dict[str, Any]:
    named = [(figure.dimension, application + figure.suffix), *figure.more]
    metric = {
        "Namespace": figure.namespace,
        "MetricName": figure.metric,
        "Dimensions": [{"Name": dimension, "Value": value} for dimension, value in named],
    }
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": _PERIOD, "Stat": figure.statistic}}
