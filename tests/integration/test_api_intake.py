"""Handing over jobs: once, safely, and with one sentence where it is refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.catalog import Catalog
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from tests.integration.ledgers import counts, problem_of, rows_of, services_over, serving

JOB: dict[str, Any] = {
    "tenant": "acme",
    "portfolio": "docs",
    "workflow": "brief",
    "inputs": {"question": "What survives a crash?", "documents": [{"name": "notes", "text": "The ledger."}]},
    "purpose": "feature",
    "reason": "readers ask for it",
    "requested_by": "alice",
}


def test_a_job_is_accepted_and_links_to_what_follows(http: httpx2.Client, ledger: Ledger) -> None:
    answer = http.post("/v1/jobs", json=JOB)

    assert answer.status_code == 202
    body = answer.json()
    assert (body["state"], body["created"]) == ("accepted", True)
    assert answer.headers["location"] == body["links"]["self"] == f"/v1/jobs/{body['id']}"
    shown = http.get(body["links"]["self"]).json()
    assert (shown["reason"], shown["requested_by"], shown["result"]) == (JOB["reason"], "alice", None)
    assert counts(ledger)["event"] == 1


def test_the_same_key_and_body_answer_the_same_job(http: httpx2.Client, ledger: Ledger) -> None:
    headers = {"Idempotency-Key": "order-17"}
    first = http.post("/v1/jobs", json=JOB, headers=headers)
    again = http.post("/v1/jobs", json=JOB, headers=headers)

    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert again.json()["created"] is False
    assert counts(ledger)["job"] == 1


def test_the_order_of_names_makes_no_other_body(http: httpx2.Client, ledger: Ledger) -> None:
    headers = {"Idempotency-Key": "order-18"}
    turned = dict(reversed(JOB.items())) | {"inputs": dict(reversed(JOB["inputs"].items()))}
    first = http.post("/v1/jobs", json=JOB, headers=headers)
    again = http.post("/v1/jobs", json=turned, headers=headers)

    assert (first.status_code, again.status_code) == (202, 200)
    assert counts(ledger)["job"] == 1


def test_the_same_key_with_another_body_conflicts(http: httpx2.Client, ledger: Ledger) -> None:
    headers = {"Idempotency-Key": "order-17"}
    http.post("/v1/jobs", json=JOB, headers=headers)
    before = counts(ledger)

    sentence = problem_of(http.post("/v1/jobs", json=JOB | {"kpi": "other"}, headers=headers), 409)

    assert "order-17" in sentence
    assert counts(ledger) == before


def test_submissions_at_once_with_one_key_make_one_job(http: httpx2.Client, ledger: Ledger) -> None:
    def submit(number: int) -> httpx2.Response:
        return http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "race"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(16)))

    assert {answer.status_code for answer in answers} == {200, 202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum(answer.status_code == 202 for answer in answers) == 1
    assert counts(ledger)["job"] == 1


def test_first_submissions_at_once_without_a_key_are_all_accepted(
    http: httpx2.Client, ledger: Ledger
) -> None:
    """They meet at the same snapshot and the same document, which each of them would be the first to keep."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.post("/v1/jobs", json=JOB), range(8)))

    assert [answer.status_code for answer in answers] == [202] * 8, [answer.text for answer in answers]
    assert counts(ledger)["job"] == 8


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing purpose": ({"purpose": None}, "purpose"),
    "unknown purpose": ({"purpose": "fun"}, "purpose"),
    "unknown field": ({"colour": "red"}, "colour"),
    "unknown workflow": ({"workflow": "nothing"}, "brief"),
    "priority too high": ({"priority": 9}, "priority"),
    "reason too short": ({"reason": "x"}, "reason"),
    "bad tenant": ({"tenant": "Acme Corp"}, "tenant"),
    "deadline in the past": (
        {"deadline": "2020-01-01T00:00:00Z"},
        "deadline: 2020-01-01 00:00:00 UTC is past",
    ),
    "zero cap": (
        {"max_cost_usd": 0},
        "max_cost_usd: a job's cap lies between 0.000001 and 1,000,000,000 dollars",
    ),
    "negative cap": ({"max_cost_usd": -5}, "and this is -5; leave it out for a job without one"),
    "cap too large to be meant": ({"max_cost_usd": 1e18}, "max_cost_usd"),
    "callback not allowed": ({"callback_url": "http://elsewhere.example/x"}, "callback_url"),
    "callback no address": ({"callback_url": "nonsense"}, "callback_url"),
    "inputs miss documents": ({"inputs": {"question": "What survives?"}}, "inputs.documents"),
    "document too large for its model": (
        {"inputs": {"question": "What survives?", "documents": [{"name": "notes", "text": ""}]}},
        "inputs.documents",
    ),
    "NUL in a text": ({"reason": "read\u0000ers"}, "NUL"),
    "NUL in the inputs": ({"inputs": {"question": "What\u0000 survives?", "documents": []}}, "NUL"),
}


