"""Ask AWS for what the job needs before it is submitted: a wrong name is one line now, not a restart loop later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from flink_app.aws_clients import client, is_local
from flink_app.errors import FraudWindowsError
from flink_app.properties import Aws, Properties

TABLE_KEYS = [("customer_id", "HASH", "S"), ("feature_window", "RANGE", "S")]
_CREDENTIALS = {
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "ExpiredToken",
    "ExpiredTokenException",
    "AuthFailure",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "403"}
_MISSING = {"ResourceNotFoundException", "NoSuchBucket", "404"}


class PreflightError(FraudWindowsError):
    """What is missing or wrong in AWS, all of it: `group.key: got … · wanted … · do …`."""


@dataclass(frozen=True)
class _Need:
    """One thing in AWS: the property that names it, what it is, and a question that tells a problem or None."""

    key: str
    service: str
    what: str
    ask: Callable[[Any], str | None]


def check_endpoints(properties: Properties) -> None:
    """Check endpoint, credentials, stream, table and buckets. Raises PreflightError with all problems."""
    _check(properties.aws, _needs(properties))


def check_stream(properties: Properties) -> None:
    """Check the stream only. Raises PreflightError."""
    _check(properties.aws, [_stream(properties.source.stream)])


def check_table(properties: Properties) -> None:
    """Check the features table only. Raises PreflightError."""
    _check(properties.aws, [_table(properties.features.table)])


def _check(aws: Aws, needs: list[_Need]) -> None:
    problems: dict[str, None] = {}  # ordered, without repetition
    unreachable: list[str] = []
    for need in needs:
        try:
            problem = need.ask(client(need.service, aws.region, aws.endpoint))
        except ClientError as error:
            problem = _explain(need, aws, error)
        except (NoCredentialsError, PartialCredentialsError) as error:
            problem = f"credentials: {error} · wanted AWS credentials in the environment · set AWS_PROFILE or the keys"
        except BotoCoreError:
            unreachable.append(need.service)
            continue
        if problem:
            problems[problem] = None
    if unreachable:
        services = " and ".join(dict.fromkeys(unreachable))
        problems = {f"{_where(aws)}: {services} cannot be reached · {_remedy(aws)}": None} | problems
    if problems:
        raise PreflightError(*problems)


def _needs(properties: Properties) -> list[_Need]:
    needs = []
    if properties.source.kind == "kinesis":
        needs.append(_stream(properties.source.stream))
    if properties.features.enabled:
        needs.append(_table(properties.features.table))
    folders = {
        "Source.path": properties.source.path if properties.source.kind == "archive" else "",
        "History.path": properties.history.path,
        "Archive.path": properties.archive.path if properties.source.kind == "kinesis" else "",
        "Quarantine.path": properties.quarantine.path,
        "Account.path": properties.account.path,
    }
    buckets: dict[str, list[str]] = {}
    for key, path in folders.items():
        if path.startswith(("s3://", "s3a://")):
            buckets.setdefault(urlsplit(path).netloc, []).append(key)
    return needs + [_bucket(name, keys) for name, keys in buckets.items()]


def _stream(name: str) -> _Need:
    def ask(kinesis: Any) -> str | None:
        status = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"]
        if status in {"ACTIVE", "UPDATING"}:
            return None
        return f"Source.stream: stream '{name}' is {status} · wanted ACTIVE · wait, or name another"

    return _Need("Source.stream", "kinesis", f"stream '{name}'", ask)


def _table(name: str) -> _Need:
    def ask(dynamodb: Any) -> str | None:
        table = dynamodb.describe_table(TableName=name)["Table"]
        types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]}
        keys = [(key["AttributeName"], key["KeyType"], types.get(key["AttributeName"])) for key in table["KeySchema"]]
        if keys == TABLE_KEYS:
            return None
        got, wanted = (", ".join(f"{key} {kind} {type_}" for key, kind, type_ in side) for side in (keys, TABLE_KEYS))
        return f"Features.table: table '{name}' has the key {got} · wanted {wanted} · create a table with that key"

    return _Need("Features.table", "dynamodb", f"table '{name}'", ask)


def _bucket(name: str, keys: list[str]) -> _Need:
    def ask(s3: Any) -> str | None:
        s3.head_bucket(Bucket=name)
        return None

    return _Need(", ".join(keys), "s3", f"bucket '{name}'", ask)


def _explain(need: _Need, aws: Aws, error: ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _MISSING:
        return f"{need.key}: {need.what} not found at {_where(aws)} · {_create(aws)}"
    if code in _CREDENTIALS:
        return f"credentials: refused by {_where(aws)} ({code}) · check AWS_PROFILE or the keys in the environment"
    if code in _DENIED:
        return f"{need.key}: {need.what}: access denied by {_where(aws)} · check the credentials and their permissions"
    return f"{need.key}: {need.what}: {code} from {_where(aws)}: {str(error).partition(': ')[2]}"


def _where(aws: Aws) -> str:
    return f"Aws.endpoint {aws.endpoint}" if aws.endpoint else f"AWS in {aws.region}"


def _remedy(aws: Aws) -> str:
    if is_local(aws.endpoint):
        return "run `fraud-windows local up` (and take the properties that it writes)"
    return "check Aws.endpoint, Aws.region and the network"


def _create(aws: Aws) -> str:
    return (
        "run `fraud-windows local up`, or correct the name"
        if is_local(aws.endpoint)
        else "create it, or correct the name"
    )
