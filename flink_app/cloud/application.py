"""The application in Managed Service for Apache Flink: what it is, snapshots, start and stop. The stack changes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from flink_app.errors import FraudWindowsError

Tell = Callable[[str], None]

PATIENCE_SECONDS: Final = 1_800.0
_AT_REST: Final = {"READY", "RUNNING", "ROLLED_BACK"}
_LATEST, _CUSTOM, _SKIP = "RESTORE_FROM_LATEST_SNAPSHOT", "RESTORE_FROM_CUSTOM_SNAPSHOT", "SKIP_RESTORE_FROM_SNAPSHOT"


class ApplicationError(FraudWindowsError):
    """The service could not do it: `application NAME: …`."""


@dataclass(frozen=True)
class Restore:
    """What an application starts from.

    Attributes:
        kind: as the service names it.
        snapshot: name, for a custom one only.
    """

    kind: str = _LATEST
    snapshot: str = ""

    @classmethod
    def of(cls, text: str) -> Restore:
        """latest, none, or the name of a snapshot."""
        return {"latest": cls(), "none": cls(_SKIP)}.get(text, cls(_CUSTOM, text))

    @property
    def skips(self) -> bool:
        """Without state, from the start of the stream."""
        return self.kind == _SKIP

    @property
    def parameters(self) -> dict[str, str]:
        """Of the stack."""
        return {"Restore": self.kind, "Snapshot": self.snapshot}

    @property
    def configuration(self) -> dict[str, Any]:
        """RunConfiguration of StartApplication."""
        restore = {"ApplicationRestoreType": self.kind}
        if self.snapshot:
            restore["SnapshotName"] = self.snapshot
        # a removed window file's history sink has nowhere to go
        return {
            "ApplicationRestoreConfiguration": restore,
            "FlinkRunConfiguration": {"AllowNonRestoredState": True},
        }

    def __str__(self) -> str:
        if self.skips:
            return "no snapshot: empty state, from the start of the stream; history gets its rows of those days again"
        return (
            f"the snapshot {self.snapshot}"
            if self.snapshot
            else "the latest snapshot: the position and the events stay"
        )


@dataclass(frozen=True)
class Snapshot:
    """A snapshot: its name, READY or not, when it was made, and of which version of the application."""

    name: str
    status: str
    made: datetime
    version: int


@dataclass(frozen=True)
class ApplicationState:
    """An application as it is.

    Attributes:
        status: of the service, such as RUNNING.
        version: grows with every change.
        runtime: such as FLINK-1_20.
        bucket, key: where its code is.
        property_groups: as the job reads them.
        restore: what the service would start it from by itself.
        snapshots: newest first.
    """

    status: str
    version: int
    runtime: str
    bucket: str
    key: str
    property_groups: tuple[dict[str, Any], ...]
    restore: str
    snapshots: tuple[Snapshot, ...]

    @property
    def is_running(self) -> bool:
        """It works on records."""
        return self.status == "RUNNING"


class FlinkApplication:
    """See the module.

    Args:
        kinesisanalytics: a client of kinesisanalyticsv2.
        name: of the application.
        poll_seconds: between two questions while waiting.
    """

    def __init__(self, kinesisanalytics: Any, name: str, poll_seconds: float = 5.0) -> None:
        self._client, self.name, self._poll_seconds = kinesisanalytics, name, poll_seconds

    def observe(self) -> ApplicationState | None:
        """The application as it is; None: there is none."""
        try:
            detail = self._client.describe_application(ApplicationName=self.name)["ApplicationDetail"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        described = detail["ApplicationConfigurationDescription"]
        code = described["ApplicationCodeConfigurationDescription"]["CodeContentDescription"]
        location = code["S3ApplicationCodeLocationDescription"]
        groups = described.get("EnvironmentPropertyDescriptions", {}).get("PropertyGroupDescriptions", [])
        run = described.get("RunConfigurationDescription", {})
        return ApplicationState(
            detail["ApplicationStatus"],
            detail["ApplicationVersionId"],
            detail["RuntimeEnvironment"],
            location["BucketARN"].rpartition(":")[2],
            location["FileKey"],
            tuple(groups),
            run.get("ApplicationRestoreConfigurationDescription", {}).get("ApplicationRestoreType", _LATEST),
            self._snapshots(),
        )

    def snapshot(self, name: str, tell: Tell) -> None:
        """Take a snapshot and wait until it is READY. Raises ApplicationError: it failed."""
        self._client.create_application_snapshot(ApplicationName=self.name, SnapshotName=name)
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self._client.describe_application_snapshot(ApplicationName=self.name, SnapshotName=name)
            status = found["SnapshotDetails"]["SnapshotStatus"]
            if status == "READY":
                return
            if status == "FAILED" or time.monotonic() > until:
                raise ApplicationError(
                    f"application {self.name}: snapshot {name} is {status} · the way back would be lost, so nothing was"
                    " changed · RUNBOOK, Checkpoints fail"
                )
            tell(f"snapshot {name} {status}")
            time.sleep(self._poll_seconds)

    def start(self, restore: Restore, tell: Tell) -> None:
        """Start it and wait until it is RUNNING. Raises ApplicationError."""
        self._client.start_application(ApplicationName=self.name, RunConfiguration=restore.configuration)
        self.wait_running(tell)

    def stop(self, tell: Tell) -> None:
        """Stop it; the service takes a snapshot first, with which unfinished files become visible."""
        self._client.stop_application(ApplicationName=self.name)
        self.wait(tell)

    def wait_running(self, tell: Tell) -> ApplicationState:
        """Until it runs. Raises ApplicationError: it is at rest in another status."""
        state = self.wait(tell)
        if state is None or not state.is_running:
            status = state.status if state else "gone"
            log = f"/aws/kinesis-analytics/{self.name}"
            raise ApplicationError(
                f"application {self.name}: wanted RUNNING · got {status} · see the log group {log}; RUNBOOK, Down"
            )
        return state

    def wait(self, tell: Tell) -> ApplicationState | None:
        """Until it is at rest. Raises ApplicationError: half an hour was not enough."""
        until, told = time.monotonic() + PATIENCE_SECONDS, ""
        while (state := self.observe()) is not None and state.status not in _AT_REST:
            if state.status != told:
                tell(f"application {state.status}")
                told = state.status
            if time.monotonic() > until:
                raise ApplicationError(f"application {self.name}: still {state.status} after half an hour")
            time.sleep(self._poll_seconds)
        return state

    def _snapshots(self) -> tuple[Snapshot, ...]:
        found: list[Snapshot] = []
        more: dict[str, Any] = {}
        while True:
            page = self._client.list_application_snapshots(ApplicationName=self.name, **more)
            for entry in page.get("SnapshotSummaries", []):
                made = entry["SnapshotCreationTimestamp"].astimezone(UTC)
                found.append(
                    Snapshot(entry["SnapshotName"], entry["SnapshotStatus"], made, entry["ApplicationVersionId"])
                )
            if not page.get("NextToken"):
                return tuple(sorted(found, key=lambda snapshot: snapshot.made, reverse=True))
            more = {"NextToken": page["NextToken"]}
