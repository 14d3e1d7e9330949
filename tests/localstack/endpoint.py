"""The LocalStack that the end-to-end test meets: the one at AWS_ENDPOINT_URL, else one in Docker for its length."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import urllib.request
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
    """It, with stream, table and bucket. Raises HTTPError where something else answers."""
    with contextlib.ExitStack() as cleanup:
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/") or cleanup.enter_context(_in_docker())
        with urllib.request.urlopen(f"{endpoint}/_localstack/info") as answer:  # MiniStack has no such page
            print(f"LocalStack {json.load(answer)['version']}: {endpoint}")
        aws = LocalAws("localstack", endpoint)
        create_resources(aws)
        yield aws


@contextlib.contextmanager
def _in_docker() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy

    container = DockerContainer(LOCALSTACK_IMAGE).with_envs(SERVICES="kinesis,dynamodb,s3", KINESIS_LATENCY="0")
    container.ports = {str(_PORT): ("127.0.0.1",)}  # a free port, of the loopback only
    container.waiting_for(HttpWaitStrategy(_PORT, "/_localstack/health").with_startup_timeout(180))
    with container:
        yield f"http://127.0.0.1:{container.get_exposed_port(_PORT)}"
