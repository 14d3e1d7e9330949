"""What the commands do in an account, as steps: planned from what is there, shown, then taken one by one.

    deploy    ─► (delete a stillborn stack) ─► infrastructure ─► zip under a new key ─► application ─► start
    update    ─► snapshot ─► zip under a new key ─► application with it, from a snapshot ─► running with it?
    rollback  ─► snapshot ─► application with the key before, one step, never forward
    destroy   ─► stop ─► (data) ─► stack

All of the memory is in AWS: a run that was broken off leaves no trace here, and the next one plans from what it finds.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from flink_app.cloud import retained
from flink_app.cloud.application import ApplicationError, ApplicationState, FlinkApplication, Restore
from flink_app.cloud.stack import Change, Stack, StackError, StackState, Tell
from flink_app.cloud.stack_template import Retained
from flink_app.errors import FraudWindowsError
from flink_app.package import Package


class RolloutError(FraudWindowsError):
    """What is there is not what the command is for."""


@dataclass(frozen=True)
class Step:
    """One thing that is done.

    Attributes:
        title: as it is shown, before and while it is done.
        run: does it and waits for it; told what happens on the way.
    """

    title: str
    run: Callable[[Tell], object]


@dataclass(frozen=True)
class Account:
    """One account and region, and one application in it.

    Attributes:
        clients: a client for a service.
        region, number: of the account.
        stack, application: by the same name.
    """

    clients: Callable[[str], Any]
    region: str
    number: str
    stack: Stack
    application: FlinkApplication

    @property
    def name(self) -> str:
        """Of application and stack."""
        return self.application.name

    def values(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """Parameters and pseudo parameters, for `StackTemplate`."""
        pseudo = {"AWS::Region": self.region, "AWS::AccountId": self.number, "AWS::Partition": "aws"}
        return {**parameters, **pseudo, "Application": self.name}

    def parameters(self, settings: Mapping[str, str], state: StackState | None) -> dict[str, str]:
        """All of the stack's: as set now, else as they are, else their defaults."""
        known = {**self.stack.template.defaults, **(state.parameters if state else {})}
        wanted = {name: known[name] for name in self.stack.template.defaults}
        return {**wanted, **settings, "Application": self.name}


def code_key(package: Package) -> str:
    """Where a zip lies in the code bucket: by its content, so that none is ever overwritten by another."""
    return f"fraud-windows-{package.sha256[:12]}.zip"


def settled(account: Account, tell: Tell) -> StackState | None:
    """The stack once nothing is under way, whoever began it. Raises StackError: it needs hands."""
    state = account.stack.observe()
    if state is not None and state.is_busy:
        tell(f"stack {account.name} is {state.status}: waiting for that")
        with contextlib.suppress(StackError):  # another run's; what it left is planned from
            account.stack.wait(tell)
        state = account.stack.observe()
    if state is not None and not (state.is_settled or state.is_stillborn):
        raise StackError(
            f"stack {account.name}: is {state.status} · `aws cloudformation continue-update-rollback --stack-name"
            f" {account.name}`, then again"
        )
    account.application.wait(tell)
    return state


def deploy(account: Account, package: Package, settings: Mapping[str, str], state: StackState | None) -> list[Step]:
    """From nothing, or from wherever an earlier try ended, to a running application.

    Raises:
        RolloutError: other code runs there already (`update`), or what a stack left is in the way.
    """
    application, key = account.application.observe(), code_key(package)
    has_state = application is not None and (application.is_running or bool(application.snapshots))
    if application is not None and has_state and application.key != key:
        raise RolloutError(
            f"application {account.name}: has {application.key}, here is {key} · use `fraud-windows update`"
        )
    steps = []
    if state is not None and state.is_stillborn:
        steps.append(Step(f"delete the stack that did not come up ({state.status})", account.stack.delete))
        state = None
    if state is None:
        steps.append(_infrastructure(account, settings, leftovers_matter=not steps))
    bucket = state.outputs["CodeBucket"] if state else ""
    if not (bucket and _is_uploaded(account, bucket, key, package)):
        steps.append(_upload(account, package, key))
    wanted = {**account.parameters(settings, state), "CodeKey": key}
    if state is None:
        steps.append(_stack_step(account, f"the application, with {key}", wanted, ()))
    elif changes := _changes(account, wanted):
        steps.append(_stack_step(account, f"the stack to this version, with {key}", wanted, changes))
    if application is None or not application.is_running:
        first = application is None or not application.snapshots
        title = "start it: " + ("from the start of the stream" if first else f"from {Restore()}")
        steps.append(Step(title, lambda tell: _start(account, Restore(), tell)))
    return steps


