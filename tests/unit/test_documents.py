"""Documents that name tests: each of those exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_the_tests_that_reliability_rests_on_exist() -> None:
    named = NAMED.findall((ROOT / "docs" / "reliability.md").read_text())
    assert len(named) >= 18
    for path, function in named:
        assert f"def {function}(" in (ROOT / path).read_text(), f"{path}::{function}"
