"""Dead letters by what they died of: signed where they are written, read as a few rows however many they are."""

import json
import re
from typing import Any

import httpx2
import pytest

from contracts.failures import Code
from orchestrator import unsigned
from orchestrator.cli.app import app
from orchestrator.cli.ending import run
from orchestrator.deciders.signing import normalised, signature
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ids import new_id
from tests.integration.ledgers import Rows, problem_of, rows_of
from tests.integration.small_fleet import SmallFleet, fails, insert_rows


def buried(rows: Rows, sentence: str, code: str = "refused", lane: str = "draft", **values: Any) -> str:
    """A signed dead letter of a job of its own; the id of its subtask."""
    of_the_job = {"state": values.pop("state", "failed"), "ended_at": values.pop("ended_at", rows.at)}
    job_id = rows.job(values.pop("workflow", "brief"), **of_the_job)
    subtask_id = rows.subtask(job_id, lane, "dead", ended_at=rows.at)
    alike = normalised(sentence)
    signed = signature("deterministic", code, lane, "openai", alike)
    whose = {"lane": lane, "code": code, "vendor": "openai", "sentence": sentence}
    return rows.dead_letter(job_id, subtask_id, normalised=alike, signature=signed, **whose | values)


def test_what_died_of_the_same_is_signed_alike_and_with_its_vendor(fleet: SmallFleet) -> None:
    sentences = ("the vendor refused field 1 of “a”", "the vendor refused field 2 of “b c”", "no such model")
    for sentence in sentences:
        fleet.hands.will("draft", fails(Code.BAD_REQUEST, sentence))
        fleet.submit("summary")
        fleet.run()

    one, two, other = (row for row in sorted(fleet.rows(tables.dead_letter), key=lambda row: row.at))
    assert one.signature == two.signature != other.signature
    assert one.normalised.startswith("bad_request: the vendor refused field … of … (")
    route = fleet.handed("draft")[0].route
    assert route is not None
    assert {row.vendor for row in (one, two, other)} == {route.vendor}


def test_thousands_of_failures_read_as_three_rows(http: httpx2.Client, ledger: Ledger, rows: Rows) -> None:
    """4,000 letters of one job each, as a vendor's bad hour leaves them."""
    rows.job(state="failed", ended_at=rows.at)
    digest = rows_of(ledger, tables.job)[0].snapshot
    made: dict[str, list[dict[str, Any]]] = {"job": [], "subtask": [], "letter": []}
    for number in range(4000):
        job_id, subtask_id = new_id(), new_id()
        sentence, code, lane = (
            (f"timeout: no answer after {number} s", "timeout", "draft"),
            (f"refused: request {new_id()} was refused", "refused", "draft"),
            (f"timeout: no answer after {number} s", "timeout", "review"),
        )[number % 3]
        alike = normalised(sentence)
        job = {"id": job_id, "tenant": f"t{number % 2}", "portfolio": "p", "workflow": "brief"}
        told = {"purpose": "feature", "reason": "r", "requested_by": "alice", "priority": 1, "inputs": {}}
        made["job"].append(
            job | told | {"snapshot": digest, "state": "failed", "created_at": 1.0, "ended_at": 2.0}
        )
        of = {"job_id": job_id, "tenant": job["tenant"], "lane": lane}
        step = {"id": subtask_id, "step": lane, "item": 0, "round": 1, "name": lane, "purpose": "feature"}
        made["subtask"].append(
            of | step | {"priority": 1, "state": "dead", "created_at": 1.0, "ended_at": 2.0}
        )
        signed = signature("transient", code, lane, "openai", alike)
        died = {"subtask_id": subtask_id, "category": "transient", "code": code, "vendor": "openai"}
        said = {"sentence": sentence, "normalised": alike, "signature": signed, "at": rows.at - number}
        made["letter"].append(of | died | said)
    insert_rows(ledger, tables.job, *made["job"])
    insert_rows(ledger, tables.subtask, *made["subtask"])
    insert_rows(ledger, tables.dead_letter, *made["letter"])

    groups = http.get("/v1/dead-letters/groups").json()["items"]

    assert sorted((group["lane"], group["code"], group["count"]) for group in groups) == [
        ("draft", "refused", 1333),
        ("draft", "timeout", 1334),
        ("review", "timeout", 1333),
    ]
    assert groups[0]["tenants"] == ["t0", "t1"]
    assert groups[0]["workflows"] == ["brief"]
    assert groups[0]["oldest_at"] < groups[0]["latest_at"]
    letter = http.get(f"/v1/dead-letters/{groups[0]['example_id']}").json()
    assert letter["sentence"] == groups[0]["sentence"]
    assert letter["signature"] == groups[0]["signature"]


