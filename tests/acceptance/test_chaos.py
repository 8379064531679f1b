"""Chaos, a smoke of it: every fault that has a name, under load, on PostgreSQL and a broker of the run's own.

It takes some minutes, so that it runs only where somebody named a PostgreSQL for the tests; `make chaos` does the
same on other stacks, and for longer.
"""

import os

import pytest

from tests.acceptance.stacks import DATABASE
from tests.chaos.__main__ import SMOKE_SUBTASKS, run
from tests.chaos.faults import BY_NAME_ONLY, FAULTS, left_out
from tests.chaos.servers import NotHere

NOT_ON_POSTGRESQL = {name for name, fault in FAULTS.items() if fault.needs == "sqlite"}
NOT_EVERYWHERE = {"clock-skew", "ledger-full"} | {
    name for name, fault in FAULTS.items() if fault.needs == "Linux"
}


@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.environ.get(DATABASE), reason=f"{DATABASE} is not set")
def test_a_fleet_under_every_fault_keeps_what_it_promised() -> None:
    """Fails where a promise was broken, where a witness tells another story, where a fault never bit, where what
    the faults must bring about never happened, and where less was granted than was asked for."""
    try:
        verdict, monkey = run("postgresql", seed=7, seconds=0, subtasks=SMOKE_SUBTASKS)
    except NotHere as missing:
        pytest.skip(str(missing))
    assert verdict.violations == []
    assert [figure for figure in verdict.figures if not figure.holds(alone=False)] == []
    without = {fault.name for fault in left_out(monkey.stack)}
    assert set(monkey.done) == set(FAULTS) - BY_NAME_ONLY - without
    assert without <= NOT_ON_POSTGRESQL | NOT_EVERYWHERE
