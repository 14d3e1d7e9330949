"""Submits flink_native.sql as one job: `flink run --python flink_native.py INPUT OUTPUT [KEY=VALUE …]`."""

from __future__ import annotations

import re
import string
import sys
from pathlib import Path

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

SETTINGS = {
    "pipeline.name": "native",
    "pipeline.object-reuse": "true",
    "table.local-time-zone": "UTC",
    "table.exec.state.ttl": "10 min",  # the job's dedup TTL
    "table.optimizer.agg-phase-strategy": "ONE_PHASE",  # one subtask has nobody to pre-aggregate for
}


def main(source: str, target: str, *options: str) -> None:
    configuration = Configuration()
    for key, value in {**SETTINGS, **dict(option.split("=", 1) for option in options)}.items():
        configuration.set_string(key, value)
    tables = TableEnvironment.create(EnvironmentSettings.new_instance().with_configuration(configuration).build())
    text = Path(__file__).resolve().with_suffix(".sql").read_text()
    script = string.Template(re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)).substitute(input=source, output=target)
    together = tables.create_statement_set()
    for statement in filter(None, map(str.strip, script.split(";"))):
        if statement.startswith("INSERT"):
            together.add_insert_sql(statement)
        else:
            tables.execute_sql(statement)
    together.execute()


if __name__ == "__main__":
    main(*sys.argv[1:])
