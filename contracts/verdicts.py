"""Verdicts: what a reviewer says, and nothing a reviewer could rewrite with."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from contracts.base import Contract, Fact, Payload


class Decision(StrEnum):
    APPROVE = "approve"
    OBJECT = "object"


class Severity(StrEnum):
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


class Finding(Contract):
    """One flaw, at one place of the text under review."""

    line: int = Field(ge=1, description="number of the line of the reviewed text at which the flaw stands")
    severity: Severity
    problem: str = Field(min_length=1, max_length=600, description="what is wrong, in one sentence")
    suggestion: str = Field(default="", max_length=600, description="what would settle it")


class Verdict(Payload):
    """A reviewer's judgement on one text."""

    contract: ClassVar[str] = "review.Verdict@1"

    decision: Decision = Field(description="approve, or object if any finding must be settled first")
    findings: tuple[Finding, ...] = Field(default=(), max_length=50)
    confidence: float = Field(ge=0, le=1)

    def headline(self) -> str:
        if self.decision is Decision.APPROVE:
            return f"approves with {len(self.findings)} finding(s)"
        first = self.findings[0].problem if self.findings else "no finding given"
        return f"objects with {len(self.findings)} finding(s): {first}"

    def render(self) -> str:
        lines = [f"decision: {self.decision}"]
        for finding in self.findings:
            settle = f" Suggestion: {finding.suggestion}" if finding.suggestion else ""
            lines.append(f"- line {finding.line} ({finding.severity}): {finding.problem}{settle}")
        return "\n".join(lines)

    def stated_confidence(self) -> float | None:
        return self.confidence

    def facts(self) -> dict[str, Fact]:
        return {"decision": self.decision.value, "findings": len(self.findings)}
