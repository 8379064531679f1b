"""The witness: in a quiet run the simulator's own ledger tells the same as the fleet's.

The simulator shares no code with the fleet, and its vendors err as they do by default; nobody is killed.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from contracts.states import JobState
from tests.acceptance.stacks import RunningFleet, job_of, running_fleet, seen_through

VENDORS = {"gemini": "google"}
"""The simulator names Google by its protocol."""
COUNTS_TOKENS = "count"
"""The simulator's kind of a request that counts tokens and asks no model."""


@dataclass(frozen=True)
class Both:
    """What either side wrote down about the same calls."""

    simulator: list[dict[str, Any]]
    ledger: list[Any]
    """The attempts of which the fleet says that their request left."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with running_fleet(tmp_path_factory.mktemp("quiet")) as fleet:
        for workflow in ("brief", "summary"):
            job = seen_through(fleet.client, fleet.client.submit(job_of(workflow)).id)
            assert job.state is JobState.DONE, job.why
        yield Both(calls_of(fleet), fleet.rows("SELECT * FROM attempt WHERE sent"))


def calls_of(fleet: RunningFleet) -> list[dict[str, Any]]:
    return [row for row in fleet.simulator_ledger() if row["kind"] != COUNTS_TOKENS]


def test_calls_and_tokens_agree_for_every_vendor(both: Both) -> None:
    seen, booked = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in both.simulator:
        vendor = VENDORS.get(row["vendor"], row["vendor"])
        seen[vendor, "calls"] += 1
        seen[vendor, "input"] += row["input_tokens"]
        seen[vendor, "output"] += row["output_tokens"]
    for attempt in both.ledger:
        booked[attempt.vendor, "calls"] += 1
        booked[attempt.vendor, "input"] += attempt.input_tokens
        booked[attempt.vendor, "output"] += attempt.output_tokens
    assert {vendor for vendor, _ in seen} == {"anthropic", "openai", "google"}
    assert booked == seen


def test_each_attempt_made_exactly_one_request(both: Both) -> None:
    asked = [row["attempt"] for row in both.simulator]
    assert len(asked) == len(set(asked))
    assert set(asked) == {attempt.id for attempt in both.ledger}


def test_each_request_went_to_the_model_that_is_booked_for_it(both: Both) -> None:
    models = {attempt.id: attempt.model for attempt in both.ledger}
    assert {row["attempt"]: row["model"] for row in both.simulator} == models


def test_no_sdk_tried_again_behind_the_fleet_s_back(both: Both) -> None:
    counts = {row["vendor"]: row["retry_count"] for row in both.simulator}
    told = {row["retry_count"] for row in both.simulator if row["vendor"] != "gemini"}
    assert told == {0}, "the SDKs that say how often they tried say 0"
    assert counts["gemini"] in (0, None), "Google's SDK says nothing"
