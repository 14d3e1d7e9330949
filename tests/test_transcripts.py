"""Each window file has a transcript and does what it says; and what a wrong transcript tells its author."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.delivered import CARD_VELOCITY, CONTRACT
from tests.transcript_file import TranscriptError, read_stories, story_names
from tests.transcripts import tell

HERE = Path(__file__).resolve().parent
SQL, TRANSCRIPTS = HERE.parent / "sql", HERE / "windows"
SHOWN = Path("tests/windows/card_velocity.yaml")
STORIES = [
    pytest.param(path.stem, number, id=f"{path.stem}: {name}")
    for path in sorted(TRANSCRIPTS.glob("*.yaml"))
    for number, name in enumerate(story_names(path) or ["unreadable"])
]


@pytest.fixture(scope="module")
def plan():
    """The window files as Flink's own planner compiles them."""
    from flink_app.planner import plan_sql, planning_environment

    return plan_sql(SQL, Path("sql"), planning_environment(short_lived=True))


def missing_transcripts(windows, transcripts):
    """One line for each window that no transcript vouches for, and for each transcript of no window.

    Args:
        windows: (name, whether it runs on slices): only those can be told, native windows run in Flink alone.
        transcripts: stems.
    """
    told = {name for name, on_slices in windows if on_slices}
    return [
        *(f"sql/windows/{n}.sql: no transcript · add tests/windows/{n}.yaml" for n in sorted(told - set(transcripts))),
        *(f"tests/windows/{n}.yaml: no window sql/windows/{n}.sql on slices" for n in sorted(set(transcripts) - told)),
    ]


@pytest.mark.flink
def test_every_window_has_a_transcript_and_every_transcript_a_window(plan):
    windows = [(window.name, window.spec is not None) for window in plan.windows]
    assert missing_transcripts(windows, [path.stem for path in TRANSCRIPTS.glob("*")]) == []


@pytest.mark.flink
@pytest.mark.parametrize(("stem", "number"), STORIES)
def test_a_window_does_what_its_transcript_says(plan, stem, number):
    (spec,) = (spec for spec in plan.specs if spec.name == stem)
    text = (TRANSCRIPTS / f"{stem}.yaml").read_text(encoding="utf-8")
    tell(read_stories(Path(f"tests/windows/{stem}.yaml"), text, spec, plan.contract)[number], spec, plan.contract)


@pytest.mark.flink
def test_the_example_of_the_guide_does_what_it_says(tmp_path):
    from flink_app.planner import plan_sql, planning_environment

    guide = (SQL / "README.md").read_text(encoding="utf-8")
    window, story = (re.search(rf"```{kind}\n(--.*?|.*?why:.*?)```", guide, re.DOTALL)[1] for kind in ("sql", "yaml"))
    (tmp_path / "windows").mkdir()
    (tmp_path / "windows" / "tiny.sql").write_text(window, encoding="utf-8")
    shutil.copy(SQL / "events.sql", tmp_path)
    plan = plan_sql(tmp_path, Path("sql"), planning_environment(short_lived=True))
    for each in read_stories(Path("sql/README.md"), story, plan.specs[0], plan.contract):
        tell(each, plan.specs[0], plan.contract)


def test_a_window_without_a_transcript_and_a_transcript_without_a_window_are_named():
    assert missing_transcripts([("a", True), ("b", True), ("session", False)], ["b", "old"]) == [
        "sql/windows/a.sql: no transcript · add tests/windows/a.yaml",
        "tests/windows/old.yaml: no window sql/windows/old.sql on slices",
    ]


# ---- wrong transcripts: GOOD with one thing changed

GOOD = """\
two payments and their row:
  - why: two in the window, the second four seconds late
    send:
      - {at: 12:00:01, amount: 10.00, channel: pos}
      - {at: 12:00:00.500, amount: 2.50, arrives: 12:00:04.500}
  - why: the window has ended
    clock: 12:00:06
  - why: both payments
    expect live:
      - {customer_id: anna, window: 11:59:35 to 12:00:05, tx_count: 2, amount_sum: 12.50, amount_avg: 6.25,
         amount_max: 10.00, merchant_count: 1, revision: 2}
  - why: half a window later
    clock: 12:00:11
  - why: the same payments in the next window
    expect live:
      - {customer_id: anna, window: 11:59:40 to 12:00:10, tx_count: 2, amount_sum: 12.50, amount_avg: 6.25,
         amount_max: 10.00, merchant_count: 1, revision: 2}
  - why: nothing can be final before two minutes are over
    expect final: nothing
  - why: nobody was turned away
    expect exits: {counted: 2}
"""
FIRST_ROW = GOOD[GOOD.index("      - {customer_id") : GOOD.index("  - why: half a window")]


