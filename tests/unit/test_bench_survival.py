"""What the comparison under harm makes of its witness's lines."""

from pathlib import Path

import pytest

from tests.bench.survival.verdict import Bite, judged
from tests.bench.survival.witness import Did, Line, Witness


def line(task: str, did: Did, at: float) -> Line:
    return Line(task, did, at, pid=1, group=1)


def test_what_is_lost_doubled_and_back_is_told_by_the_lines_alone() -> None:
    lines = [
        line("once", Did.STARTED, 1),
        line("once", Did.APPLIED, 2),
        line("once", Did.FINISHED, 2),
        line("again", Did.STARTED, 1),
        line("again", Did.STARTED, 13),
        line("again", Did.APPLIED, 14),
        line("again", Did.FINISHED, 14),
        line("doubled", Did.STARTED, 1),
        line("doubled", Did.APPLIED, 2),
        line("doubled", Did.STARTED, 23),
        line("doubled", Did.APPLIED, 24),
        line("doubled", Did.FINISHED, 24),
        line("gone", Did.STARTED, 1),
    ]
    bite = Bite(3.0, frozenset({"again", "doubled", "gone"}))
    told = judged(lines, ["once", "again", "doubled", "gone", "unheard"], [bite])
    assert told.missing == {"gone", "unheard"}
    assert told.ran_twice == {"again", "doubled"}
    assert told.applied_twice == {"doubled"}
    assert told.back_seconds == (10.0, 20.0)
    assert (told.times, told.hit, told.not_back, told.missed) == (1, 3, 1, False)
    assert (told.back(0.5), told.back(0.99)) == (15.0, 20.0)


def test_a_harm_that_hit_nothing_once_is_told() -> None:
    assert judged([], [], [Bite(1.0, frozenset({"a"})), Bite(2.0, frozenset())]).missed


def test_a_run_that_was_cut_off_is_under_way_for_ever(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness.jsonl")
    with witness.run("ended"):
        witness.note("ended", Did.APPLIED)
    with pytest.raises(KeyError), witness.run("raised"):
        raise KeyError
    witness.note("cut", Did.STARTED)
    assert [each.task for each in witness.under_way()] == ["cut"]
    witness.note("late", Did.STARTED)
    assert [each.task for each in witness.under_way()] == ["cut", "late"]
    assert witness.shows("ended") and not witness.shows("cut")
