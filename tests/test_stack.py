"""deploy/stack.yaml against the product: properties, policy, metrics, tables; and its alarms against the runbook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from flink_app.local.places import ROOT
from flink_app.package import RUN_OPTIONS
from flink_app.properties import parse_properties
from operators.gate import EXITS
from operators.operator_stats import READINGS, TOTALS
from tests.stack_template import SERVICE_METRICS, STACK, Template

RECORDED_CALLS = Path(__file__).parent / "recorded_api_calls.txt"
RUNBOOK = ROOT / "deploy" / "RUNBOOK.md"

NOT_RECORDED = {  # allowed, though no call of the recorded run: the reason
    "s3:GetObject": "a replay reads the archive, a restore the tail of an unfinished file; the service reads the code",
    "s3:ListBucket": "a replay lists the archive",
    "s3:GetObjectVersion": "the service reads the code from a versioned bucket",
    "kms:Decrypt": "stream, secret and files are encrypted with the stack's key; the local AWS encrypts nothing",
    "kms:GenerateDataKey": "files are written encrypted; the local AWS encrypts nothing",
    "logs:DescribeLogGroups": "the service looks for the log with the application's role",
    "logs:DescribeLogStreams": "the service looks for the log with the application's role",
    "logs:PutLogEvents": "the service writes the log with the application's role",
}
AWS_METRICS = {
    ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds"),
    ("AWS/Kinesis", "IncomingRecords"),
    ("AWS/Kinesis", "ReadProvisionedThroughputExceeded"),
    ("AWS/Kinesis", "WriteProvisionedThroughputExceeded"),
    ("AWS/DynamoDB", "WriteThrottleEvents"),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
    ("FraudWindows", "canary_ms"),
}
HIVE_TYPES = {"BYTES": "binary", "BIGINT": "bigint", "INT": "int", "STRING": "string"}


@pytest.fixture(scope="module")
def template():
    return Template()


def test_the_template_is_small_enough_to_be_sent_as_it_is():
    assert STACK.stat().st_size <= 51_200  # CloudFormation's limit for a template body; a larger one goes through S3


def test_the_job_reads_the_property_groups_and_finds_nothing_wrong(template):
    properties = parse_properties(template.property_groups(), "stack.yaml")
    assert properties.source.kind == "kinesis"
    assert properties.aws.endpoint == ""
    assert properties.features.table == "FeaturesTable"
    assert (properties.masking.secret, properties.masking.key) == ("MaskingSecret", None)
    assert {properties.archive.path, properties.history.path} == {"s3://Lake/raw", "s3://Lake/features"}


def test_the_run_options_are_those_of_the_package(template):
    groups = {group["PropertyGroupId"]: group["PropertyMap"] for group in template.property_groups()}
    assert groups["kinesis.analytics.flink.run.options"] == RUN_OPTIONS


def test_the_role_allows_every_call_that_was_recorded_and_nothing_without_a_reason(template):
    recorded = set(RECORDED_CALLS.read_text().split())
    assert recorded
    assert template.allowed("Role") == recorded | NOT_RECORDED.keys()
    assert not recorded & NOT_RECORDED.keys()  # a reason that is not needed any more


def test_the_canary_may_do_what_it_does(template):
    services = re.findall(r'boto3\.client\("(\w+)"\)(?:\.(\w+))?', template.canary_code())
    assert services == [("kinesis", "put_record"), ("dynamodb", ""), ("cloudwatch", "put_metric_data")]
    calls = {"kinesis:PutRecord", "dynamodb:GetItem", "cloudwatch:PutMetricData"}  # tests/test_package.py records them
    encrypted_and_logged = {"kms:Decrypt", "kms:GenerateDataKey", "logs:CreateLogStream", "logs:PutLogEvents"}
    assert template.allowed("CanaryRole") == calls | encrypted_and_logged


def test_no_permission_is_for_everything(template):
    for role in ("Role", "CanaryRole"):
        for policy in template.resources[role]["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert not any("*" in action for action in statement["Action"])
                assert statement["Resource"] != "*" or "Condition" in statement


def test_alarms_and_dashboard_look_at_metrics_that_somebody_publishes(template):
    shell = (ROOT / "operators" / "feature_windows_shell.py").read_text()
    assert '"watermark_lag_ms"' in shell
    own = {f"gate_{name}" for name in EXITS} | {*TOTALS, *READINGS, "watermark_lag_ms"}
    published = {("AWS/KinesisAnalytics", name) for name in own | SERVICE_METRICS} | AWS_METRICS
    assert template.metrics() == published  # each is looked at, too


def test_every_alarm_names_its_section_of_the_runbook_and_every_section_has_an_alarm(template):
    alarms = template.of_type("AWS::CloudWatch::Alarm") | template.of_type("AWS::CloudWatch::CompositeAlarm")
    named = {name: re.search(r"RUNBOOK\.md#([a-z-]+)$", alarm["AlarmDescription"]) for name, alarm in alarms.items()}
    assert all(named.values()), named
    symptoms = RUNBOOK.read_text().partition("\n## Symptoms")[2]
    sections = {title.lower().replace(" ", "-") for title in re.findall(r"^### (.+)$", symptoms, re.MULTILINE)}
    assert {found[1] for found in named.values()} == sections


def test_an_alarm_wants_several_bad_minutes_and_says_what_silence_means(template):
    for name, alarm in template.of_type("AWS::CloudWatch::Alarm").items():
        sustained = alarm["DatapointsToAlarm"] * alarm.get("Period", 300)
        assert alarm["DatapointsToAlarm"] >= 3, name
        assert sustained >= 240, name
        assert alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"], name
        assert alarm["TreatMissingData"] in {"missing", "breaching", "notBreaching"}, name


def test_utilisation_and_symptom_alone_call_nobody(template):
    single, composite = (template.of_type(f"AWS::CloudWatch::{kind}") for kind in ("Alarm", "CompositeAlarm"))
    fed = {name for alarm in composite.values() for name in re.findall(r'ALARM\("(\w+)"\)', alarm["AlarmRule"])}
    assert fed == {"BusyCpu", "BusyMemory", "OldRecords", "StaleRows"}
    for name, alarm in {**single, **composite}.items():
        assert ("AlarmActions" in alarm) == (name not in fed), name


def alarm_states(rule, **states):
    """Whether a composite's rule fires; by Python's own and, or, not."""
    python = re.sub(r'ALARM\("(\w+)"\)', lambda found: str(states[found[1]]), rule)
    return eval(python.replace("AND", "and").replace("OR", "or").replace("NOT", "not"))


@pytest.mark.parametrize("cpu", [False, True])
@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("stale", [False, True])
def test_a_symptom_calls_once_and_says_whether_the_machine_is_the_cause(template, cpu, memory, old, stale):
    rules = {name: alarm["AlarmRule"] for name, alarm in template.of_type("AWS::CloudWatch::CompositeAlarm").items()}
    states = {"BusyCpu": cpu, "BusyMemory": memory, "OldRecords": old, "StaleRows": stale}
    busy, symptom = cpu or memory, old or stale
    assert alarm_states(rules["Overloaded"], **states) == (busy and symptom)
    assert alarm_states(rules["FallingBehind"], **states) == (symptom and not busy)


def test_everything_that_holds_records_is_encrypted_with_the_stacks_key(template):
    assert template.resources["Stream"]["Properties"]["StreamEncryption"] == {"EncryptionType": "KMS", "KeyId": "Key"}
    assert template.resources["FeaturesTable"]["Properties"]["SSESpecification"]["KMSMasterKeyId"] == "Key"
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "Key.Arn"}
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        policies = [p for p in template.of_type("AWS::S3::BucketPolicy").values() if p["Bucket"] == name]
        (statement,) = policies[0]["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    for kind in ("AWS::Logs::LogGroup", "AWS::SecretsManager::Secret"):
        assert {log["KmsKeyId"] for log in template.of_type(kind).values()} <= {"Key", "Key.Arn"}
    for kind in ("AWS::SQS::Queue", "AWS::SNS::Topic"):
        assert {entry["KmsMasterKeyId"] for entry in template.of_type(kind).values()} == {"Key"}


def test_what_cannot_be_made_again_survives_the_stack(template):
    for name in ("Key", "MaskingSecret", "Stream", "FeaturesTable", "Lake", "CodeBucket"):
        resource = template.resources[name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain"), name


def test_records_in_the_clear_are_gone_after_six_months(template):
    rules = {rule["Id"]: rule for rule in template.resources["Lake"]["Properties"]["LifecycleConfiguration"]["Rules"]}
    assert {rules[name]["ExpirationInDays"] for name in ("raw", "quarantine")} == {183}
    assert rules["raw"]["Transitions"] == [{"StorageClass": "GLACIER_IR", "TransitionInDays": 30}]
    assert not any(
        "ExpirationInDays" in rule for rule in rules.values() if rule.get("Prefix") not in {"raw/", "quarantine/"}
    )


@pytest.mark.flink
def test_the_tables_have_the_columns_and_partitions_that_the_sinks_write(template):
    from flink_app.planner import plan_sql
    from flink_app.sql_templates import columns, statements
    from operators.feature_bucket import ACCOUNT_SCHEMA
    from operators.feature_rows import final_schema

    written = {
        spec.name: ("history", columns(final_schema(spec))) for spec in plan_sql(ROOT / "sql", Path("sql")).specs
    }
    written |= {name: (name, columns(ACCOUNT_SCHEMA)) for name in ("archive", "quarantine", "account")}
    tables = {
        table["TableInput"]["Name"]: table["TableInput"] for table in template.of_type("AWS::Glue::Table").values()
    }
    tables["archive"] = tables.pop("raw")
    assert tables.keys() == written.keys()
    for name, (sink, body) in written.items():
        values = {"name": name, "columns": body, "path": "", "rejected_bucket": 0}
        create = str(statements(Path(f"sinks/{sink}.sql"), **values)[0])
        partitions = re.search(r"PARTITIONED BY \(([^)]*)\)", create)[1].replace("`", "").split(", ")
        found = re.findall(r"^\s*`?(\w+)`?\s+([A-Z]\w*(?:\([\d, ]+\))?)", declared(create), re.MULTILINE)
        table = tables[name]
        assert [key["Name"] for key in table["PartitionKeys"]] == partitions
        wanted = [(column, hive_type(kind)) for column, kind in found if column not in partitions]
        assert [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]] == wanted
        template_of_location = table["Parameters"]["storage.location.template"]
        assert template_of_location.endswith("/".join(f"{key}=${{{key}}}" for key in partitions))


def declared(create):
    """The body of a CREATE TABLE, a column a line."""
    body = create[create.index("(") + 1 : create.index(") PARTITIONED")]
    return re.sub(r",\s*(?=`)", "\n", re.sub(r"--.*", "", body))


def hive_type(flink_type):
    """What Athena reads a Parquet column of a Flink type as."""
    if flink_type.startswith("TIMESTAMP"):
        return "timestamp"
    return HIVE_TYPES.get(flink_type, flink_type.lower().replace(", ", ","))


def test_compose_starts_the_localstack_that_the_product_knows():
    from flink_app.local.aws import LOCALSTACK_IMAGE, PREFERRED_PORT

    (service,) = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"].values()
    assert service["image"] == LOCALSTACK_IMAGE
    assert service["ports"] == [f"127.0.0.1:{PREFERRED_PORT}:4566"]
