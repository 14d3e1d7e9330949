"""What outlives the stack: whether it is there, and deleting it for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from botocore.exceptions import ClientError

from flink_app.cloud.stack_template import Retained

Clients = Callable[[str], Any]

_KEY_DAYS: Final = 7  # the shortest wait of KMS; until then the deletion can be cancelled
_MISSING: Final = {"ResourceNotFoundException", "NoSuchBucket", "404", "NotFoundException"}
_SERVICES: Final = {
    "AWS::KMS::Key": "kms",
    "AWS::SecretsManager::Secret": "secretsmanager",
    "AWS::Kinesis::Stream": "kinesis",
    "AWS::DynamoDB::Table": "dynamodb",
    "AWS::S3::Bucket": "s3",
    "AWS::Logs::LogGroup": "logs",
}


def existing(retained: Iterable[Retained], clients: Clients) -> list[Retained]:
    """Those that are there already, by name; a key has none."""
    return [resource for resource in retained if resource.name is not None and _exists(resource, clients)]


def delete(resource: Retained, clients: Clients) -> None:
    """Delete it with everything in it, for good; a key after seven days. Nothing happens if it is gone."""
    client = clients(_SERVICES[resource.kind])
    try:
        _DELETIONS[resource.kind](client, resource.name)
    except ClientError as error:
        gone = error.response["Error"]["Code"] in _MISSING
        if not gone and "pending deletion" not in str(error):
            raise


def _exists(resource: Retained, clients: Clients) -> bool:
    client = clients(_SERVICES[resource.kind])
    try:
        return bool(_QUESTIONS[resource.kind](client, resource.name))
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING:
            return False
        if error.response["Error"]["Code"] == "403":  # a bucket of somebody else
            return True
        raise


def _delete_table(dynamodb: Any, name: str) -> None:
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    dynamodb.delete_table(TableName=name)


def _delete_bucket(s3: Any, name: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        listed = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        versions = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in listed]
        if versions:
            s3.delete_objects(Bucket=name, Delete={"Objects": versions, "Quiet": True})
    s3.delete_bucket(Bucket=name)


_QUESTIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "AWS::SecretsManager::Secret": lambda c, name: c.describe_secret(SecretId=name),
    "AWS::Kinesis::Stream": lambda c, name: c.describe_stream_summary(StreamName=name),
    "AWS::DynamoDB::Table": lambda c, name: c.describe_table(TableName=name),
    "AWS::S3::Bucket": lambda c, name: c.head_bucket(Bucket=name),
    "AWS::Logs::LogGroup": lambda c, name: any(
        group["logGroupName"] == name for group in c.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    ),
}
_DELETIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "AWS::KMS::Key": lambda c, name: c.schedule_key_deletion(KeyId=name, PendingWindowInDays=_KEY_DAYS),
    "AWS::SecretsManager::Secret": lambda c, name: c.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True),
    "AWS::Kinesis::Stream": lambda c, name: c.delete_stream(StreamName=name, EnforceConsumerDeletion=True),
    "AWS::DynamoDB::Table": _delete_table,
    "AWS::S3::Bucket": _delete_bucket,
    "AWS::Logs::LogGroup": lambda c, name: c.delete_log_group(logGroupName=name),
}
