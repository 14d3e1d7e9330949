"""The LocalStack that the end-to-end test meets: the one at AWS_ENDPOINT_URL, else one in Docker for its length."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

from flink_app.local.aws import LOCALSTACK_IMAGE, LocalAws, create_resources

_PORT = 4566


def missing() -> str:
    """What this machine lacks."""
    if os.environ.get("AWS_ENDPOINT_URL"):
        return ""
    docker = shutil.which("docker")
    if docker and not subprocess.run([docker, "info"], check=False, capture_output=True).returncode:
        return ""
    return "AWS_ENDPOINT_URL is not set and Docker does not answer; without Docker: make localstack"


@contextlib.contextmanager
def localstack_aws() -> Iterator[LocalAws]:
    """It, with stream, table and bucket."""
    with contextlib.ExitStack() as cleanup:
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/") or cleanup.enter_context(_in_docker())
        aws = LocalAws("localstack", endpoint)
        create_resources(aws)
        yield aws


@contextlib.contextmanager
def _in_docker() -> Iterator[str]:
    from testcontainers.community.localstack import LocalStackContainer

    container = LocalStackContainer(LOCALSTACK_IMAGE, region_name="us-east-1")
    container.with_services("kinesis", "dynamodb", "s3").with_env("KINESIS_LATENCY", "0")
    container.ports = {str(_PORT): ("127.0.0.1",)}  # a free port, of the loopback only
    with container:
        yield container.get_url()