def told(text):
    for story in read_stories(SHOWN, text, CARD_VELOCITY, CONTRACT):
        tell(story, CARD_VELOCITY, CONTRACT)


def complaint(text):
    """What the author of this transcript reads."""
    with pytest.raises(TranscriptError) as caught:
        told(text)
    return str(caught.value)


def changed(old, new):
    assert GOOD.count(old) >= 1, old
    return GOOD.replace(old, new, 1)


def test_a_right_transcript_passes():
    told(GOOD)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("clock: 12:00:06", "clok: 12:00:06", "7: unknown key 'clok' · wanted one of why, send, clock, "),
        ("clock: 12:00:06", "clok: 12:00:06", "; did you mean clock?"),
        ("amount: 2.50", "amout: 2.50", "5: unknown key 'amout' · wanted one of at, arrives, read, event_id, "),
        ("amount: 2.50", "event_time: 12:00:01", "5: unknown key 'event_time'"),
        (", merchant_count: 1", "", "10: expect live: object missing required field `merchant_count`"),
        ("revision: 2}", "revision: 2, rev: 2}", "11: unknown key 'rev' · wanted one of customer_id, window, revision"),
        ("counted: 2", "dropped: 2", "21: unknown key 'dropped' · wanted one of counted, duplicate, malformed"),
        ("at: 12:00:01, ", "", "4: send: object missing required field `at`"),
        ("at: 12:00:01, ", "at: 12:00:01, at: 12:00:02, ", "4: 'at' a second time · wanted it once"),
        ("why: both payments", "clock: 12:00:06", "8: the step has no `why: …` · say in a sentence what it shows"),
        ("why: both payments", "why:", "8: the step has no `why: …` · say in a sentence what it shows"),
        ("    clock: 12:00:06\n", "", "6: the step does nothing · wanted one of send, clock, watermark, restart"),
        (
            "clock: 12:00:06",
            "clock: 12:00:06\n    restart: 12:00:06",
            "6: the step does clock and restart · wanted one",
        ),
    ],
)
def test_a_key_that_is_unknown_missing_or_too_much_is_named(old, new, said):
    assert said in complaint(changed(old, new)).replace(f"{SHOWN}:", "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tx_count: 2", "tx_count: two", "10: expect live: tx_count: expected `int | null`, got `str`"),
        ("tx_count: 2", "tx_count: 2.5", "10: expect live: tx_count: expected `int | null`, got `str`"),
        ("amount_max: 10.00", "amount_max: ten", "11: expect live: amount_max: invalid decimal string"),
        ("amount: 2.50", "amount: [2.50]", "5: send: amount: expected `decimal | null`, got `array`"),
        ("at: 12:00:01,", "at: 12 o'clock,", "4: send: at: '12 o'clock' is not a time like 12:00:03.500"),
        ("at: 12:00:01,", "at: 24:00:00,", "4: send: at: '24:00:00' is not a time like 12:00:03.500"),
        ("at: 12:00:01,", "at: 12:00:01.2345,", "4: send: at: '12:00:01.2345' is not a time like 12:00:03.500"),
        ("at: 12:00:01,", "at: null,", "4: send: at: got nothing, wanted a time"),
        ("11:59:35 to 12:00:05", "12:00:05", "10: expect live: window: '12:00:05' is not a window like 12:00:00 to 12"),
        ("clock: 12:00:06", "clock: [12:00:06]", "7: clock: got a list, wanted a time"),
        ("final: nothing", "final: none", "19: got 'none' · wanted a list of rows, or `nothing`"),
        ("final: nothing", "final: []", "19: expect final: expected `array` of length >= 1"),
        ("exits: {counted: 2}", "exits: 2", "21: expect exits: expected `object`, got `str`"),
        (
            "  - why: both payments\n",
            "  - both payments\n  - why: x\n",
            "8: a step is `why: …` and what happens, got a",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_named(old, new, said):
    assert said in complaint(changed(old, new)).replace(f"{SHOWN}:", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: wanted stories, each a name with a list of steps"),
        ("- a list", "1: wanted stories"),
        ("a: 1", "1: story 'a' has no list of steps"),
        ("a: []", "1: story 'a' has no list of steps"),
        ("a: [", "1: not YAML: "),
        ("a:\n  - why: to say: it", "2: not YAML: mapping values are not allowed here"),
        (GOOD + GOOD, "22: 'two payments and their row' a second time · wanted it once"),
    ],
)
def test_a_file_that_is_no_transcript_says_so(text, said):
    assert complaint(text).startswith(f"{SHOWN}:{said}")


