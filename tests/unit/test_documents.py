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
    known = [*promises(), *(f"after_drain/{name}" for name in promises(AFTER_DRAIN))]
    assert sorted(_named_under("## Promises as queries")) == sorted(known)
    assert set(_named_under("## Fourteen promises")) <= set(known)


def _named_under(heading: str) -> list[str]:
    told = (ROOT / "docs" / "reliability.md").read_text()
    _, _, section = told.partition(heading)
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`([a-z_/]+)`", row)]