def update(
    account: Account, package: Package, settings: Mapping[str, str], state: StackState | None, restore: Restore
) -> list[Step]:
    """The running application to this version. Raises RolloutError: there is none."""
    state, application = _there(account, state)
    key = code_key(package)
    wanted = {**account.parameters(settings, state), "CodeKey": key, **restore.parameters}
    if key != application.key:
        wanted["PreviousCodeKey"] = application.key
    steps = _snapshot(account, application)
    if not _is_uploaded(account, state.outputs["CodeBucket"], key, package):
        steps.append(_upload(account, package, key))
    as_it_is = {name: state.parameters.get(name, value) for name, value in Restore().parameters.items()}
    changes = _changes(account, wanted | as_it_is)
    if key == application.key and not changes and restore == Restore():
        return [] if application.is_running else [Step(f"start it: from {restore}", _starter(account, restore))]
    return [*steps, *_change_code(account, application, wanted, changes, restore)]


def rollback(account: Account, state: StackState | None, restore: Restore) -> list[Step]:
    """Back to the code before. Raises RolloutError: there is none."""
    state, application = _there(account, state)
    before = previous_key(state)
    names = [snapshot.name for snapshot in application.snapshots if snapshot.status == "READY"]
    if restore.snapshot and restore.snapshot not in names:
        have = ", ".join(names[:5]) or "none"
        raise RolloutError(f"--restore {restore.snapshot}: no such snapshot · there are {have}")
    code = {"CodeKey": before, "PreviousCodeKey": ""}  # so that a second call does not go forward again
    wanted = account.parameters({}, state) | code | restore.parameters
    return [*_snapshot(account, application), *_change_code(account, application, wanted, (), restore)]


def previous_key(state: StackState) -> str:
    """The code before the one of now. Raises RolloutError: it is the first, or was gone back to already."""
    before = state.parameters.get("PreviousCodeKey", "")
    if not before:
        raise RolloutError(
            f"stack {state.parameters.get('Application')}: no code before {state.parameters.get('CodeKey')} · nothing"
            " to go back to: check another version out and `fraud-windows update`"
        )
    return before


def destroy(account: Account, state: StackState | None, *, with_data: bool) -> list[Step]:
    """Stop and delete; with the data, everything that the stack would leave behind as well."""
    steps = []
    application = account.application.observe()
    if application is not None and application.is_running:
        steps.append(Step("stop the application; its unfinished files become visible", account.application.stop))
    if with_data:
        physical = account.stack.resources() if state is not None else {}
        for resource in account.stack.template.retained(account.values({})):
            known = replace(resource, name=physical.get(resource.logical_id) or resource.name)
            if known.name and (state is not None or retained.existing([known], account.clients)):
                steps.append(_deletion(account, known))
    if state is not None:
        steps.append(Step(f"delete the stack {account.name}", account.stack.delete))
    return steps


def left_behind(account: Account) -> list[str]:
    """Names of what a deleted stack has left."""
    listed = account.stack.template.retained(account.values({}))
    return [f"{found.kind} {found.name}" for found in retained.existing(listed, account.clients)]


def _there(account: Account, state: StackState | None) -> tuple[StackState, ApplicationState]:
    application = account.application.observe()
    if state is None or application is None or not state.is_settled:
        raise RolloutError(f"application {account.name}: not deployed, or not to the end · use `fraud-windows deploy`")
    return state, application


