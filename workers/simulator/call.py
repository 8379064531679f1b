"""One request of a caller, free of its vendor's spelling."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Inbound:
    """An HTTP request as a dialect reads it."""

    headers: Mapping[str, str]
    """Names in lower case."""
    query: Mapping[str, str]
    body: Mapping[str, Any]
    model: str | None = None
    """The model, where the vendor has it in the path."""


@dataclass(frozen=True)
class Call:
    """What is asked of a model."""

    vendor: str
    key: str
    model: str
    instructions: str
    """The system prompt."""
    text: str
    """All user text."""
    schema: Mapping[str, Any] | None
    """The JSON schema the answer must have, as the vendor's field held it."""
    max_output_tokens: int | None
    attempt: str | None
    """The caller's correlation id, header ``x-fleet-attempt``."""
    retry_count: int | None
    """What the SDK says of its own retries, header ``x-stainless-retry-count``."""

    @property
    def prompt(self) -> str:
        return f"{self.instructions}\n{self.text}" if self.instructions else self.text

    @property
    def digest(self) -> str:
        """Names this prompt to this model; two equal calls share it."""
        return hashlib.sha256(f"{self.vendor}\0{self.model}\0{self.prompt}".encode()).hexdigest()[:16]


class Rejected(Exception):
    """A request the vendor would not even look at."""

    def __init__(self, reason: str, message: str, model: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        """``unauthorised`` or ``invalid``."""
        self.message = message
        self.model = model


def correlation(headers: Mapping[str, str]) -> tuple[str | None, int | None]:
    """(attempt, retry count) of a request's headers."""
    retries = headers.get("x-stainless-retry-count", "")
    return headers.get("x-fleet-attempt"), int(retries) if retries.isdecimal() else None


def bearer(headers: Mapping[str, str]) -> str:
    """The key of an ``Authorization: Bearer`` header, or an empty string."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
