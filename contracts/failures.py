"""The one taxonomy of failures. Whoever meets a failure types it there and then; nobody above guesses."""

from enum import StrEnum

from pydantic import Field

from contracts.base import Contract, Told


class Category(StrEnum):
    """What a failure calls for."""

    TRANSIENT = "transient"
    """Bounded retries with backoff."""
    OUTPUT = "output"
    """One repair that is shown the fault."""
    DETERMINISTIC = "deterministic"
    """Never retried unchanged."""
    JUDGEMENT = "judgement"
    """More context, a narrower task, another pair of eyes; never more of the same."""
    GOVERNANCE = "governance"
    """Stop and call a person."""
    PREREQUISITE = "prerequisite"
    """Something is missing that another lane can supply; it waits for that, once for all who need it."""
    CRASH = "crash"
    """The process died or fell silent; counted apart from failures that were reported."""


class Code(StrEnum):
    """What happened, in one word."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    NOT_SENT = "not_sent"
    VENDOR_ERROR = "vendor_error"
    INTERRUPTED = "interrupted"
    UNFINISHED = "unfinished"
    STORE_UNREACHABLE = "store_unreachable"
    UNFIT_WORKER = "unfit_worker"
    """Its process lacked memory, room, a handle or a library; another one, or this one later, may do it."""
    CUT = "cut"
    NOT_JSON = "not_json"
    BREAKS_CONTRACT = "breaks_contract"
    EMPTY = "empty"
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    BROKEN_HANDOFF = "broken_handoff"
    HANDLER_ERROR = "handler_error"
    NO_EVIDENCE = "no_evidence"
    INELIGIBLE = "ineligible"
    OBJECTIONS_STAND = "objections_stand"
    NOT_VERIFIED = "not_verified"
    SPEND_LIMIT = "spend_limit"
    DAY_LIMIT = "day_limit"
    UNAUTHORISED = "unauthorised"
    UNPRICED = "unpriced"
    VENDOR_UNAVAILABLE = "vendor_unavailable"
    GATE_REFUSED = "gate_refused"
    REJECTED = "rejected"
    UNKNOWN_CONTRACT = "unknown_contract"
    MISSING_PREREQUISITE = "missing_prerequisite"
    STATE_CHANGED = "state_changed"
    TOO_LATE = "too_late"
    STOPPED = "stopped"
    CRASHED = "crashed"


CATEGORY_OF: dict[Code, Category] = {
    Code.RATE_LIMITED: Category.TRANSIENT,
    Code.OVERLOADED: Category.TRANSIENT,
    Code.TIMEOUT: Category.TRANSIENT,
    Code.NOT_SENT: Category.TRANSIENT,
    Code.VENDOR_ERROR: Category.TRANSIENT,
    Code.INTERRUPTED: Category.TRANSIENT,
    Code.UNFINISHED: Category.TRANSIENT,
    Code.STORE_UNREACHABLE: Category.TRANSIENT,
    Code.UNFIT_WORKER: Category.TRANSIENT,
    Code.CUT: Category.OUTPUT,
    Code.NOT_JSON: Category.OUTPUT,
    Code.BREAKS_CONTRACT: Category.OUTPUT,
    Code.EMPTY: Category.OUTPUT,
    Code.BAD_REQUEST: Category.DETERMINISTIC,
    Code.TOO_LARGE: Category.DETERMINISTIC,
    Code.REFUSED: Category.DETERMINISTIC,
    Code.BROKEN_HANDOFF: Category.DETERMINISTIC,
    Code.HANDLER_ERROR: Category.DETERMINISTIC,
    Code.NO_EVIDENCE: Category.JUDGEMENT,
    Code.INELIGIBLE: Category.JUDGEMENT,
    Code.OBJECTIONS_STAND: Category.JUDGEMENT,
    Code.NOT_VERIFIED: Category.JUDGEMENT,
    Code.SPEND_LIMIT: Category.GOVERNANCE,
    Code.DAY_LIMIT: Category.GOVERNANCE,
    Code.UNAUTHORISED: Category.GOVERNANCE,
    Code.UNPRICED: Category.GOVERNANCE,
    Code.VENDOR_UNAVAILABLE: Category.GOVERNANCE,
    Code.GATE_REFUSED: Category.GOVERNANCE,
    Code.REJECTED: Category.GOVERNANCE,
    Code.UNKNOWN_CONTRACT: Category.TRANSIENT,
    Code.MISSING_PREREQUISITE: Category.PREREQUISITE,
    Code.STATE_CHANGED: Category.JUDGEMENT,
    Code.TOO_LATE: Category.GOVERNANCE,
    Code.STOPPED: Category.GOVERNANCE,
    Code.CRASHED: Category.CRASH,
}


class Failure(Contract):
    """What went wrong, in a sentence, with what the one who decides needs to know."""

    code: Code
    sentence: Told = Field(min_length=1, max_length=2000)
    retry_after_seconds: float | None = Field(default=None, ge=0)
    """The delay the other side asked for."""
    evidence: dict[Told, Told] = Field(default_factory=dict)
    """Parameters, error types and places, each short; the whole answer is an artifact. What lacks something names
    the `prerequisite` and the `subject` that lacks it."""
    kept: Told = Field(default="", max_length=1000)
    """What partly succeeded and stands, and must not be done again."""

    @property
    def category(self) -> Category:
        return CATEGORY_OF[self.code]


class HandlerFailure(Exception):
    """Raised by handlers and vendor adapters; carries the typed failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.sentence)
        self.failure = failure
