"""LocalStack without Docker: its own Python code on a Python 3.13 of its own, with DynamoDB Local and kinesis-local.

`make localstack` installs it below .local/localstack, where LocalStack finds what its image would bring along:

    venv/                                           localstack-core (requirements.txt)
    root/var/lib/localstack/lib/dynamodb-local/2/   DynamoDB Local (dynamodb/pom.xml)
    root/var/lib/localstack/lib/kinesis-local/      kinesis-local, which LocalStack installs by npm
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from flink_app.local.places import ROOT, free_port
from flink_app.local.watchdog import Watchdog
from tests.e2e_stage import wait_for

FOLDER = ROOT / ".local" / "localstack"
_HERE = Path(__file__).parent


@contextlib.contextmanager
def localstack_without_docker() -> Iterator[str]:
    """Its endpoint, for the length of the block."""
    endpoint, watchdog, log = f"127.0.0.1:{free_port()}", Watchdog(), FOLDER / "localstack.log"
    settings = {
        "FILESYSTEM_ROOT": str(FOLDER / "root"),
        "OVERRIDE_IN_DOCKER": "0",
        "GATEWAY_LISTEN": endpoint,
        "SERVICES": "kinesis,dynamodb,s3",
        "KINESIS_LATENCY": "0",
        "KINESIS_PERSISTENCE": "0",
        "DYNAMODB_IN_MEMORY": "1",
        "NODE_OPTIONS": f"--require {_HERE.parent / 'loopback.js'}",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",  # no telemetry
        "DNS_ADDRESS": "0",  # no name server
        "LS_LOG": "warning",
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [FOLDER / "venv" / "bin" / "python", _HERE / "loopback_gateway.py"],
            cwd=FOLDER,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        watchdog.watch(process)

        def answers() -> bool:
            assert process.poll() is None, f"LocalStack ended, see {log}"
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{endpoint}/_localstack/info") as answer:
                return answer.status == 200
            return False

        wait_for("LocalStack", answers, 120)
        yield f"http://{endpoint}"
    finally:
        process.terminate()  # it ends DynamoDB and Kinesis, which run in sessions of their own
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        watchdog.end()
