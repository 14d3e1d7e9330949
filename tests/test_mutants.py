"""The seeded bugs fit the code as it is; that each is found by a test shows `make mutants`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, StaleMutantError
from tests.mutants.workshop import Workshop

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_to_the_code_as_it_is(mutant: Mutant):
    assert mutant.problem(ROOT) is None
    if mutant.file.endswith(".py"):
        text = (ROOT / mutant.file).read_text(encoding="utf-8")
        compile(mutant.applied(text), mutant.file, "exec")


def test_mutants_have_names_of_their_own_and_change_something():
    assert [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1] == []
    assert [mutant.name for mutant in MUTANTS if mutant.old == mutant.new or not mutant.law] == []


def mutant(**changes: object) -> Mutant:
    plain = {"name": "m", "file": "pyproject.toml", "old": "a = 1", "new": "a = 2", "law": "x", "killers": ()}
    return Mutant(**(plain | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "places"), [("b = 1", 0), ("a = 1\na = 1", 2)])
def test_a_mutant_that_the_code_has_left_behind_is_stale(text: str, places: int):
    with pytest.raises(StaleMutantError, match=f"m: got {places} places in pyproject.toml .* wanted exactly one"):
        mutant().applied(text)


def test_a_mutant_of_no_file_or_with_no_such_test_is_told():
    assert "No such file" in str(mutant(file="gone.py").problem(ROOT))
    assert "no such tests: tests/gone.py" in str(mutant(killers=("tests/gone.py::test_x",)).problem(ROOT))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A project of one line and one test."""
    root, copy = tmp_path / "root", tmp_path / "copy"
    for part in ("operators", "flink_app", "sql", "tests"):
        (root / part).mkdir(parents=True)
    (root / "README.md").touch()
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["flink", "e2e"]\n')
    (root / "operators" / "one.py").write_text("a = 1\n")
    (root / "tests" / "test_one.py").write_text(
        "import pytest\nfrom operators.one import a\n@pytest.mark.parametrize('n', [1], ids=['one - 1'])\n"
        "def test_it(n):\n    assert a == n\n    while a != 1: pass\n"
    )
    copy.mkdir()
    return Workshop(root, copy, limit_seconds=60)


@pytest.mark.slow
def test_a_killed_mutant_names_the_test_and_leaves_no_trace(workshop: Workshop):
    one = mutant(file="operators/one.py", killers=("tests/test_one.py",))
    for _ in range(2):
        verdict = workshop.try_out(one)
        assert (verdict.failed, verdict.is_error) == (True, False), verdict.output
        assert verdict.by.startswith("tests/test_one.py::test_it[one")
    assert not workshop.run(one.killers).failed


@pytest.mark.slow
def test_a_mutant_that_no_test_notices_survives(workshop: Workshop):
    verdict = workshop.try_out(mutant(file="operators/one.py", new="a = 1.0", killers=("tests/test_one.py",)))
    assert (verdict.failed, verdict.is_error) == (False, False), verdict.output


@pytest.mark.slow
def test_a_mutant_that_cannot_even_be_imported_is_no_kill(workshop: Workshop):
    verdict = workshop.try_out(mutant(file="operators/one.py", new="a = (", killers=("tests/test_one.py",)))
    assert (verdict.failed, verdict.is_error) == (False, True), verdict.output


@pytest.mark.slow
def test_a_mutant_that_never_ends_is_stopped(workshop: Workshop):
    workshop._limit_seconds = 3
    forever = mutant(file="operators/one.py", new="while True: pass", killers=("tests/test_one.py",))
    assert workshop.try_out(forever).by == "no end within 3 s"
