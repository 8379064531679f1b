"""Ladders and prerequisites in a catalog: what can never be climbed or supplied is refused before any work is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.lanes import Rung
from orchestrator.catalog_files import load_catalog
from tests.unit.test_catalog import overlay, problems

OPUS = {
    "vendor": "anthropic",
    "group": "opus",
    "name": "claude-opus-5-5",
    "tier": "frontier",
    "max_output_tokens": 100,
    "expected_output_tokens": 10,
    "timeout_seconds": 10,
}
OPENAI = OPUS | {"vendor": "openai", "group": "sol", "name": "gpt-6.1-sol"}

REFUSED: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "two things at once": ("draft", [{"richer": True, "lane": "review"}], "exactly one of richer"),
    "nothing": ("draft", [{}], "exactly one of richer"),
    "context on another rung": (
        "draft",
        [{"narrower": "less", "give": {"a": "draft"}}],
        "only a richer rung",
    ),
    "two persons": ("draft", [{"human": "shall it?"}] * 2, "asks a person on more than one rung"),
    "an effect": ("publish", [{"human": "shall it?"}], "only what changes nothing climbs"),
    "an unknown lane": ("draft", [{"lane": "ghost"}], "rung 1 names the unknown lane “ghost”"),
    "itself": ("draft", [{"lane": "draft"}], "which is no peer"),
    "another contract": ("draft", [{"lane": "research"}], "no one operation that makes brief.Draft@1"),
    "an unknown model": ("draft", [{"model": OPUS | {"name": "gpt-9"}}], "unknown model of anthropic/opus"),
    "a model for code": ("compute", [{"model": OPUS}], "and the lane has none of its own"),
    "a batch": ("draft", [{"model": OPUS | {"batch": True}}], "what has climbed is asked live"),
    "an unknown step": (
        "draft",
        [{"richer": True, "give": {"a": "ghost"}}],
        "unknown step as context “ghost”",
    ),
    "an unknown input": (
        "draft",
        [{"richer": True, "give": {"a": "inputs.ghost"}}],
        "unknown field of inputs “ghost”",
    ),
    "its reviewer's vendor": (
        "draft",
        [{"model": OPENAI}],
        "lane draft, rung 1 uses openai, and in workflow brief steps draft and review must be independent",
    ),
    "its author's vendor": ("review", [{"model": OPUS}], "steps review and draft must be independent"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_ladder_that_cannot_be_climbed_is_refused(tmp_path: Path, name: str) -> None:
    lane, ladder, said = REFUSED[name]
    assert said in problems(overlay(tmp_path, "lanes", lane, ladder=ladder))


def test_a_lane_says_its_ladder_and_a_job_keeps_what_it_leads_to(tmp_path: Path) -> None:
    card = yaml.safe_load(Path("contracts/shipped/lanes/review.yaml").read_text())
    (tmp_path / "lanes").mkdir()
    (tmp_path / "lanes" / "board.yaml").write_text(yaml.safe_dump(card | {"lane": "board"}))
    catalog = load_catalog(
        overlay(tmp_path, "lanes", "review", ladder=[{"lane": "board"}, {"human": "go on?"}])
    )

    rules = catalog.lanes["review"].enforced()
    assert any("could not be repaired: lane board, then a person" in rule for rule in rules)
    part = catalog.part_for(catalog.workflows["brief"])
    assert {"review", "board"} <= set(part.lanes)
    assert catalog.lanes["draft"].ladder and Rung(narrower="less").told() == "a narrower task"


PREREQUISITES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown workflow": ({"supplied_by": "ghost"}, "unknown workflow “ghost”"),
    "an unknown field": (
        {"inputs": {"question": "?", "nothing": 1}},
        "unknown field of brief.Inputs@1 “nothing”",
    ),
    "a missing field": ({"inputs": {"question": "{subject}"}}, "does not say the documents that"),
    "another placeholder": (
        {"inputs": {"question": "{tenant}", "documents": []}},
        "only {subject} is filled in",
    ),
}


@pytest.mark.parametrize("name", PREREQUISITES)
def test_a_prerequisite_that_cannot_be_supplied_is_refused(tmp_path: Path, name: str) -> None:
    changed, said = PREREQUISITES[name]
    given = {"question": "{subject}?", "documents": []}
    entry = {"prerequisite": "address", "supplied_by": "summary", "inputs": given} | changed
    (tmp_path / "prerequisites").mkdir()
    (tmp_path / "prerequisites" / "address.yaml").write_text(yaml.safe_dump(entry))
    assert said in problems(tmp_path)