def test_a_signature_narrows_by_its_first_digits_and_so_do_the_other_words(
    http: httpx2.Client, rows: Rows
) -> None:
    alike = [buried(rows, f"it refused {number}") for number in range(3)]
    other = buried(rows, "it is cut", code="cut", category="output", workflow="summary", tenant="zeta")
    signed = http.get(f"/v1/dead-letters/{alike[0]}").json()["signature"]

    for given in (signed, signed.removeprefix("sha256:")[:8]):
        page = http.get("/v1/dead-letters", params={"signature": given}).json()
        assert {line["subtask_id"] for line in page["items"]} == set(alike)
        (group,) = http.get("/v1/dead-letters/groups", params={"signature": given}).json()["items"]
        assert (group["count"], group["vendor"]) == (3, "openai")
    for name, value in {"workflow": "summary", "tenant": "zeta", "code": "cut", "category": "output"}.items():
        page = http.get("/v1/dead-letters", params={name: value}).json()
        assert [line["subtask_id"] for line in page["items"]] == [other], name
    assert "no dead letter" in problem_of(
        http.get("/v1/dead-letters", params={"signature": "0123456789"}), 404
    )
    assert "first 6" in problem_of(http.get("/v1/dead-letters/groups", params={"signature": "xyz"}), 404)


def test_groups_are_paged_to_their_end(http: httpx2.Client, rows: Rows) -> None:
    kinds = ("one", "two", "three", "four", "five")
    for kind in kinds:
        buried(rows, f"died of {kind}")
    buried(rows, "died of two")

    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        given = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/dead-letters/groups", params=given).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert (seen[0]["sentence"], seen[0]["count"]) == ("died of two", 2)
    assert sorted(group["sentence"] for group in seen) == sorted(f"died of {kind}" for kind in kinds)
    assert "cursor" in problem_of(http.get("/v1/dead-letters/groups", params={"cursor": "nonsense"}), 422)


def test_letters_of_before_there_were_signatures_get_theirs(
    http: httpx2.Client, ledger: Ledger, rows: Rows
) -> None:
    job_id = rows.job(state="failed", ended_at=rows.at)
    for item in range(3):
        dead = rows.subtask(job_id, "draft", "dead", item=item, vendor="openai", ended_at=rows.at)
        rows.dead_letter(job_id, dead, sentence=f"it refused request {item}")

    assert unsigned.sign(ledger) == 3
    assert unsigned.sign(ledger) == 0

    (group,) = http.get("/v1/dead-letters/groups").json()["items"]
    assert (group["count"], group["vendor"]) == (3, "openai")
    assert group["signature"] == signature(
        "deterministic", "refused", "draft", "openai", "it refused request …"
    )


def test_explain_tells_lineage_both_ways_and_how_to_run_it_again(http: httpx2.Client, rows: Rows) -> None:
    first = rows.job(state="failed", why="draft: it died", ended_at=rows.at)
    dead = rows.subtask(first, "draft", "dead", ended_at=rows.at)
    rows.dead_letter(first, dead)
    other = rows.job(state="failed", why="draft: it died", replay_of=first, lineage=first, ended_at=rows.at)
    assert http.get(f"/v1/jobs/{first}/explain").json()["again"] == f"fleet replay {other}"
    again = rows.job(state="done", why="done", replay_of=other, lineage=first, ended_at=rows.at)

    told = http.get(f"/v1/jobs/{first}/explain").json()
    assert [(kin["id"], kin["relation"]) for kin in told["kin"]] == [(other, "replayed_as")]
    assert told["again"] is None, "it was run again, and is done"
    assert http.get(f"/v1/subtasks/{dead}/explain").json()["again"] is None
    told = http.get(f"/v1/jobs/{again}/explain").json()
    assert [(kin["id"], kin["relation"]) for kin in told["kin"]] == [(other, "replay_of")]
    assert told["again"] is None
    letter = http.get(f"/v1/dead-letters/{dead}").json()
    assert [kin["relation"] for kin in letter["kin"]] == ["replayed_as"]
    assert letter["again"] is None


