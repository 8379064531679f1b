"""One call while it is handled."""

import uuid
from dataclasses import dataclass, field

from workers.simulator.answers.prompt import Reading
from workers.simulator.call import Call
from workers.simulator.chance import Lot
from workers.simulator.dialects.dialect import Dialect
from workers.simulator.failure import Produced
from workers.simulator.faults import ScriptedFault
from workers.simulator.ledger import Entry
from workers.simulator.limiter import Counted, Pool


@dataclass
class Visit:
    """What is known of a call from its arrival on."""

    dialect: Dialect
    call: Call
    pool: Pool
    reading: Reading
    lot: Lot
    scripted: ScriptedFault | None
    input_tokens: int
    started: float
    """Seconds of the monotonic clock."""
    request_id: str
    injected: set[str] = field(default_factory=set)
    """The errors put in so far."""
    counted: Counted = field(default_factory=dict)
    """What was taken from the limits so far."""
    batch: str | None = None
    """The batch that it is a request of."""

    def entry(
        self, status: int, kind: str, produced: Produced | None, dimension: str | None, seconds: float
    ) -> Entry:
        """The row of the ledger; what was not produced is not billed."""
        injected = ",".join(sorted(self.injected)) or None
        by = "script" if self.scripted else "seed"
        return Entry(
            vendor=self.call.vendor,
            account=self.pool.account,
            group=self.pool.group,
            model=self.call.model,
            status=status,
            kind=str(kind),
            input_tokens=produced.input_tokens if produced else 0,
            output_tokens=produced.output_tokens if produced else 0,
            attempt=self.call.attempt,
            retry_count=self.call.retry_count,
            latency_seconds=round(seconds, 4),
            dimension=dimension,
            injected=injected,
            injected_by=by if injected else None,
            prompt_digest=self.call.digest,
            counted=self.counted,
            batch=self.batch,
        )


def new_request_id() -> str:
    """A name for a request that no other has, as each vendor gives one."""
    return f"req_{uuid.uuid4().hex[:24]}"
