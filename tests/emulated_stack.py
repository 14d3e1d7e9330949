"""deploy/stack.yaml for MiniStack: without what its CloudFormation refuses, which are alarms over several metrics.

    AWS::CloudWatch::CompositeAlarm, AWS::CloudWatch::AnomalyDetector    unknown to it
    AWS::CloudWatch::Alarm with Metrics                                  metric arithmetic is unknown to it

Everything else goes through as it is, the application and its log option too. MiniStack's CloudFormation keeps no TTL,
lifecycle or encryption, and its Flink application runs nothing: it is the service's control plane only.
"""

from __future__ import annotations

import json
from typing import Any

from flink_app.cloud.stack_template import StackTemplate

REFUSED = {"AWS::CloudWatch::CompositeAlarm", "AWS::CloudWatch::AnomalyDetector"}


def emulated_template() -> str:
    """The template as JSON."""
    template: dict[str, Any] = StackTemplate.of_this_checkout()._template
    kept = {name: body for name, body in template["Resources"].items() if not _is_refused(body)}
    return json.dumps(template | {"Resources": kept})


def _is_refused(body: dict[str, Any]) -> bool:
    return body["Type"] in REFUSED or (body["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in body["Properties"])
