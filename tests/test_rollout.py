"""deploy, update, rollback, destroy against an emulated account: from nothing to nothing, and through failures.

MiniStack plays CloudFormation, S3 and the service's control plane (tests/emulated_stack.py says what it leaves out);
boto3 checks every request against the services' own models.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections import Counter
from pathlib import Path

import pytest
from botocore.stub import Stubber

from flink_app.aws_clients import client
from flink_app.cloud import rollout
from flink_app.cloud.application import ApplicationError, FlinkApplication, Restore
from flink_app.cloud.rollout import Account, RolloutError
from flink_app.cloud.stack import Change, Stack, StackError
from flink_app.cloud.stack_template import StackTemplate
from flink_app.errors import FraudWindowsError
from flink_app.local.aws import REGION, embedded_aws
from flink_app.package import Package
from tests.emulated_stack import emulated_template

names = (f"fraud-{number}" for number in itertools.count())


class BrokenError(Exception):
    """The machine that deploys is gone."""


class Cloud:
    """An account of its own name in the emulator, whose calls can be made to break.

    Attributes:
        breaks: (moment, operation) -> that call breaks once, `before` it is sent or `after` it was answered.
    """

    def __init__(self, aws):
        self.aws, self.name, self.breaks, self.told = aws, next(names), set(), []
        stack = Stack(self.client("cloudformation"), self.name, StackTemplate(emulated_template()), 0.02)
        application = FlinkApplication(self.client("kinesisanalyticsv2"), self.name, 0.02)
        number = self.client("sts").get_caller_identity()["Account"]
        self.account = Account(self.client, REGION, number, stack, application)

    def client(self, service):
        made = client(service, REGION, self.aws.endpoint)
        for moment in ("before", "after"):
            made.meta.events.register(f"{moment}-call", self._break(moment))
        return made

    def _break(self, moment):
        def handler(model, **_):
            if (moment, model.name) in self.breaks:
                self.breaks.remove((moment, model.name))
                raise BrokenError(f"{moment} {model.name}")

        return handler

    def take(self, plan, *arguments, **options):
        """What the command does, without its questions; returns the titles."""
        state = rollout.settled(self.account, self.told.append)
        if plan is rollout.destroy:
            steps = plan(self.account, state, **options)
        elif plan is rollout.rollback:
            steps = plan(self.account, state, *arguments)
        else:
            package, *rest = arguments
            steps = plan(self.account, package, {}, state, *rest)
        for step in steps:
            step.run(self.told.append)
        return [step.title for step in steps]

    @property
    def running(self):
        application = self.account.application.observe()
        return application.key if application is not None and application.is_running else None

    @property
    def parameters(self):
        return self.account.stack.observe().parameters


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with embedded_aws(tmp_path_factory.mktemp("aws")) as started:
        yield started


@pytest.fixture
def cloud(aws):
    return Cloud(aws)


@pytest.fixture
def packages(tmp_path):
    """Three zips, which nobody here looks into."""
    return [packed(tmp_path / f"{content}.zip", content) for content in ("one", "two", "three")]


def packed(path: Path, content: str) -> Package:
    path.write_text(content)
    return Package(path, hashlib.sha256(content.encode()).hexdigest(), path.stat().st_size, Counter(), ())


@pytest.mark.e2e
def test_from_nothing_to_running_to_nothing(cloud, packages):
    key = rollout.code_key(packages[0])
    titles = cloud.take(rollout.deploy, packages[0])
    assert [title.split()[0] for title in titles] == ["create", "upload", "the", "start"]
    assert cloud.running == key
    assert cloud.take(rollout.deploy, packages[0]) == []
    stored = cloud.client("s3").get_object(Bucket=cloud.account.application.observe().bucket, Key=key)
    assert stored["Body"].read() == b"one"
    cloud.take(rollout.destroy, with_data=True)
    assert cloud.account.stack.observe() is cloud.account.application.observe() is None
    assert rollout.left_behind(cloud.account) == []
    assert cloud.take(rollout.destroy, with_data=True) == []
    cloud.take(rollout.deploy, packages[0])
    assert cloud.running == key


@pytest.mark.e2e
def test_data_outlives_the_stack_and_a_new_stack_stops_at_it_before_it_begins(cloud, packages):
    cloud.take(rollout.deploy, packages[0])
    cloud.take(rollout.destroy, with_data=False)
    assert cloud.account.stack.observe() is None
    assert len(rollout.left_behind(cloud.account)) == 6
    with pytest.raises(RolloutError, match=r"AWS::Kinesis::Stream .*-payments: is there already") as refused:
        cloud.take(rollout.deploy, packages[0])
    assert "--with-data" in refused.value.problems[-1]
    assert cloud.account.stack.observe() is None
    cloud.take(rollout.destroy, with_data=True)
    assert rollout.left_behind(cloud.account) == []


BREAKS = [
    (moment, operation)
    for operation in ("CreateStack", "PutObject", "UpdateStack", "StartApplication")
    for moment in ("before", "after")
]


@pytest.mark.e2e
@pytest.mark.parametrize(("moment", "operation"), BREAKS)
def test_a_second_deploy_finishes_what_the_first_left(cloud, packages, moment, operation):
    cloud.breaks.add((moment, operation))
    with pytest.raises(BrokenError):
        cloud.take(rollout.deploy, packages[0])
    assert not cloud.breaks
    cloud.take(rollout.deploy, packages[0])
    assert cloud.running == rollout.code_key(packages[0])
    assert cloud.take(rollout.deploy, packages[0]) == []


@pytest.mark.e2e
def test_a_stack_that_did_not_come_up_is_told_with_its_reason_and_made_anew(cloud, packages):
    database = cloud.name.replace("-", "_")
    glue = cloud.client("glue")
    glue.create_database(DatabaseInput={"Name": database})
    with pytest.raises(StackError) as failed:
        cloud.take(rollout.deploy, packages[0])
    assert any("Database" in problem for problem in failed.value.problems)
    assert cloud.account.stack.observe().is_stillborn
    glue.delete_database(Name=database)
    titles = cloud.take(rollout.deploy, packages[0])
    assert titles[0].startswith("delete the stack that did not come up")
    assert cloud.running == rollout.code_key(packages[0])


@pytest.mark.e2e
def test_deploy_leaves_other_running_code_alone(cloud, packages):
    cloud.take(rollout.deploy, packages[0])
    with pytest.raises(RolloutError, match="use `fraud-windows update`"):
        cloud.take(rollout.deploy, packages[1])
    assert cloud.running == rollout.code_key(packages[0])


@pytest.mark.e2e
def test_an_update_takes_a_snapshot_first_and_restores_the_latest(cloud, packages):
    cloud.take(rollout.deploy, packages[0])
    one, two = (rollout.code_key(package) for package in packages[:2])
    titles = cloud.take(rollout.update, packages[1], Restore())
    assert titles[0].startswith(f"take snapshot before-{packages[0].sha256[:12]}-")
    assert cloud.running == two
    assert (cloud.parameters["CodeKey"], cloud.parameters["PreviousCodeKey"]) == (two, one)
    application = cloud.account.application.observe()
    assert application.restore == "RESTORE_FROM_LATEST_SNAPSHOT"
    made = {snapshot.name.partition("-")[0] for snapshot in application.snapshots}
    assert made == {"before", "UPDATEAPPLICATION"}  # ours, and the service's own
    assert cloud.take(rollout.update, packages[1], Restore()) == []


@pytest.mark.e2e
def test_a_rollback_goes_one_step_back_and_never_forward(cloud, packages):
    cloud.take(rollout.deploy, packages[0])
    with pytest.raises(RolloutError, match="nothing to go back to"):
        cloud.take(rollout.rollback, Restore())
    cloud.take(rollout.update, packages[1], Restore())
    cloud.take(rollout.rollback, Restore())
    assert cloud.running == rollout.code_key(packages[0])
    with pytest.raises(RolloutError, match="nothing to go back to"):
        cloud.take(rollout.rollback, Restore())


@pytest.mark.e2e
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_rollback_that_was_broken_off_is_not_undone_by_the_next(cloud, packages, moment):
    cloud.take(rollout.deploy, packages[0])
    cloud.take(rollout.update, packages[1], Restore())
    cloud.breaks.add((moment, "UpdateStack"))
    with pytest.raises(BrokenError):
        cloud.take(rollout.rollback, Restore())
    with contextlib.suppress(RolloutError):
        cloud.take(rollout.rollback, Restore())
    assert cloud.running == rollout.code_key(packages[0])


@pytest.mark.e2e
def test_a_rollback_to_a_snapshot_names_it_and_the_next_update_takes_the_latest_again(cloud, packages):
    cloud.take(rollout.deploy, packages[0])
    cloud.take(rollout.update, packages[1], Restore())
    before = next(s.name for s in cloud.account.application.observe().snapshots if s.name.startswith("before"))
    with pytest.raises(RolloutError, match=f"no such snapshot · there are .*{before}"):
        cloud.take(rollout.rollback, Restore.of("absent"))
    cloud.take(rollout.rollback, Restore.of(before))
    assert cloud.running == rollout.code_key(packages[0])
    assert cloud.parameters["Snapshot"] == before
    described = cloud.client("kinesisanalyticsv2").describe_application(ApplicationName=cloud.name)
    run = described["ApplicationDetail"]["ApplicationConfigurationDescription"]["RunConfigurationDescription"]
    assert run["ApplicationRestoreConfigurationDescription"]["SnapshotName"] == before
    cloud.take(rollout.update, packages[2], Restore())
    assert (cloud.parameters["Restore"], cloud.parameters["Snapshot"]) == ("RESTORE_FROM_LATEST_SNAPSHOT", "")


@pytest.mark.e2e
def test_state_is_given_up_only_by_name(cloud, packages):
    cloud.take(rollout.deploy, packages[0])
    titles = cloud.take(rollout.update, packages[1], Restore.of("none"))
    assert any("empty state" in title for title in titles)
    assert cloud.account.application.observe().restore == "SKIP_RESTORE_FROM_SNAPSHOT"


@pytest.mark.e2e
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", ["CreateApplicationSnapshot", "PutObject", "UpdateStack"])
def test_a_second_update_finishes_what_the_first_left(cloud, packages, moment, operation):
    cloud.take(rollout.deploy, packages[0])
    cloud.breaks.add((moment, operation))
    with pytest.raises(BrokenError):
        cloud.take(rollout.update, packages[1], Restore())
    cloud.take(rollout.update, packages[1], Restore())
    assert cloud.running == rollout.code_key(packages[1])
    assert cloud.parameters["PreviousCodeKey"] == rollout.code_key(packages[0])


@pytest.mark.e2e
def test_an_application_that_was_stopped_is_updated_and_started(cloud, packages):
    cloud.take(rollout.deploy, packages[0])
    cloud.account.application.stop(cloud.told.append)
    titles = cloud.take(rollout.update, packages[1], Restore())
    assert not any(title.startswith("take snapshot") for title in titles)
    assert cloud.running == rollout.code_key(packages[1])


@pytest.mark.e2e
def test_nothing_is_updated_or_rolled_back_that_is_not_there(cloud, packages):
    for plan, arguments in ((rollout.update, (packages[0], Restore())), (rollout.rollback, (Restore(),))):
        with pytest.raises(RolloutError, match="use `fraud-windows deploy`"):
            cloud.take(plan, *arguments)


@pytest.mark.e2e
def test_a_parameter_of_the_stack_is_changed_and_kept(cloud, packages):
    cloud.take(rollout.deploy, packages[0])
    state = rollout.settled(cloud.account, cloud.told.append)
    for step in rollout.update(cloud.account, packages[0], {"RetentionHours": "72"}, state, Restore()):
        step.run(cloud.told.append)
    stream = cloud.client("kinesis").describe_stream_summary(StreamName=f"{cloud.name}-payments")
    assert stream["StreamDescriptionSummary"]["RetentionPeriodHours"] == 72
    cloud.take(rollout.update, packages[1], Restore())
    assert cloud.parameters["RetentionHours"] == "72"


# ---- what the emulator cannot be made to do


def test_a_snapshot_that_fails_ends_the_update_before_anything_changed():
    kinesisanalytics = client("kinesisanalyticsv2", REGION, "http://127.0.0.1:9")
    details = {"SnapshotName": "s", "ApplicationVersionId": 1}
    with Stubber(kinesisanalytics) as service:
        service.add_response("create_application_snapshot", {})
        for status in ("CREATING", "FAILED"):
            answer = {"SnapshotDetails": details | {"SnapshotStatus": status}}
            service.add_response("describe_application_snapshot", answer)
        with pytest.raises(ApplicationError, match=r"snapshot s is FAILED .* nothing was changed"):
            FlinkApplication(kinesisanalytics, "fraud", 0.0).snapshot("s", [].append)


def described(status, key, restore="RESTORE_FROM_LATEST_SNAPSHOT"):
    location = {"BucketARN": "arn:aws:s3:::code", "FileKey": key}
    code = {"CodeContentType": "ZIPFILE", "CodeContentDescription": {"S3ApplicationCodeLocationDescription": location}}
    return {
        "ApplicationDetail": {
            "ApplicationARN": "arn:aws:kinesisanalytics:us-east-1:123456789012:application/fraud",
            "ApplicationName": "fraud",
            "RuntimeEnvironment": "FLINK-1_20",
            "ApplicationStatus": status,
            "ApplicationVersionId": 3,
            "ApplicationConfigurationDescription": {
                "ApplicationCodeConfigurationDescription": code,
                "RunConfigurationDescription": {
                    "ApplicationRestoreConfigurationDescription": {"ApplicationRestoreType": restore}
                },
            },
        }
    }


@pytest.mark.parametrize(
    ("statuses", "key", "restore", "problem"),
    [
        (
            ["UPDATING", "ROLLING_BACK", "RUNNING"],
            "old.zip",
            "latest",
            r"wanted new\.zip · runs old\.zip: the service went",
        ),
        (["UPDATING", "READY"], "new.zip", "latest", "wanted RUNNING · got READY"),
        (["UPDATING", "RUNNING"], "new.zip", "none", "wanted SKIP_RESTORE_FROM_SNAPSHOT · got RESTORE_FROM_LATEST"),
    ],
)
def test_an_update_that_the_service_does_not_do_as_asked_is_an_error(statuses, key, restore, problem):
    kinesisanalytics = client("kinesisanalyticsv2", REGION, "http://127.0.0.1:9")
    application = FlinkApplication(kinesisanalytics, "fraud", 0.0)
    account = Account(client, REGION, "123456789012", None, application)
    told = []
    with Stubber(kinesisanalytics) as service:
        for status in statuses:
            service.add_response("describe_application", described(status, key))
            service.add_response("list_application_snapshots", {"SnapshotSummaries": []})
        with pytest.raises(ApplicationError, match=problem):
            rollout._confirm(account, "new.zip", Restore.of(restore), told.append)
    assert told == [f"application {status}" for status in statuses[:-1]]


def test_a_change_that_would_replace_what_holds_data_is_refused(monkeypatch):
    stack = Stack(None, "fraud", StackTemplate.of_this_checkout())
    changes = (Change("Modify", "FeaturesTable", replaces=True), Change("Modify", "Dashboard", replaces=True))
    monkeypatch.setattr(stack, "changes", lambda wanted: changes)
    account = Account(client, REGION, "123456789012", stack, FlinkApplication(None, "fraud"))
    with pytest.raises(RolloutError, match="FeaturesTable would be replaced by an empty one"):
        rollout._changes(account, {})


def test_a_stack_that_needs_hands_is_said():
    cloudformation = client("cloudformation", REGION, "http://127.0.0.1:9")
    stack = Stack(cloudformation, "fraud", StackTemplate.of_this_checkout(), 0.0)
    account = Account(client, REGION, "123456789012", stack, FlinkApplication(None, "fraud"))
    with Stubber(cloudformation) as service:
        found = {"StackName": "fraud", "CreationTime": "2026-01-01", "StackStatus": "UPDATE_ROLLBACK_FAILED"}
        service.add_response("describe_stacks", {"Stacks": [found]})
        with pytest.raises(StackError, match="continue-update-rollback"):
            rollout.settled(account, [].append)


def test_a_parameter_that_the_template_has_not_or_that_is_the_commands_own_is_refused():
    template = StackTemplate.of_this_checkout()
    assert template.chosen(("Shards=8", "AlarmEmail=a=b")) == {"Shards": "8", "AlarmEmail": "a=b"}
    with pytest.raises(FraudWindowsError) as refused:
        template.chosen(("Shard=8", "CodeKey=x"))
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["--set Shard=8", "--set CodeKey=x"]
