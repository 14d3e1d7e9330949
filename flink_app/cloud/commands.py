"""`fraud-windows deploy | status | update | rollback | destroy`: a plan, a question, then the steps with progress."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flink_app.errors import FraudWindowsError

if TYPE_CHECKING:
    from flink_app.check import Checked
    from flink_app.cloud.application import ApplicationState
    from flink_app.cloud.rollout import Account, Step
    from flink_app.cloud.stack import StackState, Tell
    from flink_app.compatibility import Compatibility, Version
    from flink_app.package import Package

Name = Annotated[str, typer.Option(help="Name of the application and of its stack.")]
Region = Annotated[
    str | None, typer.Option(help="AWS region. Without it: that of the environment, as for the AWS CLI.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A parameter of deploy/stack.yaml, such as Shards=8; several times. Without it: as it is, or its default.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
ZIP: Final = Path("build/fraud-windows.zip")
POLL_SECONDS = 5.0
_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


def _told(command: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """The function, with what AWS refuses as an error of ours: one line."""

    @functools.wraps(command)
    def tolerant(*arguments: _Given.args, **options: _Given.kwargs) -> _Found:
        from boto3.exceptions import Boto3Error  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            return command(*arguments, **options)
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise FraudWindowsError(f"AWS: {error} · what was done stays; call it again to go on") from None

    return tolerant


@_told
def deploy(
    name: Name = "fraud-windows",
    region: Region = None,
    settings: Settings = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """From nothing to a running application: infrastructure, code, start. Broken off: call it again."""
    from flink_app.cloud import rollout  # noqa: PLC0415

    account = _account(name, region)
    chosen = account.stack.template.chosen(tuple(settings or ()))
    state = rollout.settled(account, _say)
    _check(account, account.parameters(chosen, state))
    steps = rollout.deploy(account, _packed(), chosen, state)
    _take(steps, yes=yes, dry_run=dry_run, otherwise="it runs as it is here: nothing to do")
    if not dry_run:
        _print_status(account)


@_told
def update(
    name: Name = "fraud-windows",
    region: Region = None,
    restore: Annotated[
        str, typer.Option(metavar="latest|none|SNAPSHOT", help="What the new code starts from; none loses the state.")
    ] = "latest",
    settings: Settings = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Put this checkout's code into the running application: says what becomes of the state, asks, takes a snapshot."""
    from flink_app.cloud import deployed, rollout  # noqa: PLC0415
    from flink_app.cloud.application import Restore  # noqa: PLC0415
    from flink_app.compatibility import compare  # noqa: PLC0415

    account, wanted = _account(name, region), Restore.of(restore)
    chosen = account.stack.template.chosen(tuple(settings or ()))
    state = rollout.settled(account, _say)
    checked = _check(account, account.parameters(chosen, state))
    steps = rollout.update(account, _packed(), chosen, state, wanted)
    if steps:
        running = _running(account)
        before = deployed.version_of_application(running, account.clients("s3"))
        _judge(compare(before, deployed.this_version(checked.plan, checked.properties.state)), wanted.skips)
    _take(steps, yes=yes, dry_run=dry_run, otherwise="it runs as it is here: nothing to do")


