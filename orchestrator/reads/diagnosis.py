"""Diagnosis: what the fleet is short of, and what mends it, from what was measured in a trailing window."""

from datetime import datetime

from sqlalchemy import Connection

from contracts.catalog import Catalog
from orchestrator.deciders.diagnosing import diagnose
from orchestrator.deciders.findings import Finding
from orchestrator.deciders.losses import Cause
from orchestrator.deciders.remedies import Fix
from orchestrator.ledger.clock import now
from orchestrator.reads.base import Read, moment
from orchestrator.reads.measuring import measured

WINDOW_SECONDS = 900.0


class FindingRead(Read):
    """One thing the fleet is short of."""

    cause: Cause
    where: str
    """The budget with its dimension, the lane, the workflow's step, or the vendor with its failure."""
    sentence: str
    fix: Fix
    advice: str
    """How to do it, in a sentence."""
    seconds_lost: float
    """Inside the window, added over all that waited."""
    share: float
    """Of all seconds lost in the window, from 0 to 1."""
    waiting: int
    """Subtasks or questions that wait for it at this moment."""
    longest_seconds: float
    """The longest single wait, its part before the window included."""
    numbers: dict[str, float]
    """What the advice rests on; the unit stands in the name."""


class DiagnosisRead(Read):
    """What the fleet was short of in one window."""

    since: datetime
    until: datetime
    window_seconds: float
    verdict: str
    granted: int
    """Attempts granted in the window."""
    seconds_lost: float
    """To waiting, backoff and failed attempts, inside the window."""
    findings: tuple[FindingRead, ...]
    """At most three, by the seconds they cost; none where nothing is short or too little happened to tell."""


def diagnosis(
    connection: Connection, catalog: Catalog, lease_seconds: float, window_seconds: float = WINDOW_SECONDS
) -> DiagnosisRead:
    """The diagnosis of the trailing window, by the database's clock."""
    at = now(connection)
    figures = measured(connection, catalog, lease_seconds, at, window_seconds)
    found = diagnose(figures)
    return DiagnosisRead(
        since=moment(at - window_seconds),
        until=moment(at),
        window_seconds=window_seconds,
        verdict=found.verdict,
        granted=figures.granted,
        seconds_lost=found.seconds_lost,
        findings=tuple(_read(each, found.seconds_lost) for each in found.findings),
    )


def _read(found: Finding, lost: float) -> FindingRead:
    return FindingRead(
        cause=found.cause,
        where=found.where,
        sentence=found.sentence,
        fix=found.remedy.fix,
        advice=found.remedy.advice,
        seconds_lost=found.seconds_lost,
        share=found.seconds_lost / lost if lost else 0.0,
        waiting=found.waiting,
        longest_seconds=found.longest_seconds,
        numbers=found.remedy.numbers,
    )
