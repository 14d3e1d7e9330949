"""`deploy/stack.yaml` as data: parameters, the application's property groups, and the names of what outlives the stack.

CloudFormation itself fills in the template; this reading is for what must be known before: `check` wants the
properties, and a second stack must not meet the first one's table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor

from flink_app.errors import FraudWindowsError
from flink_app.local.places import ROOT

STACK: Final = ROOT / "deploy" / "stack.yaml"
MANAGED: Final = ("Application", "CodeKey", "PreviousCodeKey", "Restore", "Snapshot")  # set by the commands alone

_NAMES: Final = ("Name", "TableName", "BucketName", "LogGroupName")


@dataclass(frozen=True)
class Retained:
    """A resource that outlives the stack.

    Attributes:
        logical_id: in the template.
        kind: its CloudFormation type.
        name: its physical name; None: AWS makes one up (a key).
    """

    logical_id: str
    kind: str
    name: str | None


class StackTemplate:
    """See the module.

    Args:
        text: YAML or JSON, as it is sent.

    Attributes:
        text: the same.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._template: dict[str, Any] = _loader().load(text)

    @classmethod
    def of_this_checkout(cls) -> StackTemplate:
        """`deploy/stack.yaml`."""
        return cls(STACK.read_text())

    @property
    def defaults(self) -> dict[str, str]:
        """Every parameter with its default."""
        return {name: str(parameter["Default"]) for name, parameter in self._template["Parameters"].items()}

    @property
    def resources(self) -> int:
        """Number of resources."""
        return len(self._template["Resources"])

    def chosen(self, settings: tuple[str, ...]) -> dict[str, str]:
        """Parameters out of `Name=Value` texts. Raises FraudWindowsError: unknown ones, and those of the commands."""
        values, problems = {}, []
        wanted = [name for name in self._template["Parameters"] if name not in MANAGED]
        for setting in settings:
            name, _, value = setting.partition("=")
            if name not in wanted:
                problems.append(
                    f"--set {setting}: unknown parameter · wanted one of {', '.join(wanted)}, as Name=Value"
                )
            values[name] = value
        if problems:
            raise FraudWindowsError(*problems)
        return values

    def property_groups(self, values: Mapping[str, str]) -> list[dict[str, Any]]:
        """The application's, as the service will write them; `values` are parameters and pseudo parameters."""
        application = self._template["Resources"]["FlinkApplication"]["Properties"]
        groups = application["ApplicationConfiguration"]["EnvironmentProperties"]["PropertyGroups"]
        filled: list[dict[str, Any]] = self._filled(groups, {**self.defaults, **values})
        return filled

    def retained(self, values: Mapping[str, str]) -> list[Retained]:
        """What outlives the stack; `values` as for `property_groups`."""
        known = {**self.defaults, **values}
        return [
            Retained(name, resource["Type"], self._name(name, known))
            for name, resource in self._template["Resources"].items()
            if "Retain" in resource.get("DeletionPolicy", "")
        ]

    def _name(self, logical_id: str, values: Mapping[str, str]) -> str | None:
        properties = self._template["Resources"][logical_id].get("Properties", {})
        given = next((properties[key] for key in _NAMES if key in properties), None)
        return None if given is None else str(self._filled(given, values))

    def _filled(self, node: Any, values: Mapping[str, str]) -> Any:
        if isinstance(node, list):
            return [self._filled(child, values) for child in node]
        if not isinstance(node, dict):
            return node
        if set(node) == {"Ref"}:
            return self._referred(node["Ref"], values)
        if set(node) == {"Fn::Sub"}:
            return re.sub(r"\$\{([\w:]+)\}", lambda found: self._referred(found[1], values), node["Fn::Sub"])
        return {name: self._filled(child, values) for name, child in node.items()}

    def _referred(self, name: str, values: Mapping[str, str]) -> str:
        return values[name] if name in values else self._name(name, values) or name


class _Intrinsics(SafeConstructor):
    """Reads CloudFormation's short forms: `!Sub x` is {"Fn::Sub": "x"}."""

    def intrinsic(self, tag: str, node: Any) -> dict[str, Any]:
        name = tag.removeprefix("!")
        value = self.construct_scalar(node) if node.id == "scalar" else self.construct_sequence(node, deep=True)
        if name == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Intrinsics.add_multi_constructor("!", _Intrinsics.intrinsic)


def _loader() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Intrinsics
    return yaml


def stored_as_json(groups: list[dict[str, Any]], folder: Path) -> Path:
    """Property groups as the service lays them before the job."""
    path = folder / "application_properties.json"
    path.write_text(json.dumps(groups, indent=2))
    return path
