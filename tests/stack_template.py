"""deploy/stack.yaml as data, references filled in: parameters by their defaults, resources by their logical ids."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

STACK = Path(__file__).resolve().parents[1] / "deploy" / "stack.yaml"
SERVICE_METRICS = {  # "Metrics and dimensions in Managed Service for Apache Flink", application level, FLINK-1_20
    "containerCPUUtilization",
    "containerMemoryUtilization",
    "downtime",
    "fullRestarts",
    "heapMemoryUtilization",
    "lastCheckpointDuration",
    "lastCheckpointSize",
    "numberOfFailedCheckpoints",
}
_PSEUDO = {"AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws"}


class ShortForms(yaml.SafeLoader):
    """YAML with CloudFormation's tags: `!GetAtt Stream.Arn` is `{"Fn::GetAtt": ["Stream", "Arn"]}`."""

    def long_form(self, tag: str, node: yaml.Node) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            value: Any = self.construct_scalar(node)
        else:
            value = getattr(self, f"construct_{node.id}")(node, deep=True)
        if tag == "GetAtt":
            value = value.split(".", 1)
        return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


ShortForms.add_multi_constructor("!", ShortForms.long_form)


class Template:
    """See the module.

    Attributes:
        resources: logical id -> {"Type", "Properties", …}, filled in.
    """

    def __init__(self, path: Path = STACK) -> None:
        raw = yaml.load(path.read_text(encoding="utf-8"), ShortForms)
        self._names = _PSEUDO | {name: str(parameter["Default"]) for name, parameter in raw["Parameters"].items()}
        self.resources: dict[str, Any] = {name: self._filled(body) for name, body in raw["Resources"].items()}

    def of_type(self, kind: str) -> dict[str, Any]:
        """Logical id -> properties of every resource of a type."""
        return {name: body["Properties"] for name, body in self.resources.items() if body["Type"] == kind}

    def property_groups(self) -> list[dict[str, Any]]:
        """As the service writes them to application_properties.json."""
        (application,) = self.of_type("AWS::KinesisAnalyticsV2::Application").values()
        groups: list[dict[str, Any]] = application["ApplicationConfiguration"]["EnvironmentProperties"][
            "PropertyGroups"
        ]
        return groups

    def allowed(self, role: str) -> set[str]:
        """Actions that a role's inline policies allow."""
        policies = self.resources[role]["Properties"]["Policies"]
        statements = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
        return {action for statement in statements for action in statement["Action"]}

    def metrics(self) -> set[tuple[str, str]]:
        """(namespace, metric) of everything that alarms and dashboard look at."""
        found = {
            (node["Namespace"], node["MetricName"]) for node in self._nodes(self.resources) if "MetricName" in node
        }
        for board in self.of_type("AWS::CloudWatch::Dashboard").values():
            for widget in json.loads(board["DashboardBody"])["widgets"]:
                found |= {(line[0], line[1]) for line in widget["properties"]["metrics"] if len(line) > 1}
        return found

    def canary_code(self) -> str:
        """The source of the canary's function."""
        source: str = self.resources["Canary"]["Properties"]["Code"]["ZipFile"]
        return source

    def _nodes(self, node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            yield node
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from self._nodes(child)

    def _filled(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._filled(child) for child in node]
        if not isinstance(node, dict):
            return node
        if set(node) == {"Ref"}:
            return self._names.get(node["Ref"], node["Ref"])
        if set(node) == {"Fn::GetAtt"}:
            return ".".join(node["Fn::GetAtt"])
        if set(node) == {"Fn::Sub"}:
            filled = re.sub(r"\$\{([^!}]+)\}", lambda found: self._names.get(found[1], found[1]), node["Fn::Sub"])
            return filled.replace("${!", "${")
        return {name: self._filled(child) for name, child in node.items()}
