"""`make localstack`: the end-to-end test against LocalStack without Docker; exit code as pytest's.

python -m tests.localstack [PYTEST'S ARGUMENTS]
"""

from __future__ import annotations

import os
import subprocess
import sys

from flink_app.local.places import ROOT
from tests.localstack.without_docker import localstack_without_docker


def main() -> int:
    """Start it, run the test, end it."""
    with localstack_without_docker() as endpoint:
        print(f"LocalStack: {endpoint}", flush=True)
        command = [sys.executable, "-m", "pytest", "-m", "localstack", "tests/test_end_to_end.py", *sys.argv[1:]]
        environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
