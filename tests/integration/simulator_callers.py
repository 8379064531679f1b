"""The three SDKs as callers of a simulator, and shapes such as a caller asks for."""

from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import TypeVar

import anthropic
import openai
from google import genai
from google.genai import types
from pydantic import BaseModel, Field

from tests.integration.simulator_process import SimulatorAddress

Shape = TypeVar("Shape", bound=BaseModel)
ATTEMPT = {"x-fleet-attempt": "attempt-1"}


class Statement(BaseModel):
    claim: str = Field(min_length=1, max_length=500)
    quote: str = Field(min_length=1, max_length=600, description="copied verbatim")
    confidence: float = Field(ge=0, le=1)


class Findings(BaseModel):
    claims: list[Statement] = Field(max_length=12)
    open_questions: list[str] = Field(max_length=8)


class Page(BaseModel):
    title: str
    slug: str
    description: str
    body: str
    citations: list[str]
    confidence: float = Field(ge=0, le=1)

    def numbered(self) -> str:
        text = f"title: {self.title}\nslug: {self.slug}\ndescription: {self.description}\n\n{self.body}"
        return "\n".join(f"{number:>3}| {line}" for number, line in enumerate(text.split("\n"), 1))


class Decision(StrEnum):
    APPROVE = "approve"
    OBJECT = "object"


class Weight(StrEnum):
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


class Objection(BaseModel):
    line: int = Field(ge=1)
    severity: Weight
    problem: str = Field(min_length=1)
    suggestion: str


class Judgement(BaseModel):
    decision: Decision
    findings: list[Objection]
    confidence: float = Field(ge=0, le=1)


@cache
def anthropic_client(simulator: SimulatorAddress, key: str = "key") -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key=key, base_url=f"{simulator.url}/anthropic", max_retries=0, default_headers=ATTEMPT, timeout=20
    )


@cache
def openai_client(simulator: SimulatorAddress, key: str = "key") -> openai.OpenAI:
    return openai.OpenAI(
        api_key=key, base_url=f"{simulator.url}/openai/v1", max_retries=0, default_headers=ATTEMPT, timeout=20
    )


@cache
def gemini_client(simulator: SimulatorAddress, key: str = "key") -> genai.Client:
    """Kept, since a client that nobody holds closes its connections under its own request."""
    return genai.Client(
        api_key=key,
        http_options=types.HttpOptions(
            base_url=f"{simulator.url}/gemini",
            timeout=20_000,
            headers=ATTEMPT,
            retry_options=types.HttpRetryOptions(attempts=1),
        ),
    )


def ask_anthropic(simulator: SimulatorAddress, prompt: str, shape: type[Shape]) -> Shape:
    message = anthropic_client(simulator).messages.parse(
        model="claude-x",
        max_tokens=8000,
        messages=[{"role": "user", "content": prompt}],
        output_format=shape,
    )
    assert message.parsed_output is not None
    return message.parsed_output


def ask_openai(simulator: SimulatorAddress, prompt: str, shape: type[Shape]) -> Shape:
    response = openai_client(simulator).responses.parse(model="gpt-x", input=prompt, text_format=shape)
    assert response.output_parsed is not None
    return response.output_parsed


def ask_openai_chat(simulator: SimulatorAddress, prompt: str, shape: type[Shape]) -> Shape:
    completion = openai_client(simulator).chat.completions.parse(
        model="gpt-x", messages=[{"role": "user", "content": prompt}], response_format=shape
    )
    parsed = completion.choices[0].message.parsed
    assert parsed is not None
    return parsed


def ask_gemini(simulator: SimulatorAddress, prompt: str, shape: type[Shape]) -> Shape:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=shape)
    return _gemini_answer(simulator, prompt, shape, config)


def ask_gemini_by_json_schema(simulator: SimulatorAddress, prompt: str, shape: type[Shape]) -> Shape:
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_json_schema=shape.model_json_schema()
    )
    return _gemini_answer(simulator, prompt, shape, config)


def _gemini_answer(
    simulator: SimulatorAddress, prompt: str, shape: type[Shape], config: types.GenerateContentConfig
) -> Shape:
    response = gemini_client(simulator).models.generate_content(
        model="gemini-x", contents=prompt, config=config
    )
    return shape.model_validate_json(response.text or "")


Ask = Callable[[SimulatorAddress, str, type[Shape]], Shape]
EVERY_WAY_TO_ASK = (ask_anthropic, ask_openai, ask_openai_chat, ask_gemini, ask_gemini_by_json_schema)

SOURCE = """\
# Lantern

[![build](https://example.org/badge.svg)](https://example.org/build)

Lantern is a **small** library that keeps a queue of jobs in one file. It supports [retries](https://example.org/r)
with a growing pause between attempts. A worker can run on a single machine, and it needs no server.

```python
lantern.run("never quote this line of code, it is not a sentence.")
```

- Jobs are written before they are run, which means that a crash loses nothing.

## Sponsors

Lantern is supported by the kindness of its sponsors, who are listed here in full.
"""
QUESTION = "What is Lantern for, and how does it deal with retries and rate limits?"
LIMITS = "The description must have 50 to 300 characters, and the title at most 120 characters."


def document(name: str, text: str) -> str:
    return f'<document name="{name}">\n{text}\n</document>\n'


def research_prompt() -> str:
    return f"Find claims.\n{document('question', QUESTION)}{document('lantern', SOURCE)}"


def rendered(findings: Findings) -> str:
    lines = [
        f"lantern-{number}: {each.claim}\n  quote: {each.quote}"
        for number, each in enumerate(findings.claims, 1)
    ]
    return "\n".join(lines + [f"open: {question}" for question in findings.open_questions])


def drafting_prompt(findings: Findings, earlier: str = "") -> str:
    documents = document("question", QUESTION) + document("claims", rendered(findings))
    return f"Write a page. {LIMITS}\n{documents}{earlier}"


def reviewing_prompt(findings: Findings, text: str, task: str = "Review the draft.") -> str:
    return f"{task} {LIMITS}\n{document('claims', rendered(findings))}{document('draft', text)}"