def test_a_bad_job_is_refused_with_a_sentence_and_changes_nothing(
    http: httpx2.Client, ledger: Ledger
) -> None:
    before = counts(ledger)

    for name, (change, named) in BAD.items():
        sentence = problem_of(http.post("/v1/jobs", json=JOB | change), 422)
        assert named in sentence, f"{name}: {sentence}"

    assert counts(ledger) == before


def test_a_fault_in_the_inputs_is_told_once_and_many_are_cut_short(http: httpx2.Client) -> None:
    def refused_inputs(count: int) -> str:
        documents = [{"name": "notes", "text": ""}] * count
        inputs = {"question": "What survives a crash?", "documents": documents}
        return problem_of(http.post("/v1/jobs", json=JOB | {"inputs": inputs}), 422)

    assert refused_inputs(1) == "inputs.documents.0.text: string should have at least 1 character"
    assert refused_inputs(0) == "inputs.documents: it needs at least 1 and has 0"
    assert refused_inputs(10).endswith("; and 2 more")


def test_what_has_a_wrong_shape_is_told_in_words(http: httpx2.Client) -> None:
    answers = {
        "an id has letters and digits only": http.get("/v1/jobs/a-b"),
        "tenant: a name has lower-case letters": http.post("/v1/jobs", json=JOB | {"tenant": "Acme"}),
        "a key has printable ASCII": http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "a b"}),
        "a digest is “sha256:”": http.get("/v1/artifacts/md5:1"),
        "it has letters, digits, dots": http.get("/v1/jobs", params={"tenant": "Käse"}),
    }
    for words, answer in answers.items():
        sentence = problem_of(answer, 422)
        assert words in sentence
        assert "pattern" not in sentence


NO_JOBS: tuple[tuple[bytes, int, str], ...] = (
    (b"{not json", 422, "not JSON"),
    (b'{"reason": "\xff\xfe"}', 400, "UTF-8"),
    (b"[" * 100_000, 400, "JSON"),
    (b'"text"', 422, "dictionary"),
    (b"", 422, "the body"),
    (b'{"reason": "\\ud800"}', 422, "surrogate"),
    (b'{"priority": NaN}', 422, "priority"),
    (b'{"priority": ' + b"9" * 5000 + b"}", 400, "JSON"),
    (b'{"inputs": ' + b'{"a":' * 800 + b"1" + b"}" * 801, 422, "tenant"),
)


def test_a_body_that_is_no_job_is_refused(http: httpx2.Client, ledger: Ledger) -> None:
    before = counts(ledger)

    for body, status, named in NO_JOBS:
        answer = http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        assert named in problem_of(answer, status), body[:40]

    assert counts(ledger) == before


def test_a_bad_key_is_refused(http: httpx2.Client, ledger: Ledger) -> None:
    before = counts(ledger)

    for key in ("", "k" * 201, "two words"):
        answer = http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": key})
        assert "Idempotency-Key" in problem_of(answer, 422)

    assert counts(ledger) == before


def test_an_internal_workflow_is_refused_and_not_listed(
    http: httpx2.Client, ledger: Ledger, catalog: Catalog
) -> None:
    internal = [name for name, workflow in catalog.workflows.items() if workflow.internal]
    listed = {entry["workflow"]: entry for entry in http.get("/v1/workflows").json()["items"]}

    assert set(listed) == set(catalog.workflows) - set(internal)
    assert listed["brief"]["inputs_schema"]["required"] == ["question", "documents"]
    for name in internal[:1]:
        assert "clock" in problem_of(http.post("/v1/jobs", json=JOB | {"workflow": name}), 422)
    assert counts(ledger)["job"] == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_by_name(http: httpx2.Client, ledger: Ledger, chunked: bool) -> None:
    before = counts(ledger)
    body = b'{"reason": "' + b"x" * 300_000 + b'"}'
    content = iter([body[:100_000], body[100_000:200_000], body[200_000:]]) if chunked else body

    for method, path in (("POST", "/v1/jobs"), ("PUT", "/v1/artifacts")):
        content = iter([body[:150_000], body[150_000:]]) if chunked else body
        headers = {"Content-Type": "application/json"}
        answer = http.request(method, path, content=content, headers=headers)
        assert "200000 bytes" in problem_of(answer, 413)
    assert counts(ledger) == before


