"""Errors that a user can act on: the command line prints each as one line `error: …` and exits with code 2.

FraudWindowsError          one or more problems, each one line: where · got · wanted · do
├── PropertiesError        application_properties.json (flink_app.properties)
├── PreflightError         endpoint, credentials, stream, table, bucket (flink_app.preflight)
├── LocalAwsError          the local AWS endpoint (flink_app.local.aws)
└── ClusterError           the local Flink cluster
    └── SubmitError        main.py ended without a job (flink_app.local.cluster)
"""

from __future__ import annotations


class FraudWindowsError(Exception):
    """Problems found together; `str()` has one line for each.

    Attributes:
        problems: at least one line, without the leading `error: `.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
