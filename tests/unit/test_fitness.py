"""When a worker is taken for unfit: by what its last attempts lacked, whichever of its processes had them."""

import os

import pytest

from contracts.failures import Code, Failure
from contracts.reports import Failed, Report
from workers.fitness import UNFIT_IN_A_ROW, Fitness


def failed(code: Code) -> Report:
    return Report(outcome=Failed(failure=Failure(code=code, sentence="it failed")), worker_seconds=0.0)


def test_so_many_attempts_in_a_row_that_lacked_something_are_a_loss() -> None:
    fitness = Fitness()
    for _ in range(UNFIT_IN_A_ROW):
        assert not fitness.lost
        fitness.ended(failed(Code.UNFIT_WORKER))
    assert fitness.lost


def test_whatever_else_comes_of_an_attempt_shows_that_its_worker_can_work() -> None:
    fitness = Fitness()
    for _ in range(UNFIT_IN_A_ROW):
        fitness.ended(failed(Code.UNFIT_WORKER))
        fitness.ended(failed(Code.OVERLOADED))
    assert not fitness.lost


def test_a_loss_stays_though_an_attempt_from_before_it_ends_well() -> None:
    fitness = Fitness()
    for code in [Code.UNFIT_WORKER] * UNFIT_IN_A_ROW + [Code.REFUSED]:
        fitness.ended(failed(code))
    assert fitness.lost


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_children_that_it_forked_tell_their_parent() -> None:
    fitness = Fitness()
    for _ in range(UNFIT_IN_A_ROW):
        if (child := os.fork()) == 0:
            fitness.ended(failed(Code.UNFIT_WORKER))
            os._exit(0)
        os.waitpid(child, 0)
    assert fitness.lost
