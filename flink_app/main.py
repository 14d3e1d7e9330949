"""The application as Managed Service for Apache Flink starts it: read the properties, build the job, submit, return.

    flink run --jarfile fraud-windows-connectors.jar --python flink_app/main.py [--properties FILE]

What a person can act on is printed as lines `error: …`, exit code 2.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # resolved: Flink's launcher starts a symlink
sys.path.insert(0, str(ROOT))

from flink_app.archive import ArchiveStore, ChunkReader, list_chunks  # noqa: E402 - the path comes first
from flink_app.errors import FraudWindowsError  # noqa: E402
from flink_app.job import build  # noqa: E402
from flink_app.masking_key import with_masking_key  # noqa: E402
from flink_app.parts import Job, contradictions  # noqa: E402
from flink_app.planner import plan_sql  # noqa: E402
from flink_app.properties import Properties, read_properties  # noqa: E402
from flink_app.runtime import REPLAY_SETTINGS, environments, ship  # noqa: E402

JOB_NAME = "fraud-windows"


def read_job(properties: Properties) -> Job:
    """Everything that the graph is built from.

    Raises:
        FraudWindowsError: SQL that cannot run, no archive, properties that contradict the contract.
    """
    plan = plan_sql(ROOT / "sql", Path("sql"))
    if problems := contradictions(properties, plan.contract):
        raise FraudWindowsError(*problems)
    chunks = None
    if properties.source.kind == "archive":
        store = ArchiveStore(properties.source.path, properties.aws.region, properties.aws.endpoint)
        chunks = ChunkReader(store, list_chunks(store))
    return Job(properties, plan, chunks)


def main(arguments: list[str]) -> None:
    """Submit the job; it goes on when this has returned."""
    given = Path(arguments[arguments.index("--properties") + 1]) if "--properties" in arguments else None
    try:
        job = read_job(with_masking_key(read_properties(given)))
        env, tables = environments() if job.chunks is None else environments(REPLAY_SETTINGS)
        ship(env, ROOT)
        build(env, tables, job)
    except FraudWindowsError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    env.execute_async(JOB_NAME)


if __name__ == "__main__":
    main(sys.argv[1:])
