"""Documents that name tests and queries: each of those exists, and no query is left out."""

import re
from pathlib import Path

from orchestrator.ledger.promises import AFTER_DRAIN, promises

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_the_tests_that_reliability_rests_on_exist() -> None:
    named = NAMED.findall((ROOT / "docs" / "reliability.md").read_text())
    assert len(named) >= 18
    for path, function in named:
        assert f"def {function}(" in (ROOT / path).read_text(), f"{path}::{function}"


def test_the_table_of_promises_names_every_query_and_no_other() -> None:
    told = (ROOT / "docs" / "reliability.md").read_text()
    _, _, section = told.partition("## Promises as queries")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    named = [name for row in rows for name in re.findall(r"`([a-z_/]+)`", row)]
    assert sorted(named) == sorted([*promises(), *(f"after_drain/{name}" for name in promises(AFTER_DRAIN))])
