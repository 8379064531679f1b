"""Warming: whatever cannot be loaded is left for the attempt that needs it, and the worker is there all the same."""

from typing import Any

import pytest

from orchestrator.catalog_files import load_catalog
from workers.settings import WorkerSettings
from workers.warming import warm_up


def test_a_client_that_its_environment_does_not_let_be_made_keeps_no_worker_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://127.0.0.1:1")
    lane = load_catalog().lanes["research"]
    assert lane.model is not None
    given: dict[str, Any] = {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k", "GEMINI_API_KEY": "k"}
    warm_up([lane], [(lane.model.vendor, "default")], WorkerSettings(**given))
    assert f"{lane.model.vendor}/default: its client cannot be made" in caplog.text