def _infrastructure(account: Account, settings: Mapping[str, str], *, leftovers_matter: bool) -> Step:
    if leftovers_matter and (left := left_behind(account)):
        raise RolloutError(
            *(f"{name}: is there already, left by an earlier stack" for name in left),
            "a new stack would stop at them · `fraud-windows destroy --with-data`, or another --name",
        )
    wanted = {**account.parameters(settings, None), "CodeKey": ""}
    title = f"create stack {account.name} without the application: {account.stack.template.resources} resources at most"
    return Step(title, lambda tell: account.stack.create(wanted, tell))


def _upload(account: Account, package: Package, key: str) -> Step:
    def upload(_: Tell) -> None:
        state = account.stack.observe()
        assert state is not None
        more = {"ChecksumAlgorithm": "SHA256"}
        account.clients("s3").upload_file(str(package.path), state.outputs["CodeBucket"], key, ExtraArgs=more)

    return Step(f"upload {package.path.name} ({package.size / 2**20:.1f} MiB) as {key}", upload)


def _is_uploaded(account: Account, bucket: str, key: str, package: Package) -> bool:
    try:
        found = account.clients("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NoSuchBucket"):
            return False
        raise
    return bool(found["ContentLength"] == package.size)


def _changes(account: Account, wanted: Mapping[str, str]) -> tuple[Change, ...]:
    """What the stack's update changes. Raises RolloutError: it would make something anew that holds data."""
    changes = account.stack.changes(wanted)
    kept = {resource.logical_id for resource in account.stack.template.retained(account.values(wanted))}
    lost = [change.resource for change in changes if change.resource in kept and change.replaces]
    if lost:
        raise RolloutError(
            f"stack {account.name}: {', '.join(lost)} would be replaced by an empty one · change it back"
        )
    return changes


def _stack_step(account: Account, what: str, wanted: Mapping[str, str], changes: tuple[Change, ...]) -> Step:
    listed = ", ".join(f"{change.action.lower()} {change.resource}" for change in changes)
    return Step(f"{what}{': ' + listed if listed else ''}", lambda tell: account.stack.update(wanted, tell))


def _snapshot(account: Account, application: ApplicationState) -> list[Step]:
    if not application.is_running:
        return []
    name = f"before-{application.key.removesuffix('.zip').rpartition('-')[2]}-{time.time_ns() // 1_000_000}"
    return [Step(f"take snapshot {name}", lambda tell: account.application.snapshot(name, tell))]


def _change_code(
    account: Account,
    application: ApplicationState,
    wanted: Mapping[str, str],
    changes: tuple[Change, ...],
    restore: Restore,
) -> list[Step]:
    key = wanted["CodeKey"]
    change = f"from {application.key} to {key}" if key != application.key else f"with {key} as before"
    steps = [_stack_step(account, f"the application {change}, restoring {restore}", wanted, changes)]
    if not application.is_running:
        steps.append(Step(f"start it: from {restore}", _starter(account, restore)))
    return [*steps, Step(f"see that it runs with {key}", lambda tell: _confirm(account, key, restore, tell))]


def _starter(account: Account, restore: Restore) -> Callable[[Tell], None]:
    return lambda tell: _start(account, restore, tell)


def _start(account: Account, restore: Restore, tell: Tell) -> None:
    state = account.application.wait(tell)
    if state is not None and state.is_running:
        return
    account.application.start(restore, tell)


def _confirm(account: Account, key: str, restore: Restore, tell: Tell) -> None:
    """That the service did what it was told: it may go back to the old code, and has been seen to restore otherwise."""
    state = account.application.wait_running(tell)
    if state.key != key:
        raise ApplicationError(
            f"application {account.name}: wanted {key} · runs {state.key}: the service went back to it, as the new code"
            f" did not start · see the log group /aws/kinesis-analytics/{account.name}"
        )
    if state.restore != restore.kind:
        raise ApplicationError(
            f"application {account.name}: wanted {restore.kind} · got {state.restore}: {key} runs, but with other state"
            " than asked for · stop it, and start it with that (RUNBOOK, Roll back)"
        )


def _deletion(account: Account, resource: Retained) -> Step:
    title = f"delete {resource.kind.split('::', 1)[1]} {resource.name} for good"
    return Step(title, lambda _: retained.delete(resource, account.clients))