@_told
def rollback(
    name: Name = "fraud-windows",
    region: Region = None,
    restore: Annotated[
        str, typer.Option(metavar="latest|none|SNAPSHOT", help="What the old code starts from; none loses the state.")
    ] = "latest",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """The code before this one, one step, with the state of now or of a snapshot."""
    from flink_app.cloud import deployed, rollout  # noqa: PLC0415
    from flink_app.cloud.application import Restore  # noqa: PLC0415
    from flink_app.compatibility import compare  # noqa: PLC0415

    account, wanted = _account(name, region), Restore.of(restore)
    state = rollout.settled(account, _say)
    steps = rollout.rollback(account, state, wanted)
    assert state is not None
    running, s3, key = _running(account), account.clients("s3"), rollout.previous_key(state)
    if not wanted.snapshot:  # a snapshot is of the code that is gone back to, or the one that wrote it
        versions: list[Version] = [deployed.version_of_application(running, s3, code) for code in (running.key, key)]
        _judge(compare(*versions), wanted.skips)
    _take(steps, yes=yes, dry_run=dry_run, otherwise="")


@_told
def destroy(
    name: Name = "fraud-windows",
    region: Region = None,
    with_data: Annotated[
        bool,
        typer.Option("--with-data", help="Also what the stack would leave: stream, table, buckets, log, secret, key."),
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Stop the application and delete the stack. Stream, table, buckets, log, secret and key stay, unless asked for."""
    from flink_app.cloud import rollout  # noqa: PLC0415

    account = _account(name, region)
    steps = rollout.destroy(account, rollout.settled(account, _say), with_data=with_data)
    _take(steps, yes=yes, dry_run=dry_run, otherwise="nothing is there", word=name)
    for left in () if dry_run else rollout.left_behind(account):
        _say(f"left: {left}")


@_told
def status(name: Name = "fraud-windows", region: Region = None) -> None:
    """What is deployed, what it would start from, and its snapshots."""
    if not _print_status(_account(name, region)):
        raise typer.Exit(1)


@_told
def check_against(against: str, checked: Checked) -> bool:
    """What becomes of the state of `against` under this version: printed; whether it restores."""
    from flink_app.aws_clients import client  # noqa: PLC0415
    from flink_app.cloud import deployed  # noqa: PLC0415
    from flink_app.compatibility import compare  # noqa: PLC0415

    before = deployed.version_against(against, lambda service: client(service, chosen_region(None)))
    found = compare(before, deployed.this_version(checked.plan, checked.properties.state))
    _print_compatibility(found)
    return found.restores


def _account(name: str, region: str | None) -> Account:
    """Clients of the account that the environment's credentials belong to."""
    from flink_app.aws_clients import client  # noqa: PLC0415
    from flink_app.cloud.application import FlinkApplication  # noqa: PLC0415
    from flink_app.cloud.rollout import Account  # noqa: PLC0415
    from flink_app.cloud.stack import Stack  # noqa: PLC0415
    from flink_app.cloud.stack_template import StackTemplate  # noqa: PLC0415

    chosen = chosen_region(region)

    def clients(service: str) -> Any:
        return client(service, chosen)

    number = client("sts", chosen).get_caller_identity()["Account"]
    stack = Stack(clients("cloudformation"), name, StackTemplate.of_this_checkout(), POLL_SECONDS)
    application = FlinkApplication(clients("kinesisanalyticsv2"), name, POLL_SECONDS)
    return Account(clients, chosen, number, stack, application)


def chosen_region(region: str | None) -> str:
    """The region asked for, else the environment's. Raises FraudWindowsError: none."""
    import boto3  # noqa: PLC0415

    chosen = region or os.environ.get("AWS_REGION") or boto3.Session().region_name
    if not chosen:
        raise FraudWindowsError("--region: missing · wanted an AWS region, such as eu-west-1 · or set AWS_REGION")
    return chosen


def _check(account: Account, parameters: dict[str, str]) -> Checked:
    """`check` with the properties that the stack gives. Raises FraudWindowsError: what it finds."""
    from flink_app.check import check_application  # noqa: PLC0415
    from flink_app.cloud.stack_template import stored_as_json  # noqa: PLC0415

    with _spinner("check: contract, windows, sinks, properties"), tempfile.TemporaryDirectory() as folder:
        groups = account.stack.template.property_groups(account.values(parameters))
        return check_application(stored_as_json(groups, Path(folder)), int(parameters["Shards"]))


def _packed() -> Package:
    from flink_app.package import build_package  # noqa: PLC0415

    with _spinner("package"):
        return build_package(ZIP)


def _running(account: Account) -> ApplicationState:
    state = account.application.observe()
    assert state is not None, "planned for"
    return state


def _judge(found: Compatibility, skips: bool) -> None:
    """Print it. Raises FraudWindowsError: the snapshot must not be restored, and would be."""
    _print_compatibility(found)
    if found.problems and not skips:
        raise FraudWindowsError(
            *(f"{fact.subject}: {fact.why}" for fact in found.problems),
            "the state does not restore · mend it, or give the state up with `--restore none`",
        )


def _print_compatibility(found: Compatibility) -> None:
    console = _console()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("state", "", "because", "shown by"):
        table.add_column(heading, overflow="fold")
    for fact in found.facts:
        table.add_row(fact.subject, fact.outcome, fact.why, fact.proof.removeprefix("tests/"))
    console.print(table)
    if found.restores:
        console.print(Text("the snapshot restores", "green"))
    else:
        console.print(Text("the snapshot does not restore", "red"))


def _take(steps: list[Step], *, yes: bool, dry_run: bool, otherwise: str, word: str = "") -> None:
    """Show the steps, ask, and take them; `word` is to be typed instead of yes."""
    for number, step in enumerate(steps, 1):
        _say(f"{number}. {step.title}")
    if not steps:
        _say(otherwise)
    if not steps or dry_run:
        return
    if not yes:
        _ask(word)
    for number, step in enumerate(steps, 1):
        started = time.monotonic()
        with _spinner(step.title) as tell:
            step.run(tell)
        _say(f"✓ {number} of {len(steps)} · {time.monotonic() - started:.0f} s")


def _ask(word: str) -> None:
    if not sys.stdin.isatty():
        raise FraudWindowsError("nobody is there to ask · look at the plan, then call it with --yes")
    answer = (
        typer.prompt(f"Type {word} to do it") if word else typer.prompt("Do it? [y/N]", default="n", show_default=False)
    )
    if answer.strip().lower() not in ({word} if word else {"y", "yes"}):
        raise FraudWindowsError("nothing was changed")


@contextmanager
def _spinner(title: str) -> Iterator[Tell]:
    """What is under way, and the newest event: a line that changes on a terminal, a line for each elsewhere."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda event: console.print(f"  {event}", markup=False)
        return
    with console.status(title) as shown:
        yield lambda event: shown.update(f"{title} · {event}")


def _print_status(account: Account) -> bool:
    """Print what there is; whether there is anything."""
    stack, application = account.stack.observe(), account.application.observe()
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, fact in _facts(stack, application):
        table.add_row(name, fact)
    _console().print(table)
    return stack is not None


def _facts(stack: StackState | None, application: ApplicationState | None) -> Iterator[tuple[str, str]]:
    yield "stack", stack.status if stack else "none"
    if stack:
        yield from sorted(stack.outputs.items())
    yield "application", f"{application.status}, version {application.version}" if application else "none"
    if application:
        yield "code", f"s3://{application.bucket}/{application.key}"
        before = stack.parameters.get("PreviousCodeKey") if stack else ""
        yield "code before", before or "none"
        yield "restores", application.restore
        for snapshot in application.snapshots[:5]:
            made = snapshot.made.strftime("%Y-%m-%d %H:%M:%SZ")
            yield "snapshot", f"{snapshot.name} · {snapshot.status} · {made} · of version {snapshot.version}"


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def _say(text: str) -> None:
    print(text, flush=True)


COMMANDS = (deploy, status, update, rollback, destroy)
