"""What becomes of an attempt whose handler raises."""

import importlib
from pathlib import Path

import pytest

from contracts.bench import Nothing
from contracts.failures import Category, Code
from contracts.reports import Failed
from tests.doubles import Bench
from workers.attempts import outcome_of
from workers.task import Handler, Task

FULL = Path("/dev/full")
MORE_THAN_THERE_IS = 1 << 62
"""Bytes."""


def failed(state_dir: Path, work: Handler) -> Failed:
    task = Bench(state_dir).task()
    task.handoff = task.handoff.model_copy(update={"desired_output": Nothing.contract})
    outcome = outcome_of(task, work)
    assert isinstance(outcome, Failed)
    return outcome


def hoards(task: Task) -> Nothing:
    bytes(MORE_THAN_THERE_IS)
    return Nothing()


def lacks_a_library(task: Task) -> Nothing:
    importlib.import_module("a_library_that_was_not_deployed")
    return Nothing()


def writes_where_no_room_is(task: Task) -> Nothing:
    FULL.write_text("it")
    return Nothing()


def hides_it(task: Task) -> Nothing:
    try:
        return hoards(task)
    except MemoryError as error:
        raise ValueError("the answer cannot be read") from error


@pytest.mark.parametrize(
    ("work", "lacked"),
    [
        (hoards, "MemoryError"),
        (lacks_a_library, "ModuleNotFoundError"),
        (hides_it, "MemoryError"),
        pytest.param(
            writes_where_no_room_is,
            "OSError",
            marks=pytest.mark.skipif(not FULL.exists(), reason=f"{FULL} is not here"),
        ),
    ],
)
def test_work_that_failed_for_what_its_worker_lacks_may_be_tried_again(
    tmp_path: Path, work: Handler, lacked: str
) -> None:
    failure = failed(tmp_path, work).failure
    assert (failure.code, failure.category) == (Code.UNFIT_WORKER, Category.TRANSIENT)
    assert failure.sentence.startswith(f"its worker lacked what it needs: {lacked}")


def test_whatever_else_a_handler_raises_would_fail_the_same_way_again(tmp_path: Path) -> None:
    def divides(task: Task) -> Nothing:
        assert 1 // 0
        return Nothing()

    failure = failed(tmp_path, divides).failure
    assert (failure.code, failure.category) == (Code.HANDLER_ERROR, Category.DETERMINISTIC)
    assert failure.sentence.startswith("the handler raised ZeroDivisionError")
