"""The application's properties: one frozen object, read once, a group for each component.

`application_properties.json` is a list of `{"PropertyGroupId": …, "PropertyMap": {string: string}}`, as the managed
service hands it over; local and cloud differ in values only. A key is written with dots where the attribute has an
underscore: `emit.interval.ms` is `emit_interval_ms`. The service's own groups (`kinesis.analytics.…`) are passed over.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flink_app.errors import FraudWindowsError
from flink_app.local.places import LOCAL

SERVICE_PATH = Path("/etc/flink/application_properties.json")
SERVICE_GROUPS = "kinesis.analytics."
MIN_SECRET = 16
_REQUIRED = object()


class PropertiesError(FraudWindowsError):
    """Everything that is wrong with the properties, one line each: `FILE: group.key: got … · wanted … · do …`."""


class Secret:
    """A value that no log, `repr` or error message shows."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def _key(parse: Callable[[str], Any], wanted: str, default: object = _REQUIRED) -> Any:
    """A property: `parse` raises ValueError for anything but `wanted`."""
    metadata = {"parse": parse, "wanted": wanted}
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError(value)
    return value


def _name(what: str, default: object = _REQUIRED) -> Any:
    return _key(_text, f"the name of {what}", default)


def _integer(minimum: int, unit: str, default: int | None) -> Any:
    def parse(value: str) -> int:
        if not value.isascii() or not value.isdigit() or int(value) < minimum:
            raise ValueError(value)
        return int(value)

    return _key(parse, f"a whole number of {unit}, at least {minimum}", default)


def _choice(*options: str, default: object = _REQUIRED) -> Any:
    def parse(value: str) -> str:
        if value not in options:
            raise ValueError(value)
        return value

    return _key(parse, " or ".join(options), default)


def _flag(default: bool) -> Any:
    def parse(value: str) -> bool:
        return {"true": True, "false": False}[value]

    return _key(parse, "true or false", default)


