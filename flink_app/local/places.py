"""Where things lie on this machine: the checkout, and `.local/` for everything that runs or was downloaded."""

from __future__ import annotations

import os
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCAL = Path(os.environ.get("FRAUD_WINDOWS_LOCAL_DIR", ROOT / ".local"))  # tests set it, so that they never meet a demo
PLUGINS = ROOT / ".local" / "plugins"  # downloaded once by `make setup`
JAR = ROOT / "deploy" / "jar" / "target" / "fraud-windows-connectors.jar"
MAIN = ROOT / "flink_app" / "main.py"


def free_port(preferred: int = 0) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on: the preferred one, or any if it is taken.

    Between this call and the use of the port somebody else may take it; callers start again then.
    """
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free TCP port on 127.0.0.1")
