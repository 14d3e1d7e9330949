"""The commands themselves against an emulated account: check comes first, the plan is shown, nobody is asked twice.

deploy (dry, then true) ─► status ─► edit a window ─► update ─► rollback ─► edits that must not go ─► destroy
"""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
from typer.testing import CliRunner

from flink_app.aws_clients import client
from flink_app.cli import app
from flink_app.cloud import commands, stack_template
from flink_app.errors import FraudWindowsError
from flink_app.local.aws import REGION, embedded_aws
from flink_app.local.places import ROOT
from tests.emulated_stack import emulated_template

pytestmark = [pytest.mark.e2e, pytest.mark.flink]

NAME = ("--name", "fraud-story")


class Shell:
    """Commands by name, in a checkout of its own; the zip has no wheels and a small jar, which nobody runs here."""

    def __init__(self, folder, aws, monkeypatch):
        from flink_app import check, package

        self.checkout, self.aws = folder / "checkout", aws
        for part in ("sql", "flink_app", "operators"):
            shutil.copytree(ROOT / part, self.checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "stack.json").write_text(emulated_template())
        (folder / "connectors.jar").write_text("a jar")
        monkeypatch.chdir(folder)
        monkeypatch.setattr(package, "ROOT", self.checkout)
        monkeypatch.setattr(package, "JAR", folder / "connectors.jar")
        monkeypatch.setattr(package, "download_wheels", list)
        monkeypatch.setattr(check, "_SQL", self.checkout / "sql")
        monkeypatch.setattr(stack_template, "STACK", folder / "stack.json")
        monkeypatch.setattr(commands, "POLL_SECONDS", 0.02)
        environment = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": REGION}
        environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        self.runner = CliRunner()

    def __call__(self, *words):
        """(exit code or problems, output)."""
        done = self.runner.invoke(app, list(words))
        if isinstance(done.exception, FraudWindowsError):
            return list(done.exception.problems), done.output
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    def edit(self, file, old, new):
        path = self.checkout / "sql" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def calls(self):
        """How many stacks and applications there are, and the application's code."""
        described = client("cloudformation", REGION, self.aws.endpoint).describe_stacks()["Stacks"]
        return Counter(stack["StackStatus"] for stack in described)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Name of a moment -> (exit code or problems, output) of what was called there."""
    folder = tmp_path_factory.mktemp("commands")
    moments = {}
    with pytest.MonkeyPatch.context() as monkeypatch, embedded_aws(folder / "aws") as aws:
        shell = Shell(folder, aws, monkeypatch)
        moments["nothing"] = shell("status", *NAME)
        moments["dry"] = shell("deploy", *NAME, "--dry-run")
        moments["after dry"] = shell.calls()
        moments["unasked"] = shell("deploy", *NAME)
        moments["deploy"] = shell("deploy", *NAME, "--yes", "--set", "RetentionHours=48")
        moments["again"] = shell("deploy", *NAME, "--yes")
        moments["status"] = shell("status", *NAME)

        shell.edit("windows/card_velocity.sql", "MAX(amount) ", "MAX(amount) AS amount_top, MAX(amount) ")
        moments["against"] = shell("check", *properties(folder), "--against", NAME[1])
        moments["update dry"] = shell("update", *NAME, "--dry-run")
        moments["update"] = shell("update", *NAME, "--yes")
        moments["rollback"] = shell("rollback", *NAME, "--yes")
        moments["against zip"] = shell(
            "check", *properties(folder), "--against", str(folder / "build/fraud-windows.zip")
        )

        shell.edit(
            "events.sql", "  country      STRING,", "  country      STRING NOT NULL,\n  loyalty BIGINT NOT NULL,"
        )
        moments["not null"] = shell("update", *NAME, "--yes")
        moments["against not null"] = shell("check", *properties(folder), "--against", NAME[1])
        moments["given up"] = shell("update", *NAME, "--yes", "--restore", "none", "--dry-run")
        shell.edit("windows/card_velocity.sql", "COUNT(*)", "COUNTED(*)")
        moments["broken"] = shell("update", *NAME, "--yes")
        moments["after broken"] = shell("status", *NAME)

        moments["destroy dry"] = shell("destroy", *NAME, "--dry-run")
        moments["destroy"] = shell("destroy", *NAME, "--yes")
        moments["destroy all"] = shell("destroy", *NAME, "--yes", "--with-data")
        moments["end"] = shell("status", *NAME)
    return moments


def properties(folder):
    from flink_app.properties import write_properties

    groups = {
        "Source": {"kind": "kinesis", "stream": "fraud-story-payments"},
        "Features": {"table": "fraud-story-features"},
        **{name: {"path": f"file:///nowhere/{name}"} for name in ("History", "Archive", "Quarantine", "Account")},
        "Masking": {"key": "0123456789abcdef"},
    }
    write_properties(folder / "properties.json", groups)
    return "--properties", str(folder / "properties.json")


def test_a_dry_run_shows_the_plan_and_changes_nothing(story):
    code, output = story["dry"]
    assert code == 0
    assert [line[:3] for line in output.splitlines() if line[:1].isdigit()] == ["1. ", "2. ", "3. ", "4. "]
    assert not story["after dry"]
    assert story["nothing"][0] == 1
    assert "stack" in story["nothing"][1]


def test_without_a_terminal_only_yes_does_it(story):
    problems, output = story["unasked"]
    assert problems == ["nobody is there to ask · look at the plan, then call it with --yes"]
    assert "1. create stack" in output


def test_deploy_ends_with_a_running_application_and_says_where_payments_go(story):
    code, output = story["deploy"]
    assert code == 0
    assert "✓ 4 of 4" in output
    assert "RUNNING" in output
    assert "fraud-story-payments" in output
    assert story["again"] == (0, story["again"][1])
    assert "nothing to do" in story["again"][1]


def test_update_says_what_becomes_of_the_state_before_it_does_anything(story):
    for moment in ("against", "update dry", "update"):
        code, output = story[moment]
        assert code == 0, moment
        assert "window card_velocity" in output
        assert "warm" in output
        assert "the snapshot restores" in output
    code, output = story["update"]
    assert output.index("the snapshot restores") < output.index("1. take snapshot before-") < output.index("✓ 1 of")
    assert "✓" not in story["update dry"][1]


def test_rollback_says_it_too_and_a_zip_can_be_compared(story):
    code, output = story["rollback"]
    assert code == 0
    assert "window card_velocity" in output
    code, output = story["against zip"]
    assert code == 0
    assert "properties State" in output


def test_an_update_whose_state_does_not_restore_is_refused_unless_the_state_is_given_up(story):
    problems, output = story["not null"]
    assert problems[0].startswith("column loyalty: NOT NULL")
    assert "--restore none" in problems[-1]
    assert "1. " not in output
    assert story["against not null"][0] == 1
    code, output = story["given up"]
    assert code == 0
    assert "the snapshot does not restore" in output
    assert "empty state" in output


def test_what_check_refuses_is_not_deployed(story):
    problems, _ = story["broken"]
    assert any("card_velocity.sql:" in problem for problem in problems)
    code, output = story["after broken"]
    assert code == 0
    assert "RUNNING" in output


def test_destroy_says_what_it_leaves_and_with_data_leaves_nothing(story):
    assert "✓" not in story["destroy dry"][1]
    code, output = story["destroy"]
    assert code == 0
    assert output.count("left: ") == 6
    code, output = story["destroy all"]
    assert code == 0
    assert "left: " not in output
    assert story["end"][0] == 1