def _folder(what: str, default: object = _REQUIRED) -> Any:
    def parse(value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in {"s3", "s3a", "file"} or not rest.strip("/"):
            raise ValueError(value)
        return value.rstrip("/")

    return _key(parse, f"s3://BUCKET/FOLDER or file:///FOLDER, {what}", default)


def _secret(value: str) -> Secret:
    if len(value) < MIN_SECRET:
        raise ValueError("too short")
    return Secret(value)


def _endpoint(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError(value)
    return value.rstrip("/")


@dataclass(frozen=True)
class Aws:
    """Where AWS is: `endpoint` is empty for real AWS."""

    region: str = _name("an AWS region, such as us-east-1", "us-east-1")
    endpoint: str = _key(_endpoint, "http://HOST:PORT, or empty for real AWS", "")


@dataclass(frozen=True)
class Source:
    """Where records come from: a Kinesis stream, or the raw archive that an earlier run wrote."""

    kind: str = _choice("kinesis", "archive")
    stream: str = _name("a Kinesis stream (kind kinesis)", "")
    initial_position: str = _choice("TRIM_HORIZON", "LATEST", default="TRIM_HORIZON")
    path: str = _key(_text, "s3://BUCKET/FOLDER or a local folder of the raw archive (kind archive)", "")


@dataclass(frozen=True)
class Features:
    """The DynamoDB table; `enabled` false writes files only, and computes no live rows.

    A shorter emit interval: fresher rows, more writes.
    """

    enabled: bool = _flag(True)
    table: str = _name("a DynamoDB table", "")
    ttl_days: int = _integer(1, "days", 30)
    emit_interval_ms: int = _integer(1, "milliseconds", 500)


@dataclass(frozen=True)
class History:
    """Final rows, Parquet."""

    path: str = _folder("for final rows")


@dataclass(frozen=True)
class Archive:
    """Every record as it came, Parquet; needed for kind kinesis only."""

    path: str = _folder("for raw records (kind kinesis)", "")


@dataclass(frozen=True)
class Quarantine:
    """Rejected records with reason and detail, Parquet."""

    path: str = _folder("for rejected records")


@dataclass(frozen=True)
class Account:
    """The account of law 1, Parquet."""

    path: str = _folder("for the account of records")


@dataclass(frozen=True)
class Masking:
    """The key of HMAC-SHA256 for pii columns, or the secret that holds it. Another key gives other masked values."""

    key: Secret | None = _key(_secret, f"a secret of at least {MIN_SECRET} characters", None)  # noqa: RUF009 a field
    secret: str = _name("a secret in AWS Secrets Manager, or its ARN", "")


@dataclass(frozen=True)
class State:
    """What the keyed operator keeps.

    Attributes:
        buckets: keys of the keyed operator; fixed for the life of the state: after a restore the old number must stay.
        dedup_ttl_seconds: how long an event id is remembered; at least the lateness bound L (the job checks).
        grace_seconds: how long after its last window an event stays in the log, for catch-up.
        idle_final_seconds: silence after which last rows become final; None stands for L + 10.
    """

    buckets: int = _integer(1, "buckets", 16)
    dedup_ttl_seconds: int = _integer(1, "seconds", 600)
    grace_seconds: int = _integer(0, "seconds", 300)
    idle_final_seconds: int | None = _integer(1, "seconds", None)


@dataclass(frozen=True)
class Runtime:
    """Placement: `separate_workers` puts gate and keyed operator into two Python workers (twice the slots)."""

    separate_workers: bool = _flag(False)


@dataclass(frozen=True)
class Properties:
    """All groups; the attribute is the group's name in lower case."""

    aws: Aws
    source: Source
    features: Features
    history: History
    archive: Archive
    quarantine: Quarantine
    account: Account
    masking: Masking
    state: State
    runtime: Runtime


_GROUPS: dict[str, type[Any]] = {
    group.__name__: group
    for group in (Aws, Source, Features, History, Archive, Quarantine, Account, Masking, State, Runtime)
}


def properties_path(given: Path | None = None) -> Path:
    """The file to read: the given one, else the managed service's, else the one that `local up` writes."""
    if given is not None:
        return given
    return SERVICE_PATH if SERVICE_PATH.exists() else LOCAL / "application_properties.json"


def read_properties(given: Path | None = None) -> Properties:
    """Read and check the properties. Raises PropertiesError with all problems together."""
    path = properties_path(given)
    try:
        groups = json.loads(path.read_text())
    except FileNotFoundError:
        do = "check the path" if given else "run `fraud-windows local up`, or name a file with --properties"
        raise PropertiesError(f"{path}: no such file · {do}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PropertiesError(f"{path}: cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise PropertiesError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    return parse_properties(groups, str(path))


def parse_properties(groups: object, where: str) -> Properties:
    """Properties from the decoded JSON; `where` begins every problem."""
    problems: list[str] = []
    maps = _property_maps(groups, problems)
    parsed = {name: _parse_group(name, maps.get(name, {}), problems) for name in _GROUPS}
    problems += _problems_between_groups(parsed)
    if problems:
        raise PropertiesError(*(f"{where}: {problem}" for problem in problems))
    return Properties(**{name.lower(): _GROUPS[name](**values) for name, values in parsed.items()})


def write_properties(path: Path, groups: Mapping[str, Mapping[str, str]]) -> None:
    """Write property groups in the form that read_properties reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [{"PropertyGroupId": name, "PropertyMap": dict(values)} for name, values in groups.items()]
    path.write_text(json.dumps(content, indent=2) + "\n")


def _property_maps(groups: object, problems: list[str]) -> dict[str, dict[str, object]]:
    """Group name -> key -> value, as far as the JSON has the right shape."""
    wanted = 'a list of {"PropertyGroupId": …, "PropertyMap": {…}}'
    if not isinstance(groups, list):
        problems.append(f"got a {type(groups).__name__} · wanted {wanted}")
        return {}
    maps: dict[str, dict[str, object]] = {}
    for number, group in enumerate(groups, 1):
        name = group.get("PropertyGroupId") if isinstance(group, dict) else None
        values = group.get("PropertyMap") if isinstance(group, dict) else None
        if (
            not isinstance(name, str)
            or not isinstance(values, dict)
            or set(group) != {"PropertyGroupId", "PropertyMap"}
        ):
            problems.append(f"entry {number}: got {_short(group)} · wanted one of {wanted}")
        elif name.startswith(SERVICE_GROUPS):
            continue
        elif name not in _GROUPS:
            problems.append(f"{name}: unknown group · {_did_you_mean(name, list(_GROUPS))}")
        elif name in maps:
            problems.append(f"{name}: the group is there twice · keep one")
        else:
            maps[name] = values
    return maps


def _parse_group(name: str, values: Mapping[str, object], problems: list[str]) -> dict[str, Any]:
    """Attribute -> value of one group; a value that is wrong or missing is left out and told in `problems`."""
    fields = {field.name.replace("_", "."): field for field in dataclasses.fields(_GROUPS[name])}
    problems += [
        f"{name}.{key}: unknown key · {_did_you_mean(key, list(fields))}" for key in values if key not in fields
    ]
    parsed: dict[str, Any] = {}
    for key, field in fields.items():
        wanted = field.metadata["wanted"]
        if key not in values:
            if field.default is dataclasses.MISSING:
                problems.append(f"{name}.{key}: missing · wanted {wanted} · add it")
            else:
                parsed[field.name] = field.default
            continue
        value = values[key]
        if not isinstance(value, str):
            got = "no string" if "Secret" in field.type else _short(value)
            problems.append(f"{name}.{key}: got {got} · wanted a JSON string: {wanted} · put it in quotes")
            continue
        try:
            parsed[field.name] = field.metadata["parse"](value)
        except (ValueError, KeyError):
            got = f"{len(value)} characters" if "Secret" in field.type else f"'{value}'"
            problems.append(f"{name}.{key}: got {got} · wanted {wanted} · change it")
    return parsed


def _problems_between_groups(parsed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What one property asks of another; a value that is wrong in itself is absent here and not told twice."""
    problems = []
    needs = [
        ("Source", "kind", "kinesis", "Source", "stream"),
        ("Source", "kind", "kinesis", "Archive", "path"),
        ("Source", "kind", "archive", "Source", "path"),
        ("Features", "enabled", True, "Features", "table"),
        ("Masking", "secret", "", "Masking", "key"),
    ]
    for group, key, value, other, needed in needs:
        if parsed[group].get(key) == value and parsed[other].get(needed, False) in ("", None):
            because = f"{group}.{key} is {str(value).lower() or 'missing too'}"
            problems.append(f"{other}.{needed}: missing · wanted because {because} · add it")
    if parsed["Masking"].get("key") and parsed["Masking"].get("secret"):
        problems.append("Masking.key: got both a key and a secret · wanted one of them · remove the key")
    return problems


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.6) or [k for k in known if k.lower() == name.lower()]
    return f"did you mean '{close[0]}'?" if close else f"wanted one of {', '.join(known)}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
