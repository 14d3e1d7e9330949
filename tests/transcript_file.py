"""Reads transcripts: the stories of `tests/windows/<window>.yaml`, checked to the last key before one is told.

    a payment at the end of a window belongs to the next one:      a story, its steps in order
      - why: the windows that end at 12:00:05 do not hold it        every step says why it is there
        send:                                                       and does one thing
          - {at: 12:00:05, amount: 4.00}

    send           payments: `at` (the payment's clock), `arrives` (at the stream; as `at`), `read` (by the job; as
                   `arrives`), and the columns of sql/events.sql that matter; see DEFAULTS for the rest
    clock          time goes on to here, in silence
    watermark      of the stream; at most clock - L - 1 ms
    restart        the job has lost its memory and is back, from its state, at this time
    expect live    the rows written since the last `expect live`, all of them, in any order; or `nothing`
    expect final   likewise
    expect exits   how many payments of the story have left by which exit so far; the ones not named: none

Errors name file and line. Values are read as text and then by the type of their column, so 10.00 is exact.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import pyarrow as pa
import yaml

from operators.contract import EVENT_TIME, Contract
from operators.window_spec import WindowSpec

NOTHING: Final = "nothing"
DEFAULTS: Final = {"customer_id": "anna", "merchant_id": "m1", "amount": Decimal("10.00")}  # event_id: e1, e2 …
DAY_MS: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,3}))?")
_HINT = "see 'Write its transcript' in sql/README.md"


class TranscriptError(AssertionError):
    """`tests/windows/velocity.yaml:12: …`, one or more lines: where, what was got, what was wanted, what to do."""


class Moment(int):
    """A time of the story's day, epoch ms; written `12:00:03.500`."""

    def __str__(self) -> str:
        seconds, ms = divmod(self - DAY_MS, 1000)
        text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return f"{text}.{ms:03}" if ms else text

    @classmethod
    def parse(cls, text: str) -> Moment:
        found = _TIME.fullmatch(text)
        if found is None:
            raise ValueError(f"'{text}' is not a time like 12:00:03.500")
        hours, minutes, seconds = map(int, found.groups()[:3])
        return cls(DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((found[4] or "0").ljust(3, "0")))


class Window(tuple[int, int]):
    """A half-open window, (start, end); written `12:00:00 to 12:00:30`."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{Moment(self[0])} to {Moment(self[1])}"

    @classmethod
    def parse(cls, text: str) -> Window:
        start, to, end = text.partition(" to ")
        if not to:
            raise ValueError(f"'{text}' is not a window like 12:00:00 to 12:00:30")
        return cls((Moment.parse(start.strip()), Moment.parse(end.strip())))


@dataclass(frozen=True)
class Step:
    """One step: `content` is of the type that its `action` wants.

    Attributes:
        where: file:line.
        why: in the author's words.
        action: 'send', 'clock', 'watermark', 'restart', 'expect live', 'expect final' or 'expect exits'.
        content: payments (dictionaries with at, arrives, read and the columns that were given); a Moment; rows
            (dictionaries with window, feature_set, customer_id, the columns, revision); or counts by exit.
        lines: file:line of each payment or row.
    """

    where: str
    why: str
    action: str
    content: Any
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """A name and what happens, in order."""

    where: str
    name: str
    steps: tuple[Step, ...]


class _Exits(msgspec.Struct, forbid_unknown_fields=True):
    counted: int = 0
    duplicate: int = 0
    malformed: int = 0
    future: int = 0
    too_late: int = 0
    window_closed: int = 0


def story_names(path: Path) -> list[str]:
    """The stories of a file, for a list of tests; nothing is checked yet."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        return [key.value for key, _ in root.value]
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        return []


