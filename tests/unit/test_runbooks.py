"""Alerts and runbooks: each alert and each category of dead letters has its page, and what they name exists."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from contracts.failures import CATEGORY_OF, Category
from orchestrator.cli.app import app
from orchestrator.reads.figures.names import Figure
from orchestrator.reads.figures.standing import SILENT_SHOWN_SECONDS
from orchestrator.telemetry import Metric

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
PAGES = sorted(RUNBOOKS.rglob("*.md"))
SUFFIXES = ("_total", "_bucket", "_sum", "_count")


def alerts() -> list[dict[str, Any]]:
    read = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def commands_in(page: Path) -> set[tuple[str, ...]]:
    """What a page tells to type, as words up to the first that is no command's name."""
    typed = re.findall(r"`fleet ([^`]*)`", page.read_text())
    return {tuple(re.match(r"[a-z ]*", line)[0].split()) for line in typed}  # type: ignore[index]


def test_each_alert_has_its_page_and_no_page_is_of_none() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert {page.stem for page in (RUNBOOKS / "alerts").iterdir()} == names
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"docs/runbooks/alerts/{alert['alert']}.md"
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_each_category_has_its_page_which_names_every_code() -> None:
    pages = {page.stem: page.read_text() for page in (RUNBOOKS / "dead-letters").iterdir()}
    assert pages.keys() == {category.value for category in Category}
    for code, category in CATEGORY_OF.items():
        assert f"`{code}`" in pages[category], code


def test_what_alerts_measure_is_exported() -> None:
    known = {name.value for name in (*Figure, *Metric)}
    for alert in alerts():
        measured = re.findall(r"fleet_\w+", alert["expr"])
        assert measured, alert["alert"]
        for name in measured:
            assert {name, *(name.removesuffix(suffix) for suffix in SUFFIXES)} & known, name


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool, which comes with Prometheus, is not here")
def test_each_alert_fires_on_what_it_is_for_and_on_a_calm_day_none_does() -> None:
    ran = subprocess.run(
        ("promtool", "test", "rules", ROOT / "deploy" / "alerts.test.yml"), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_is_tried() -> None:
    groups = yaml.safe_load((ROOT / "deploy" / "alerts.test.yml").read_text())["tests"]
    tried = [case for group in groups for case in group["alert_rule_test"]]
    names = {alert["alert"] for alert in alerts()}
    assert {case["alertname"] for case in tried if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in tried if not case.get("exp_alerts")} == names


def test_no_alert_waits_longer_than_a_silent_worker_is_shown() -> None:
    (silent,) = [alert for alert in alerts() if Figure.WORKERS_SILENT in alert["expr"]]
    minutes = int(silent.get("for", "0m").removesuffix("m"))
    assert minutes * 60 < SILENT_SHOWN_SECONDS / 2


def test_what_stands_only_once_something_was_there_calls_while_it_is_missing() -> None:
    (drill,) = [alert for alert in alerts() if Figure.ESCALATION_DRILL_AGE_SECONDS in alert["expr"]]
    assert f"or absent({Figure.ESCALATION_DRILL_AGE_SECONDS})" in drill["expr"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_looks_first_and_by_a_command(page: Path) -> None:
    if page.name == "README.md":
        return
    _, _, look = page.read_text().partition("**Look.**\n\n- ")
    first, _, _ = look.partition("\n- ")
    assert "`fleet " in first


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_tells_to_type_is_a_command(page: Path) -> None:
    for words in commands_in(page):
        known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        for word in words:
            assert word in known, f"fleet {' '.join(words)}"
            known = getattr(known[word], "commands", None)
            if known is None:
                break  # what follows is an argument


def test_the_index_links_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w/-]+\.md)\)", (RUNBOOKS / "README.md").read_text()))
    assert linked == {str(page.relative_to(RUNBOOKS)) for page in PAGES} - {"README.md"}
