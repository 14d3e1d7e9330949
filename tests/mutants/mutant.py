"""A seeded bug: one small textual edit of the product, the law it breaks, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class StaleMutantError(Exception):
    """The product has changed and the mutant has not: its old text does not occur exactly once."""


@dataclass(frozen=True)
class Mutant:
    """See the module.

    Attributes:
        name: short, with dashes.
        file: of the product, from the project's root.
        old: text that occurs exactly once in the file.
        new: what stands there instead.
        law: what goes wrong for whom, in a line.
        killers: test files (or test ids) of which one must fail, fastest first.
    """

    name: str
    file: str
    old: str
    new: str
    law: str
    killers: tuple[str, ...]

    def applied(self, text: str) -> str:
        """The file's text with the bug in it.

        Raises:
            StaleMutantError: see there.
        """
        found = text.count(self.old)
        if found != 1:
            raise StaleMutantError(
                f"{self.name}: got {found} places in {self.file} with the text {self.old!r}"
                " · wanted exactly one · write the mutant anew for what the code is now"
            )
        return text.replace(self.old, self.new)

    def problem(self, root: Path) -> str | None:
        """Why it cannot be applied to the project, nor its tests be run; None: it can."""
        missing = [test for test in self.killers if not (root / test.partition("::")[0]).is_file()]
        if missing:
            return f"{self.name}: no such tests: {', '.join(missing)} · name the file that kills it"
        try:
            self.applied((root / self.file).read_text(encoding="utf-8"))
        except (StaleMutantError, FileNotFoundError) as error:
            return str(error)
        return None