def test_a_wrong_value_is_shown_beside_the_right_one():
    said = complaint(changed("amount_avg: 6.25", "amount_avg: 6.26")).splitlines()
    assert said[0] == f"{SHOWN}:8: expect live at 12:00:06: 1 wrong"
    assert said[1] == "  why: both payments"
    assert "tx_count" in said[2]
    assert said[3].split() == [
        "wrong",
        "card_velocity",
        "anna",
        *["11:59:35", "to", "12:00:05", "2", "12.50", ">6.250000<", "10.00", "1", "2"],
    ]
    assert said[4].split() == [
        "wanted",
        "card_velocity",
        "anna",
        *["11:59:35", "to", "12:00:05", "2", "12.50", ">6.26<", "10.00", "1", "2"],
    ]
    assert said[5].startswith("  do: correct the window file, or the transcript")


def test_a_wrong_revision_is_a_wrong_row():
    assert ">2<" in complaint(changed("revision: 2", "revision: 1"))


def test_an_expected_row_that_did_not_come_is_missing():
    said = complaint(GOOD.replace(FIRST_ROW, FIRST_ROW + FIRST_ROW.replace("anna", "ben"))).splitlines()
    assert said[0].endswith(": 1 missing")
    assert [line.split()[:2] for line in said[3:5]] == [["card_velocity", "anna"], ["missing", "card_velocity"]]


def test_the_same_row_expected_twice_is_missing_once():
    assert complaint(GOOD.replace(FIRST_ROW, FIRST_ROW * 2)).splitlines()[0].endswith(": 1 missing")


def test_a_row_that_was_not_expected_is_surplus():
    assert (
        complaint(changed(f"    expect live:\n{FIRST_ROW}", "    expect live: nothing\n"))
        .splitlines()[0]
        .endswith("8: expect live at 12:00:06: 1 surplus")
    )


def test_a_row_of_another_window_is_missing_and_surplus():
    assert (
        complaint(changed("11:59:35 to 12:00:05", "11:59:36 to 12:00:05"))
        .splitlines()[0]
        .endswith(": 1 missing, 1 surplus")
    )


def test_rows_that_nobody_expected_by_the_end_fail_the_story():
    said = complaint(GOOD[: GOOD.index("  - why: the same payments")])
    assert said.startswith(f"{SHOWN}:1: 'two payments and their row' ends with 1 live rows that no step expected")
    assert "11:59:40 to 12:00:10" in said


def test_wrong_exits_are_counted_out():
    said = complaint(changed("{counted: 2}", "{counted: 1, too_late: 1}"))
    assert "20: expect exits: counted: got 2, wanted 1 · too_late: got 0, wanted 1" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (", arrives: 12:00:04.500", "", "5: got a payment that arrives at 12:00:00.500 and is read at 12:00:00.500"),
        ("arrives: 12:00:04.500", "read: 12:00:00.400", "5: got a payment that arrives at 12:00:00.500 and is read at"),
        ("clock: 12:00:06", "clock: 12:00:04.499", "6: got 12:00:04.499 · wanted 12:00:04.500 or later, the story's"),
        ("clock: 12:00:06", "restart: 12:00:04.499", "6: got 12:00:04.499 · wanted 12:00:04.500 or later"),
        (
            "clock: 12:00:11",
            "watermark: 12:00:00",
            "12: got 12:00:00 · wanted at most 11:58:05.999 (the clock, 12:00:06",
        ),
        (
            "clock: 12:00:11",
            "watermark: 11:58:00\n  - why: back\n    watermark: 11:58:00",
            "14: got 11:58:00 · wanted at most 11:58:05.999 (the clock, 12:00:06, minus",
        ),
    ],
)
def test_time_does_not_go_back(old, new, said):
    assert said in complaint(changed(old, new))


def test_a_file_that_cannot_be_read_is_one_failing_test(tmp_path):
    broken = tmp_path / "a.yaml"
    for text in ("a: [", "- x", "", "\x00"):
        broken.write_text(text)
        assert story_names(broken) == []
