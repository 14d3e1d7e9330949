"""One CloudFormation stack: what it is, changing it, and waiting while it tells what it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from flink_app.cloud.stack_template import StackTemplate
from flink_app.errors import FraudWindowsError

Tell = Callable[[str], None]

PATIENCE_SECONDS: Final = 3_600.0
_STILLBORN: Final = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "REVIEW_IN_PROGRESS", "DELETE_FAILED"}
_SETTLED: Final = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}


class StackError(FraudWindowsError):
    """CloudFormation could not do it: `stack NAME: …`, a line for each resource that failed."""


@dataclass(frozen=True)
class StackState:
    """A stack as it is.

    Attributes:
        status: of CloudFormation, such as CREATE_COMPLETE.
        parameters: name -> value.
        outputs: name -> value.
    """

    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def is_busy(self) -> bool:
        """An operation runs."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def is_stillborn(self) -> bool:
        """Nothing can be made of it but delete it."""
        return self.status in _STILLBORN

    @property
    def is_settled(self) -> bool:
        """It can be updated."""
        return self.status in _SETTLED


@dataclass(frozen=True)
class Change:
    """What an update would do to a resource: Add, Modify or Remove; `replaces` if it would be made anew."""

    action: str
    resource: str
    replaces: bool


class Stack:
    """See the module.

    Args:
        cloudformation: a client.
        name: of the stack.
        template: that `create` and `update` send.
        poll_seconds: between two questions while waiting.
    """

    def __init__(self, cloudformation: Any, name: str, template: StackTemplate, poll_seconds: float = 5.0) -> None:
        self._client, self.name, self.template, self._poll_seconds = cloudformation, name, template, poll_seconds

    def observe(self) -> StackState | None:
        """The stack as it is; None: there is none."""
        try:
            (found,) = self._client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        parameters = {entry["ParameterKey"]: entry["ParameterValue"] for entry in found.get("Parameters", [])}
        outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in found.get("Outputs", [])}
        return StackState(found["StackStatus"], parameters, outputs)

    def create(self, parameters: Mapping[str, str], tell: Tell) -> StackState:
        """Create it and wait. Raises StackError."""
        self._client.create_stack(StackName=self.name, **self._wanted(parameters))
        return self.wait(tell)

    def update(self, parameters: Mapping[str, str], tell: Tell) -> StackState:
        """Bring it to the template and the parameters, and wait. Raises StackError; nothing to update is none."""
        known = self._events()
        try:
            self._client.update_stack(StackName=self.name, **self._wanted(parameters))
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
        return self.wait(tell, known)

    def changes(self, parameters: Mapping[str, str]) -> tuple[Change, ...]:
        """What `update` would do, by a change set that is deleted again. Raises StackError: CloudFormation refuses."""
        name = f"plan-{time.time_ns()}"
        self._client.create_change_set(StackName=self.name, ChangeSetName=name, **self._wanted(parameters))
        try:
            return self._planned(name)
        finally:
            self._client.delete_change_set(StackName=self.name, ChangeSetName=name)

    def delete(self, tell: Tell) -> None:
        """Delete it and wait; what is to be retained stays. Raises StackError."""
        state = self.observe()
        if state is None:
            return
        known = self._events()
        self._client.delete_stack(StackName=self.name)
        self.wait(tell, known)

    def resources(self) -> dict[str, str]:
        """Logical id -> physical id."""
        listed = self._client.describe_stack_resources(StackName=self.name)["StackResources"]
        return {entry["LogicalResourceId"]: entry.get("PhysicalResourceId", "") for entry in listed}

    def wait(self, tell: Tell, known: frozenset[str] = frozenset()) -> StackState:
        """Until no operation runs; events that are not `known` are told as they come.

        Raises:
            StackError: the operation failed, or took longer than an hour.
        """
        until, seen, failures = time.monotonic() + PATIENCE_SECONDS, set(known), list[str]()
        while (state := self.observe()) is not None:
            for event in self._new_events(seen):
                text = f"{event['LogicalResourceId']} {event['ResourceStatus']}"
                tell(text)
                reason = event.get("ResourceStatusReason", "")
                if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
                    failures.append(f"{text}: {reason}")
            if not state.is_busy:
                break
            if time.monotonic() > until:
                raise StackError(f"stack {self.name}: still {state.status} after an hour · see the console")
            time.sleep(self._poll_seconds)
        if state is not None and (failures or not state.is_settled):
            raise StackError(*(f"stack {self.name}: {line}" for line in (*failures, f"is {state.status}")))
        return state or StackState("DELETE_COMPLETE", {}, {})

    def _wanted(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        return {
            "TemplateBody": self.template.text,
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        }

    def _planned(self, change_set: str) -> tuple[Change, ...]:
        while True:
            found = self._client.describe_change_set(StackName=self.name, ChangeSetName=change_set)
            if found["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                break
            time.sleep(min(self._poll_seconds, 2.0))
        if found["Status"] == "FAILED":
            reason = found.get("StatusReason", "")
            if "didn't contain changes" in reason or "No updates" in reason:
                return ()
            raise StackError(f"stack {self.name}: {reason}")
        changes = [entry["ResourceChange"] for entry in found["Changes"]]
        return tuple(
            Change(c["Action"], c["LogicalResourceId"], replaces=c.get("Replacement") == "True") for c in changes
        )

    def _events(self) -> frozenset[str]:
        seen: set[str] = set()
        self._new_events(seen)
        return frozenset(seen)

    def _new_events(self, seen: set[str]) -> list[dict[str, Any]]:
        """Events of the last page that are not in `seen`, oldest first; they are afterwards."""
        try:
            page = self._client.describe_stack_events(StackName=self.name)["StackEvents"]
        except ClientError:  # deleted meanwhile
            return []
        new = [event for event in reversed(page) if event["EventId"] not in seen]
        seen.update(event["EventId"] for event in new)
        return new
