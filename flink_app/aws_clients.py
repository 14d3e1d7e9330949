"""AWS clients for what runs outside the job: emulators get test credentials, real AWS its usual ones."""

from __future__ import annotations

import os
import urllib.parse
from typing import Any


def is_local(endpoint: str | None) -> bool:
    """Whether the endpoint is on this machine: then it is an emulator, which needs no real credentials."""
    host = urllib.parse.urlsplit(endpoint or "").hostname
    return host in {"127.0.0.1", "localhost", "::1"}


def local_keys() -> tuple[str, str]:
    """Access key and secret key for an emulator: those of the environment if any, else what all emulators take."""
    return os.environ.get("AWS_ACCESS_KEY_ID", "test"), os.environ.get("AWS_SECRET_ACCESS_KEY", "test")


def client(service: str, region: str, endpoint: str = "", *, connections: int = 10) -> Any:
    """A boto3 client; `endpoint` empty is real AWS. Gives up on a silent endpoint after a few seconds."""
    import boto3  # noqa: PLC0415 half a second, which `--help` need not pay
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=3,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=connections,
        s3={"addressing_style": "path"} if endpoint else {},
    )
    key, secret = local_keys()
    keys = {"aws_access_key_id": key, "aws_secret_access_key": secret} if is_local(endpoint) else {}
    return boto3.client(service, region_name=region, endpoint_url=endpoint or None, config=config, **keys)  # type: ignore[call-overload]
