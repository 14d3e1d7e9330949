"""The version that runs, or ran, elsewhere: out of a zip, a folder, or the application in AWS."""

from __future__ import annotations

import ast
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flink_app.cloud.application import ApplicationState, FlinkApplication
from flink_app.compatibility import Version
from flink_app.errors import FraudWindowsError
from flink_app.local.places import LOCAL
from flink_app.planner import plan_sql, planning_environment
from flink_app.properties import State, parse_properties
from flink_app.state_layout import LAYOUT

_LAYOUT_FILE = "flink_app/state_layout.py"


def version_against(against: str, clients: Callable[[str], Any]) -> Version:
    """What `check --against` names: a folder or zip if there is one, else an application in AWS.

    Args:
        against: path, or name of an application.
        clients: of AWS, by service; asked for an application only.

    Raises:
        FraudWindowsError: neither; or its SQL does not compile any more.
    """
    path = Path(against)
    if path.is_dir():
        return version_in_folder(path, None)
    if path.is_file():
        return version_in_zip(path, None)
    application = FlinkApplication(clients("kinesisanalyticsv2"), against).observe()
    if application is None:
        raise FraudWindowsError(f"--against {against}: no such folder or zip here, and no such application in AWS")
    return version_of_application(application, clients("s3"))


def version_of_application(application: ApplicationState, s3: Any, key: str = "") -> Version:
    """Its code out of its bucket (kept below .local/), and its properties; `key`: another code of the same bucket."""
    key = key or application.key
    zipped = LOCAL / "deployed" / key
    if not zipped.exists():
        zipped.parent.mkdir(parents=True, exist_ok=True)
        unfinished = zipped.with_suffix(".part")
        s3.download_file(application.bucket, key, str(unfinished))
        unfinished.rename(zipped)
    return version_in_zip(zipped, state_of(application.property_groups))


def state_of(groups: Iterable[dict[str, Any]]) -> State:
    """The group State of an application's property groups."""
    return parse_properties(list(groups), "the application's properties").state


def version_in_zip(path: Path, state: State | None) -> Version:
    """A zip of `fraud-windows package`. Raises FraudWindowsError: it is none."""
    with tempfile.TemporaryDirectory(prefix="fraud-windows-") as folder:
        try:
            with zipfile.ZipFile(path) as packed:
                wanted = [name for name in packed.namelist() if name.startswith("sql/") or name == _LAYOUT_FILE]
                packed.extractall(folder, wanted)
        except zipfile.BadZipFile:
            raise FraudWindowsError(f"{path}: not a zip of `fraud-windows package`") from None
        return version_in_folder(Path(folder), state)


def version_in_folder(folder: Path, state: State | None) -> Version:
    """A checkout, or a zip's contents. Raises SqlError: its SQL does not compile with this version."""
    if not (folder / "sql" / "events.sql").is_file():
        raise FraudWindowsError(f"{folder}: no sql/events.sql · wanted a checkout, or a zip of `fraud-windows package`")
    plan = plan_sql(folder / "sql", Path("deployed/sql"), planning_environment(short_lived=True))
    return Version(plan, state, _layout(folder / _LAYOUT_FILE))


def this_version(plan: Any, state: State) -> Version:
    """Of this checkout."""
    return Version(plan, state, LAYOUT)


def _layout(path: Path) -> dict[str, str] | None:
    """`LAYOUT` of another version, read without running its code; None: it has none."""
    if not path.is_file():
        return None
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "LAYOUT":
            assert node.value is not None
            layout: dict[str, str] = ast.literal_eval(node.value)
            return layout
    return None
