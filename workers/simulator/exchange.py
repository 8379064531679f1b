"""One exchange from the door to the ledger."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from starlette.responses import HTMLResponse, JSONResponse, Response

from workers.simulator.answers.author import written
from workers.simulator.answers.load import loaded
from workers.simulator.answers.prompt import read_prompt
from workers.simulator.call import Call, Rejected
from workers.simulator.chance import Chance, Lot
from workers.simulator.dialects.dialect import Dialect, Wire
from workers.simulator.failure import Failure, FailureKind, Produced
from workers.simulator.faults import AT_THE_DOOR, Fault, Script, ScriptedFault
from workers.simulator.latency import seconds_for
from workers.simulator.ledger import Entry, Ledger
from workers.simulator.levels import Level, Levels
from workers.simulator.limiter import Limiter, Refusal
from workers.simulator.settings import Settings
from workers.simulator.telling import spelled, told
from workers.simulator.tokens import count_prompt_tokens, count_tokens, cut_to_tokens
from workers.simulator.transport import Drip, Reset, Silence, Torn
from workers.simulator.visit import Visit, new_request_id

_BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
DOOR_FAILURES = {
    Fault.OVERLOAD: FailureKind.OVERLOAD,
    Fault.RATE_LIMITED: FailureKind.RATE_LIMITED,
    Fault.RATE_LIMITED_WITH_REMAINING: FailureKind.RATE_LIMITED_WITH_REMAINING,
    Fault.RATE_LIMITED_BARE: FailureKind.RATE_LIMITED,
    Fault.SERVER_ERROR: FailureKind.SERVER_ERROR,
    Fault.SPEND_LIMIT: FailureKind.SPEND_LIMIT,
    Fault.UNAUTHORISED: FailureKind.UNAUTHORISED,
}
ON_THE_WAY = frozenset({Fault.TORN, Fault.DRIP, Fault.WRONG_USAGE, Fault.REPEATED_ID})
"""Faults of an answer that was written and billed as it should be."""
MISCOUNT = 10
_REPEATED = "0" * 22
KINDS = {"end": "ok", "cut": "cut", "refused": "refused"}
"""The ledger's words for how an answer stopped."""
_LEDGER_KINDS = {
    FailureKind.RATE_LIMITED_WITH_REMAINING: "429",
    FailureKind.NO_KEY: "unauthorised",
}


