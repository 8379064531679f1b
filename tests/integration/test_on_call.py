"""What commands say to somebody who only has commands: where a job stands, and where to go on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.failures import Code
from orchestrator.cli import link
from orchestrator.cli.app import app
from orchestrator.cli.ending import FAILED, run
from orchestrator.ledger import tables
from tests.integration.ledgers import services_over, serving
from tests.integration.small_fleet import SmallFleet, fails


@pytest.fixture
def dead_brief(fleet: SmallFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A brief that failed at its draft, behind an API that the commands reach."""
    with serving(services_over(fleet.ledger, fleet.catalog, tmp_path)) as address:
        monkeypatch.setenv("FLEET_API_URL", address)
        fleet.hands.will("draft", fails(Code.REFUSED))
        job_id = fleet.submit("brief")
        fleet.run()
        yield job_id


def test_a_failed_job_names_the_commands_that_go_on_and_what_it_skipped_tells_the_cause_once(
    dead_brief: str, fleet: SmallFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, ("show", dead_brief)) == 0
    shown = capsys.readouterr().out
    assert run(app, ("watch", dead_brief)) == FAILED
    watched = capsys.readouterr().out

    for told in (shown, watched):
        for command in ("explain", "dead list --each --job", "replay"):
            assert f"`fleet {command} {dead_brief}`" in told
    assert all(row.id in shown for row in fleet.rows(tables.subtask, job_id=dead_brief))
    skipped = [row.why for row in fleet.rows(tables.subtask, job_id=dead_brief, state="skipped")]
    assert skipped and set(skipped) == {"needs draft, which is dead"}


def test_a_replay_says_which_person_its_jobs_wait_for(
    dead_brief: str, fleet: SmallFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.submit("brief")  # waits for a person too, and is none of the replay's
    assert run(app, ("replay", dead_brief, "--yes", "--reason", "mended", "--as", "carol")) == 0
    fleet.run()
    capsys.readouterr()
    (opened,) = fleet.rows(tables.replay)
    (new,) = fleet.rows(tables.job, replay_of=dead_brief)
    (asked,) = fleet.rows(tables.approval, job_id=new.id)

    assert run(app, ("replay", "--show", opened.id)) == 0

    shown = capsys.readouterr().out
    assert f"job {new.id} waits for a person other than carol" in shown
    assert f"fleet approvals approve {asked.id}" in shown
    assert shown.count("fleet approvals approve") == 1 < len(fleet.rows(tables.approval))


def test_an_artifact_is_printed_by_its_digest(
    dead_brief: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    content = b"no text: \xff\n"
    with link.fleet() as client:
        kept = client.upload(content)
    assert run(app, ("artifact", kept.digest)) == 0
    assert capfdbinary.readouterr().out == content
