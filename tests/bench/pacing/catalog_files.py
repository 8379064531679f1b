"""The catalog of one run: the files of this folder, with the scenario's limits and lengths put in."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from tests.bench.pacing.scenario import Scenario

TEMPLATES = Path(__file__).parent / "catalog"


def write(scenario: Scenario, folder: Path) -> None:
    """Lanes, workflows and the scenario's vendor, for `FLEET_CATALOG`."""
    for template in TEMPLATES.glob("*/*.yaml"):
        entry = yaml.safe_load(template.read_text(encoding="utf-8"))
        if entry.get("lane") == "load":
            entry["model"] |= _model(scenario)
        _dump(entry, folder / template.relative_to(TEMPLATES))
    _dump(_vendor(scenario), folder / "vendors" / f"{scenario.account.vendor}.yaml")


def _model(scenario: Scenario) -> dict[str, Any]:
    account = scenario.account
    return {
        "vendor": account.vendor,
        "group": account.group,
        "name": account.model,
        "max_output_tokens": scenario.max_output_tokens,
        "expected_output_tokens": int(scenario.mean_tokens),
    }


def _vendor(scenario: Scenario) -> dict[str, Any]:
    shipped = files("contracts") / "shipped" / "vendors" / f"{scenario.account.vendor}.yaml"
    vendor: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    vendor["groups"][scenario.account.group]["limits"] = {
        **{name: int(limit) for name, limit in scenario.limits.items()},
        "concurrency": 1000,
        **scenario.told,
    }
    return vendor


def _dump(entry: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(entry, sort_keys=False, allow_unicode=True), encoding="utf-8")
