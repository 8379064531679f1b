"""What becomes of an attempt whose handler raises."""

from pathlib import Path

from contracts.bench import Nothing
from contracts.failures import Category, Code
from contracts.reports import Failed
from tests.doubles import Bench
from workers.attempts import outcome_of
from workers.task import Handler, Task

MORE_THAN_THERE_IS = 1 << 62
"""Bytes."""


def failed(state_dir: Path, work: Handler) -> Failed:
    task = Bench(state_dir).task()
    task.handoff = task.handoff.model_copy(update={"desired_output": Nothing.contract})
    outcome = outcome_of(task, work)
    assert isinstance(outcome, Failed)
    return outcome


def test_work_that_was_refused_memory_may_be_tried_again(tmp_path: Path) -> None:
    def hoards(task: Task) -> Nothing:
        bytes(MORE_THAN_THERE_IS)
        return Nothing()

    failure = failed(tmp_path, hoards).failure
    assert (failure.code, failure.category) == (Code.OUT_OF_MEMORY, Category.TRANSIENT)


def test_whatever_else_a_handler_raises_would_fail_the_same_way_again(tmp_path: Path) -> None:
    def divides(task: Task) -> Nothing:
        assert 1 // 0
        return Nothing()

    failure = failed(tmp_path, divides).failure
    assert (failure.code, failure.category) == (Code.HANDLER_ERROR, Category.DETERMINISTIC)
    assert failure.sentence.startswith("the handler raised ZeroDivisionError")
