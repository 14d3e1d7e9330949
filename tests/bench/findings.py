"""What `make bench` has found so far: kept as JSON, so that a part can be measured again and the rest stays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Self

from tests.bench.payload import BENCH
from tests.bench.result import Result
from tests.bench.stages import Profile

_FILE: Final = BENCH / "results.json"


@dataclass(frozen=True)
class Findings:
    """Runs, and what belongs to them.

    Attributes:
        runs: all contenders, round by round.
        profiles: of some of them.
        commands: that measured them, oldest first.
        rows: number of payments -> the rows that were found equal to the oracle's, as text.
    """

    runs: Sequence[Result] = ()
    profiles: Sequence[Profile] = ()
    commands: Sequence[str] = ()
    rows: dict[int, str] = field(default_factory=dict)

    def beside(self, earlier: Self) -> Findings:
        """These, and of the earlier ones what was not measured again."""
        measured = {(run.title, run.parallelism) for run in self.runs}
        profiled = {(one.title, one.parallelism) for one in self.profiles}
        return Findings(
            [*(run for run in earlier.runs if (run.title, run.parallelism) not in measured), *self.runs],
            [*(one for one in earlier.profiles if (one.title, one.parallelism) not in profiled), *self.profiles],
            list(dict.fromkeys([*earlier.commands, *self.commands])),
            earlier.rows | self.rows,
        )

    def save(self) -> None:
        """What an hour has found survives what comes after it."""
        _FILE.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls) -> Self:
        """What was saved last; nothing if nothing was."""
        if not _FILE.exists():
            return cls()
        told = json.loads(_FILE.read_text())
        return cls(
            [Result(**run) for run in told["runs"]],
            [Profile(**one) for one in told["profiles"]],
            told["commands"],
            {int(payments): rows for payments, rows in told["rows"].items()},
        )