class Exchange:
    """Handles calls with one limiter, one script, one chance and one ledger."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.ledger = ledger
        self.limiter = Limiter(settings, clock)
        self.script = Script(clock)
        self.chance = Chance(settings.seed)
        self._clock = clock

    async def converse(self, dialect: Dialect, call: Call) -> Response:
        """Answer a call, or refuse it, and record what became of it."""
        visit = self._visit(dialect, call)
        turned_away = self._at_the_door(visit)
        if turned_away is not None:
            return turned_away
        visit.pool.at_work += 1
        try:
            return await self._work(visit)
        finally:
            visit.pool.at_work -= 1

    def count(self, dialect: Dialect, call: Call) -> Response:
        """The number of tokens of a call; nothing is metered or billed for it."""
        visit = self._visit(dialect, call, scripted=False)
        self._record(visit, 200, "count")
        return self._sent(visit, dialect.counted(visit.input_tokens))

    def write(self, dialect: Dialect, call: Call, batch: str) -> Wire:
        """The answer to a request of a batch, recorded as such; no limit of live calls meters it."""
        visit = self._visit(dialect, call)
        visit.batch = batch
        produced = self._produce(visit)
        self._record(visit, 200, KINDS[produced.stop], produced)
        return dialect.answer(produced)

    def reject(self, dialect: Dialect, rejected: Rejected) -> Response:
        """The vendor's answer to a request it cannot read."""
        kind = FailureKind.NO_KEY if rejected.reason == "unauthorised" else FailureKind.INVALID
        message = rejected.message if kind is FailureKind.INVALID else ""
        request_id = new_request_id()
        wire = dialect.failure(Failure(kind, rejected.model, message), request_id)
        vendor = dialect.vendor
        self.ledger.record(
            Entry(vendor, "", "", rejected.model, wire.status, rejected.reason, 0, 0, None, None, 0.0)
        )
        return JSONResponse(wire.body, wire.status, dialect.headers({}, request_id) | wire.headers)

    def reset(self) -> None:
        """Begin again: full buckets, no rows, no script, no memory of prompts."""
        self.limiter.reset()
        self.ledger.clear()
        self.script.clear()
        self.chance.reset()

    def _visit(self, dialect: Dialect, call: Call, scripted: bool = True) -> Visit:
        pool = self.limiter.pool(call.vendor, call.key, call.model)
        return Visit(
            dialect=dialect,
            call=call,
            pool=pool,
            reading=read_prompt(call.instructions, call.text),
            lot=self.chance.draw(call) if scripted else Lot(""),
            scripted=self.script.take(call, pool.at_work) if scripted else None,
            input_tokens=count_prompt_tokens(call.prompt, dict(call.schema) if call.schema else None),
            started=self._clock(),
            request_id=new_request_id(),
        )

    def _at_the_door(self, visit: Visit) -> Response | None:
        """What keeps a call out: a fault of the vendor, the limiter, too much work at once."""
        fault = self._door_fault(visit)
        if fault is not None:
            # At OpenAI a failed request counts against the limits too; the others let it pass.
            if visit.call.vendor == "openai":
                self._admit(visit)
            return self._turned_away(visit, fault)
        refusal = self._admit(visit)
        if refusal is not None:
            failure = Failure(
                FailureKind.RATE_LIMITED,
                visit.call.model,
                dimension=refusal.dimension,
                retry_after_seconds=refusal.retry_after_seconds,
                limit=refusal.limit,
                used=refusal.used,
                requested=refusal.requested,
            )
            shown = visit.pool.levels()[refusal.dimension].remaining
            hidden = shown >= max(refusal.requested, 1)
            return self._failed(visit, failure, dimension=refusal.dimension, exhausted=hidden)
        if visit.pool.concurrency is not None and visit.pool.at_work >= visit.pool.concurrency:
            return self._failed(visit, Failure(FailureKind.OVERLOAD, visit.call.model))
        return None

    def _admit(self, visit: Visit) -> Refusal | None:
        visit.counted, refusal = self.limiter.admit(visit.pool, visit.call, visit.input_tokens)
        return refusal

    def _door_fault(self, visit: Visit) -> Fault | None:
        if visit.scripted is not None:
            return visit.scripted.kind if visit.scripted.kind in AT_THE_DOOR else None
        if visit.reading.told_before or not visit.lot.falls("overload", self.settings.errors.overload):
            return None
        return Fault.OVERLOAD

    def _turned_away(self, visit: Visit, fault: Fault) -> Response:
        visit.injected.add(fault)
        if fault is Fault.HTML_502:
            self._record(visit, 502, "error")
            return HTMLResponse(_BAD_GATEWAY, 502)
        dimension = next(name for name in reversed(visit.pool.buckets))
        limit = visit.pool.buckets[dimension].limit_per_minute
        failure = Failure(
            DOOR_FAILURES[fault],
            visit.call.model,
            dimension=dimension,
            retry_after_seconds=_told_delay(visit, fault),
            limit=limit,
            used=limit,
            requested=visit.pool.costs(visit.call, visit.input_tokens)[dimension],
        )
        return self._failed(visit, failure, exhausted=fault in (Fault.RATE_LIMITED, Fault.RATE_LIMITED_BARE))

    def _failed(
        self, visit: Visit, failure: Failure, dimension: str | None = None, exhausted: bool = False
    ) -> Response:
        """``exhausted``: the headers show nothing left of the failure's dimension, whatever the bucket holds."""
        wire = visit.dialect.failure(failure, visit.request_id)
        self._record(visit, wire.status, _LEDGER_KINDS.get(failure.kind, failure.kind), dimension=dimension)
        if not exhausted:
            return self._sent(visit, wire)
        empty = Level(failure.limit, 0.0, failure.retry_after_seconds or 0.0)
        return self._sent(visit, wire, {failure.dimension: empty})

    async def _work(self, visit: Visit) -> Response:
        """Write the answer, take the time it takes, meter it, record it, send it."""
        produced = self._produce(visit)
        await asyncio.sleep(
            seconds_for(self.settings.latency, produced.output_tokens, visit.lot.stream("latency"))
        )
        self.limiter.pool(visit.call.vendor, visit.call.key, visit.call.model)
        visit.counted |= self.limiter.produced(visit.pool, produced.output_tokens)
        scripted = visit.scripted
        if scripted is not None and scripted.kind in (Fault.RESET, Fault.TIMEOUT):
            visit.injected.add(scripted.kind)
            self._record(visit, 0, scripted.kind, produced)
            return Reset() if scripted.kind is Fault.RESET else Silence(scripted.seconds)
        if scripted is not None and scripted.kind in ON_THE_WAY:
            visit.injected.add(scripted.kind)
            self._record(visit, 200, KINDS[produced.stop], produced)
            return self._harmed(visit, produced, scripted)
        self._record(visit, 200, KINDS[produced.stop], produced)
        return self._sent(visit, visit.dialect.answer(produced))

    def _harmed(self, visit: Visit, produced: Produced, scripted: ScriptedFault) -> Response:
        """A good answer to which something happens after it was billed."""
        if scripted.kind is Fault.WRONG_USAGE:
            more = replace(
                produced,
                input_tokens=MISCOUNT * produced.input_tokens,
                output_tokens=MISCOUNT * produced.output_tokens,
            )
            return self._sent(visit, visit.dialect.answer(more))
        if scripted.kind is Fault.REPEATED_ID:
            visit.request_id = _REPEATED
            return self._sent(visit, visit.dialect.answer(replace(produced, id=_REPEATED)))
        answer = self._sent(visit, visit.dialect.answer(produced))
        return Torn(answer) if scripted.kind is Fault.TORN else Drip(answer, scripted.seconds)

    def _produce(self, visit: Visit) -> Produced:
        fault = visit.scripted.kind if visit.scripted else None
        load = self.settings.load
        answer = (
            loaded(visit.call, visit.reading, load, self.settings.seed)
            if load.mean_output_tokens
            else written(visit.call, visit.reading, visit.lot, self.settings.errors, fault)
        )
        visit.injected |= answer.injected
        tokens = count_tokens(answer.text)
        produced = Produced(
            answer.text,
            visit.input_tokens,
            tokens,
            "refused" if answer.refused else "end",
            visit.lot.stream("id").randbytes(11).hex(),
            visit.call.model,
        )
        room = visit.call.max_output_tokens
        if answer.cut_at_tokens is not None:
            room = min(answer.cut_at_tokens, room or answer.cut_at_tokens)
        if room is None or tokens <= room:
            return produced
        if fault is Fault.HUGE:  # whatever it sends, a vendor bills no more than it was asked for
            return replace(produced, output_tokens=room)
        return replace(produced, text=cut_to_tokens(answer.text, room), output_tokens=room, stop="cut")

    def _record(
        self,
        visit: Visit,
        status: int,
        kind: str,
        produced: Produced | None = None,
        dimension: str | None = None,
    ) -> None:
        seconds = self._clock() - visit.started
        self.ledger.record(visit.entry(status, kind, produced, dimension, seconds))

    def _sent(self, visit: Visit, wire: Wire, pretended: Levels | None = None) -> Response:
        levels = told(visit.pool.headers, {**visit.pool.levels(), **(pretended or {})})
        headers = visit.dialect.headers(levels, visit.request_id) | wire.headers
        return JSONResponse(wire.body, wire.status, spelled(visit.pool.headers, headers))


def _told_delay(visit: Visit, fault: Fault) -> float | None:
    """When a vendor says that its caller may come again."""
    if fault is Fault.RATE_LIMITED_BARE:
        return None
    return visit.scripted.retry_after if visit.scripted else 1.0