def test_the_command_shows_groups_then_letters_then_one_whole(
    api: str, rows: Rows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEET_API_URL", api)
    *alike, taken_up = [buried(rows, f"it refused request {number}") for number in range(4)]
    (letter,) = (row for row in rows_of(rows.ledger, tables.dead_letter) if row.subtask_id == taken_up)
    again = rows.job(replay_of=letter.job_id)

    def said(*arguments: str) -> str:
        assert run(app, arguments) == 0
        return capsys.readouterr().out

    (group,) = json.loads(said("dead", "--json"))["items"]
    digits = group["signature"].removeprefix("sha256:")[:10]
    shown = said("dead")
    assert shown.splitlines()[1].split()[:5] == ["3", "draft", "openai", "deterministic", "refused"]
    assert digits in shown
    assert f"`fleet dead show {group['example_id']}`" in shown
    assert said("dead", "show", group["example_id"]).rstrip().endswith("says first what it would do")
    assert said("dead", "list", "--tenant", "nobody") == "no dead letters\n"
    narrowed = said("dead", "list", "--tenant", "acme", "--lane", "draft")
    assert f"`fleet replay --signature {digits} --lane draft --tenant acme`" in narrowed
    assert f"`fleet dead list --each --signature {digits} --lane draft --tenant acme`" in narrowed
    (last,) = (row for row in rows_of(rows.ledger, tables.dead_letter) if row.subtask_id == alike[2])
    assert f"`fleet replay {last.job_id}`" in said("dead", "list", "--job", last.job_id)
    assert "to run them again" not in said("dead", "list", "--replayed")
    each = said("dead", "list", "--each", "--signature", digits)
    assert all(subtask_id in each for subtask_id in alike)
    assert taken_up not in each
    assert taken_up in said("dead", "list", "--each", "--replayed")
    first = said("dead", "list", "--each", "--lane", "draft", "--signature", digits, "--limit", "1")
    assert f"more: fleet dead list --each --signature {digits} --lane draft --cursor " in first
    second = said(*first.split("more: fleet ")[1].split())
    assert [subtask_id in first for subtask_id in alike] == [subtask_id not in second for subtask_id in alike]
    whole = said("dead", "show", taken_up)
    assert f"replayed as  {again} (brief, running)" in whole
    assert "docs/runbooks/dead-letters/deterministic.md" in whole
    assert "a replay has run it again" in whole
    under_way = said("dead", "show", buried(rows, "it lost a branch", state="running", ended_at=None))
    assert "to run it again" not in under_way and "a replay has run it again" not in under_way
    assert under_way.endswith("its job is still under way; once that has ended, it can be run again\n")
    assert run(app, ("dead", "list", "--signature", "0123456789")) == 1
    assert capsys.readouterr().err == "fleet: no dead letter has a signature that begins with 0123456789\n"


def test_a_group_says_how_many_of_it_a_replay_leaves_alone(
    api: str, rows: Rows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Letters of jobs that are cancelled or still open: they are listed, and no filter finds their jobs."""
    monkeypatch.setenv("FLEET_API_URL", api)
    buried(rows, "it refused request 1")
    assert run(app, ("dead",)) == 0
    assert "leaves" not in capsys.readouterr().out
    buried(rows, "it refused request 2", state="cancelled")
    buried(rows, "it refused request 3", state="running", ended_at=None)
    assert run(app, ("dead",)) == 0
    assert "a replay by signature leaves 2 of these letters alone" in capsys.readouterr().out
    assert run(app, ("dead", "--json")) == 0
    (group,) = json.loads(capsys.readouterr().out)["items"]
    assert (group["count"], group["replayable"]) == (3, 1)
    assert run(app, ("replay", "--signature", group["signature"][7:17], "--json")) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == 1


def test_what_a_replay_took_up_or_somebody_discarded_needs_nobody(http: httpx2.Client, rows: Rows) -> None:
    waits, taken_up, discarded = (
        buried(rows, f"it refused {number}", at=rows.at - 100) for number in range(3)
    )
    by_id = {row.subtask_id: row for row in rows_of(rows.ledger, tables.dead_letter)}
    rows.job(state="done", ended_at=rows.at, replay_of=by_id[taken_up].job_id)
    http.post(f"/v1/dead-letters/{discarded}/discard", json={"by": "bob", "why": "the page is gone"})

    def listed(**given: str) -> set[str]:
        page = http.get("/v1/dead-letters", params=given).json()
        return {line["subtask_id"] for line in page["items"]}

    assert listed() == {waits}
    assert listed(replayed="yes") == {taken_up}
    assert listed(replayed="all", discarded="all") == {waits, taken_up, discarded}
    figures = http.get("/metrics").text
    assert 'fleet_dead_letters{lane="draft"} 1.0' in figures
    (oldest,) = re.findall(r"^fleet_oldest_dead_letter_seconds (\S+)", figures, re.MULTILINE)
    assert 100 <= float(oldest) < 160