def test_a_batch_answers_for_each_of_its_jobs(http: httpx2.Client, ledger: Ledger) -> None:
    batch = [
        {"key": "one", "job": JOB},
        {"key": "one", "job": JOB},
        {"key": "one", "job": JOB | {"kpi": "other"}},
        {"job": JOB | {"purpose": "fun"}},
        {"job": JOB},
    ]

    answer = http.post("/v1/jobs/batch", json=batch)

    items = answer.json()["items"]
    assert [item["status"] for item in items] == [202, 200, 409, 422, 202]
    assert items[0]["job"]["id"] == items[1]["job"]["id"]
    assert "purpose" in items[3]["problem"]["detail"]
    assert counts(ledger)["job"] == 2


def test_an_empty_batch_is_refused(http: httpx2.Client) -> None:
    problem_of(http.post("/v1/jobs/batch", json=[]), 422)


def test_nothing_is_accepted_while_the_ledger_is_away(catalog: Catalog, tmp_path: Path) -> None:
    away = Ledger("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    with serving(services_over(away, catalog, tmp_path)) as address:
        for method, path, body in (
            ("POST", "/v1/jobs", JOB),
            ("POST", "/v1/jobs/batch", [{"job": JOB}]),
            ("GET", "/v1/jobs", None),
            ("GET", "/readyz", None),
            ("GET", "/metrics", None),
        ):
            answer = httpx2.request(method, address + path, json=body, timeout=20)
            assert "unreachable" in problem_of(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
        assert httpx2.get(f"{address}/healthz").json() == {"status": "ok"}


def test_a_document_is_uploaded_once_and_opened_by_its_digest(http: httpx2.Client, ledger: Ledger) -> None:
    headers = {"Content-Type": "text/html; charset=utf-8"}
    first = http.put("/v1/artifacts", content=b"<h1>notes</h1>", headers=headers)
    again = http.put("/v1/artifacts", content=b"<h1>notes</h1>", headers={"Content-Type": "text/plain"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["size_bytes"] == 14
    opened = http.get(f"/v1/artifacts/{first.json()['digest']}")
    assert (opened.content, opened.headers["content-type"]) == (b"<h1>notes</h1>", headers["Content-Type"])
    assert "sandbox" in opened.headers["content-security-policy"]
    assert len(rows_of(ledger, tables.artifact)) == 1


def test_an_artifact_whose_store_is_away_is_not_said_to_be_gone(http: httpx2.Client, tmp_path: Path) -> None:
    kept = http.put("/v1/artifacts", content=b"notes").headers["location"]
    (tmp_path / "artifacts").rename(tmp_path / "unmounted")
    answer = http.get(kept)
    assert "the artifact store is unreachable" in problem_of(answer, 503)
    assert int(answer.headers["retry-after"]) > 0


def test_uploads_of_the_same_bytes_at_once_are_one_artifact(http: httpx2.Client, ledger: Ledger) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: http.put("/v1/artifacts", content=b"notes"), range(6)))

    assert {answer.status_code for answer in answers} <= {200, 201}, [answer.text for answer in answers]
    assert len(rows_of(ledger, tables.artifact)) == 1


def test_bad_uploads_and_digests_are_refused(http: httpx2.Client, ledger: Ledger) -> None:
    before = counts(ledger)
    assert "empty" in problem_of(http.put("/v1/artifacts", content=b""), 422)
    for media_type in ("nonsense", "text/" + "x" * 100):
        headers = {"Content-Type": media_type}
        answer = http.put("/v1/artifacts", content=b"x", headers=headers)
        assert "Content-Type" in problem_of(answer, 422)
    assert "digest" in problem_of(http.get("/v1/artifacts/sha256:12"), 422)
    problem_of(http.get(f"/v1/artifacts/sha256:{'0' * 64}"), 404)
    assert counts(ledger) == before


def test_a_key_is_asked_for_where_one_is_set(ledger: Ledger, catalog: Catalog, tmp_path: Path) -> None:
    with serving(services_over(ledger, catalog, tmp_path, api_key="s3cret")) as address:
        assert "key" in problem_of(httpx2.get(f"{address}/v1/jobs"), 401)
        wrong = {"Authorization": "Bearer other"}
        problem_of(httpx2.post(f"{address}/v1/jobs", json=JOB, headers=wrong), 401)
        right = {"Authorization": "Bearer s3cret"}
        assert httpx2.post(f"{address}/v1/jobs", json=JOB, headers=right).status_code == 202
        assert httpx2.get(f"{address}/healthz").status_code == 200


def test_unknown_paths_and_methods_are_problems_too(http: httpx2.Client) -> None:
    assert "/nowhere" in problem_of(http.get("/nowhere"), 404)
    assert "DELETE" in problem_of(http.delete("/v1/jobs"), 405)
    assert http.get("/openapi.json").json()["paths"]["/v1/jobs"]
