"""What our lanes do here: the same as the tasks of plain Celery, by the fleet's own way to an effect."""

from contracts.bench import Nothing
from contracts.failures import Code, Failure, HandlerFailure
from tests.bench.survival.witness import Did, Witness
from workers.task import Task


def append(task: Task) -> Nothing:
    """Works for a while and applies one effect, after a look where an earlier attempt may have applied it.

    Raises HandlerFailure: gate_refused without a grant, interrupted where the attempt was taken away.
    """
    items = task.item("asked").value
    assert isinstance(items, list)
    first, seconds = _asked(items[0])
    name, witness = first.partition("/")[0], Witness.of_environment()
    with witness.run(name):
        task.stopped.wait(seconds)
        _apply(task, name, witness)
    return Nothing()


def member(task: Task) -> Nothing:
    """Works for a while and changes nothing."""
    name, seconds = _asked(task.item("asked").value)
    with Witness.of_environment().run(name):
        task.stopped.wait(seconds)
    return Nothing()


def _asked(item: object) -> tuple[str, float]:
    """A task's name and the seconds it takes, of “name seconds”."""
    name, _, seconds = str(item).partition(" ")
    return name, float(seconds)


def _apply(task: Task, name: str, witness: Witness) -> None:
    grant = task.handoff.effect
    if grant is None:
        raise _refused(Code.GATE_REFUSED, "nothing is appended without a grant")
    if task.stopped.is_set():
        raise _refused(Code.INTERRUPTED, "the attempt was taken away before anything was appended")
    begun = task.effects.begin(grant, {"task": name})
    if begun.result is not None:
        return
    stands = begun.ambiguous and witness.shows(name)
    if begun.ambiguous:
        task.effects.verified(grant, "it stands" if stands else "it does not stand")
    if not stands:
        witness.note(name, Did.APPLIED)
    task.effects.finish(grant, {"task": name})


def _refused(code: Code, sentence: str) -> HandlerFailure:
    return HandlerFailure(Failure(code=code, sentence=sentence))