def read_stories(path: Path, text: str, spec: WindowSpec, contract: Contract) -> list[Story]:
    """The stories of a transcript.

    Args:
        path: as messages name it.
        text: of the file.
        spec: the window file it belongs to.
        contract: of the payments.

    Raises:
        TranscriptError: the first thing that is wrong.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark or error.context_mark).line + 1
        raise TranscriptError(f"{path}:{line}: not YAML: {error.problem} · {_HINT}") from None
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise TranscriptError(f"{path}:1: wanted stories, each a name with a list of steps · {_HINT}")
    reader = _StepReader(path, spec, contract)
    _data(path, yaml.MappingNode(root.tag, [(key, yaml.ScalarNode("", "")) for key, _ in root.value]))  # names differ
    stories = []
    for name, steps in root.value:
        where = _place(path, name)
        if not isinstance(steps, yaml.SequenceNode) or not steps.value:
            raise TranscriptError(f"{where}: story '{name.value}' has no list of steps · {_HINT}")
        stories.append(Story(where, name.value, tuple(reader.step(node) for node in steps.value)))
    return stories


class _StepReader:
    """Steps for one window: payments have the contract's columns, rows have the window's."""

    def __init__(self, path: Path, spec: WindowSpec, contract: Contract) -> None:
        self._path = path
        payment = _strict(
            "Payment",
            [("at", Moment), ("arrives", Moment | None, None), ("read", Moment | None, None)],
            [(c.name, _python_type(c.arrow_type) | None) for c in contract.columns if c.name != EVENT_TIME],
        )
        sets = [granularity.feature_set for granularity in spec.granularities]
        row = _strict(
            "Row",
            [("customer_id", str), ("window", Window), ("revision", int)]
            + ([("feature_set", str)] if len(sets) > 1 else [("feature_set", str, sets[0])])
            + [(name, _python_type(expression.type) | None) for name, expression in spec.outputs],
        )
        rows = Annotated[list[row], msgspec.Meta(min_length=1)] | str
        self._keys = {
            "send": payment.__struct_fields__, "expect live": row.__struct_fields__,
            "expect final": row.__struct_fields__, "expect exits": _Exits.__struct_fields__,
        }  # fmt: skip
        self._actions: dict[str, Any] = {
            "send": Annotated[list[payment], msgspec.Meta(min_length=1)],
            **dict.fromkeys(("clock", "watermark", "restart"), Moment),
            **dict.fromkeys(("expect live", "expect final"), rows),
            "expect exits": _Exits,
        }

    def step(self, node: yaml.Node) -> Step:
        """One step, checked."""
        where = _place(self._path, node)
        data = _data(self._path, node)
        if not isinstance(data, dict):
            raise TranscriptError(f"{where}: a step is `why: …` and what happens, got {_kind(data)} · {_HINT}")
        why = data.pop("why", None)
        if not isinstance(why, str) or not why.strip():
            raise TranscriptError(f"{where}: the step has no `why: …` · say in a sentence what it shows")
        for key in data:
            if key not in self._actions:
                raise TranscriptError(f"{_key_place(self._path, node, key)}: {_unknown(key, ['why', *self._actions])}")
        if len(data) != 1:
            got = " and ".join(data) or "nothing"
            raise TranscriptError(f"{where}: the step does {got} · wanted one of {', '.join(self._actions)}")
        ((action, given),) = data.items()
        content = self._converted(node, action, given)
        (value,) = (value for key, value in node.value if key.value == action)
        lines = [_place(self._path, item) for item in value.value] if isinstance(value, yaml.SequenceNode) else []
        return Step(where, " ".join(why.split()), action, content, tuple(lines))

    def _converted(self, node: yaml.Node, action: str, given: Any) -> Any:
        try:
            typed = msgspec.convert(given, self._actions[action], strict=False, dec_hook=_parse)
        except msgspec.ValidationError as error:
            known = self._keys.get(action, ())
            raise TranscriptError(_located(self._path, node, action, str(error), known)) from None
        if typed == NOTHING or not isinstance(typed, str):
            return _plain(typed)
        where = _key_place(self._path, node, action)
        raise TranscriptError(f"{where}: got '{typed}' · wanted a list of rows, or `{NOTHING}`")


def _strict(name: str, required: list[Any], optional: list[Any] | None = None) -> Any:
    """A struct that takes no other key; what is optional and absent stays absent."""
    fields = [*required, *[(field, kind | msgspec.UnsetType, msgspec.UNSET) for field, kind in optional or []]]
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, kw_only=True)


def _plain(typed: Any) -> Any:
    """Structs as dictionaries of what was given; Moments and Windows as they are."""
    if isinstance(typed, list):
        return [_plain(item) for item in typed]
    if not isinstance(typed, msgspec.Struct):
        return typed
    return {name: value for name, value in msgspec.structs.asdict(typed).items() if value is not msgspec.UNSET}


def _python_type(arrow_type: pa.DataType) -> Any:
    tests = {
        bool: pa.types.is_boolean, int: pa.types.is_integer, float: pa.types.is_floating,
        Decimal: pa.types.is_decimal, Moment: pa.types.is_timestamp,
    }  # fmt: skip
    return next((kind for kind, test in tests.items() if test(arrow_type)), str)


def _parse(kind: Any, text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError(f"got {_kind(text)}, wanted a time")  # noqa: TRY004 msgspec turns it into its own error
    return kind.parse(text)


def _data(path: Path, node: yaml.Node) -> Any:
    """The node as dictionaries, lists, strings and None; numbers and times stay the text that was written."""
    if isinstance(node, yaml.SequenceNode):
        return [_data(path, item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        data: dict[str, Any] = {}
        for key, value in node.value:
            if key.value in data:
                raise TranscriptError(f"{_place(path, key)}: '{key.value}' a second time · wanted it once")
            data[key.value] = _data(path, value)
        return data
    return None if node.style is None and node.value in ("null", "~", "") else node.value


def _located(path: Path, step: yaml.Node, action: str, message: str, known: Sequence[str]) -> str:
    """What msgspec says, with the line of the value it says it about."""
    said, _, at = message.partition(" - at `$")
    node = next(value for key, value in step.value if key.value == action)
    steps = re.findall(r"\.([^.\[`]+)|\[(\d+)\]", at)
    for name, index in steps:
        node = node.value[int(index)] if index else next(value for key, value in node.value if key.value == name)
    unknown = re.search(r"unknown field `(.+)`", said)
    if unknown:
        return f"{_key_place(path, node, unknown[1])}: {_unknown(unknown[1], known)}"
    names = [name for name, _ in steps if name]
    return f"{_place(path, node)}: {action}{': ' + names[-1] if names else ''}: {said[0].lower() + said[1:]} · {_HINT}"


def _unknown(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    wanted = f" · wanted one of {', '.join(known)}" if known else ""
    return f"unknown key '{key}'{wanted}{f'; did you mean {near[0]}?' if near else ''}"


def _place(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"


def _key_place(path: Path, node: yaml.Node, key: str) -> str:
    return _place(path, next(name for name, _ in node.value if name.value == key))


def _kind(data: Any) -> str:
    return {dict: "a mapping", list: "a list", str: "a text"}.get(type(data), "nothing")
