"""What the simulated models make of very little: a note, a list, a table, a line, another language."""

import re
from collections.abc import Iterator

import pytest

from tests.integration.simulator_callers import (
    Decision,
    Findings,
    Judgement,
    Page,
    ask_anthropic,
    ask_gemini,
    ask_openai,
    document,
)
from tests.integration.simulator_process import SimulatorAddress, running_simulator

SHORT_DOCUMENTS = {
    "two sentences": "The boiler in the cellar was replaced in March by Huber AG. It needs a check every October.",
    "short sentences": "The boiler broke in March. Huber came twice.",
    "no full stop": "The boiler was replaced in March 2024",
    "plain lines": "buy oat milk\nfix the boiler in March\ncall Ann about the key",
    "a list": "# Notes\n\n- fix the boiler in March\n- [ ] call Ann about the key, who has\n  the second one\n- milk",
    "headings": "# Roadmap for 2026\n## Goals of the first quarter\n- ship it\n- hire two people\n",
    "commas": "name,price,year\nWidget,12,2024\nWidget,13,2025\nGadget,9,2023\n",
    "bars": "id|name|price\n1|Widget|12\n2|Gadget|13\n",
    "a table": "| Name | Price |\n|---|---|\n| Oat milk | 3 francs |\n| Soy milk | 2 francs |\n",
    "German": "Der Heizkessel wurde am 3. März ersetzt. Die Rechnung betrug 9'400 Franken.",
    "German over lines": "Der Heizkessel im Keller wurde im März durch die Firma Huber\nersetzt, ohne jede Störung.",
    "Chinese": "博物馆上午九点开门。门票十二欧元。",
    "one long line": "word " * 400,
    "a personal note": "We moved the office to Bern in May. Our phone numbers stay the same for everybody.",
    "words on lines": "buy\nmilk\nnow",
    "markup": "[todo-1] call `Ann` <script>alert(1)</script> about the *key* <!-- soon",
    "code": "```\nrun the thing now\n```\n",
    "what looks like a rendered question": "open: the door stays open",
    "what looks like numbered lines": "1| the first line\n2| the second line",
}
QUESTIONS = (
    "When was the boiler replaced, and what did it cost?",
    "What now?",
    "Wann öffnet das Museum?",
    "Compare <b>x</b> and [foo-1] `a`: " + "what is it, " * 60,
)
LIMITS = "The title has at most 120 characters. The description has 50 to 300 characters."
CITATION = re.compile(r"\[([a-z0-9-]+-\d+)\]")


@pytest.fixture(scope="module")
def careful() -> Iterator[SimulatorAddress]:
    with running_simulator() as simulator:
        yield simulator


def folded(text: str) -> str:
    return " ".join(text.split())


def found(simulator: SimulatorAddress, question: str, text: str) -> Findings:
    prompt = f"Find claims.\n{document('question', question)}{document('document: note', text)}"
    return ask_anthropic(simulator, prompt, Findings)


def material(question: str, findings: Findings) -> str:
    lines = [
        f"note-{number}: {each.claim}\n  quote: {folded(each.quote)}"
        for number, each in enumerate(findings.claims, 1)
    ]
    lines += [f"open: {each}" for each in findings.open_questions]
    return document("question", question) + document("claims", "\n".join(lines))


def judged(simulator: SimulatorAddress, draft: str, given: str) -> Judgement:
    return ask_openai(simulator, f"Review the draft. {LIMITS}\n{document('draft', draft)}{given}", Judgement)


@pytest.mark.parametrize("text", SHORT_DOCUMENTS.values(), ids=list(SHORT_DOCUMENTS))
def test_a_short_document_has_claims_with_quotes_that_stand(careful: SimulatorAddress, text: str) -> None:
    for question in QUESTIONS:
        claims = found(careful, question, text).claims

        assert 1 <= len(claims) <= 4
        assert len({each.quote for each in claims}) == len(claims)
        for each in claims:
            assert folded(each.quote) in folded(text)
            assert not set("<>[]`") & set(each.claim)


@pytest.mark.parametrize("text", SHORT_DOCUMENTS.values(), ids=list(SHORT_DOCUMENTS))
def test_a_page_from_one_short_document_can_be_published_and_passes_its_reviews(
    careful: SimulatorAddress, text: str
) -> None:
    for question in QUESTIONS:
        findings = found(careful, question, text)
        given = material(question, findings)
        page = ask_anthropic(careful, f"Write a page. {LIMITS}\n{given}", Page)

        assert len(page.body.strip()) >= 400
        assert 1 <= len(page.title) <= 120
        assert 50 <= len(page.description) <= 300
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", page.slug)
        assert page.citations == list(dict.fromkeys(CITATION.findall(page.body)))
        assert set(page.citations) <= {f"note-{number}" for number in range(1, len(findings.claims) + 1)}
        assert "<" not in page.body

        review = judged(careful, page.numbered(), given)
        security = ask_gemini(
            careful, f"Read it for security.\n{document('draft', page.numbered())}", Judgement
        )
        assert (review.decision, review.findings) == (Decision.APPROVE, [])
        assert security.decision is Decision.APPROVE


def test_a_document_without_three_words_has_no_claim(careful: SimulatorAddress) -> None:
    assert found(careful, QUESTIONS[0], "hello").claims == []


def test_chance_alone_leaves_one_quote_standing() -> None:
    config = {
        "latency": {"first_token_seconds": 0, "tokens_per_second": 0},
        "errors": {"bad_quote": 1, "cut": 0, "overload": 0},
    }
    two = SHORT_DOCUMENTS["two sentences"]
    with running_simulator(errors="default", config=config) as careless:
        of_one = found(careless, QUESTIONS[0], SHORT_DOCUMENTS["no full stop"])
        of_two = found(careless, QUESTIONS[0], two)

    assert [each.quote for each in of_one.claims] == [SHORT_DOCUMENTS["no full stop"]]
    assert sorted(folded(each.quote) in two for each in of_two.claims) == [False, True]


@pytest.mark.parametrize(
    "heading", ["## Open questions", "### Open question", "**Open questions**", "Open questions:"]
)
def test_a_reviewer_asks_no_citation_of_open_questions_but_of_what_follows(
    careful: SimulatorAddress, heading: str
) -> None:
    given = material(QUESTIONS[0], found(careful, QUESTIONS[0], SHORT_DOCUMENTS["two sentences"]))
    lines = ["It was replaced in March [note-1, note-2].", "", heading, ""]
    lines += ["- What the new boiler did cost in the end", "* whether it is checked by the same firm", ""]
    after = ["## Afterwards", "", "It has worked very well since that day in March."]

    def decision(text: list[str]) -> Judgement:
        return judged(
            careful, "\n".join(f"{number:>3}| {line}" for number, line in enumerate(text, 1)), given
        )

    assert decision(lines).findings == []
    assert [flaw.line for flaw in decision([*lines, *after]).findings] == [len(lines) + 3]
