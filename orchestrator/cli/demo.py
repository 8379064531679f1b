"""`fleet demo`: the main job, end to end, on a fleet of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.ending import INTERRUPTED, Refusal
from orchestrator.cli.progress import Progress
from orchestrator.cli.screen import console

if TYPE_CHECKING:
    from orchestrator.reads.approvals import ApprovalRead

ANSWERS = ("approve", "reject", "revise")


def demo(
    interactive: Annotated[bool, typer.Option("--interactive", help="Let me answer the approval.")] = False,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir", metavar="DIR", help="Keep everything here, instead of in a temporary directory."
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the temporary directory as it is.")] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The simulator's chance; the same seed errs the same.")
    ] = None,
    documents: Annotated[
        int, typer.Option("--documents", min=1, max=50, help="At most so many documents.")
    ] = 8,
    kill_worker_once: Annotated[
        bool,
        typer.Option(
            "--kill-worker-once", help="Kill a worker in the middle, to see that it does not matter."
        ),
    ] = False,
) -> None:
    """Show the main job end to end, on free ports and in a temporary directory.

    Input are the descriptions of the packages installed beside this one; the output is a reviewed, approved and
    published page about them. The exit code is 0 only if that page stands and was verified.
    Example: fleet demo --interactive
    """
    from orchestrator.cli.closing import closing, whereabouts
    from orchestrator.demo.performance import Performance, Wish
    from orchestrator.settings import Settings
    from orchestrator.up.signals import Interrupted, Signals

    wish = Wish(documents, interactive, state_dir, keep, seed, kill_worker_once)
    performance = Performance(wish, DemoScreen(interactive), Settings())
    with Signals.heard() as signals:
        try:
            ending = performance.perform(signals)
            console().print(closing(ending, performance))
            if ending.proof.page is not None:
                console().print(whereabouts(ending, performance), soft_wrap=True)
        except Interrupted:
            raise typer.Exit(INTERRUPTED) from None
        finally:
            if performance.left is not None:
                console().print(f"logs: {performance.left.logs}", markup=False, soft_wrap=True)
    if ending.proof.page is None:
        raise Refusal(f"the demo did not end well: {ending.proof.fault}")


class DemoScreen(Progress):
    """Progress, and a person at the terminal. The board would fight with what the person types, so with one
    there are lines instead."""

    def __init__(self, interactive: bool) -> None:
        super().__init__(live=False if interactive else None)

    def ask(self, approval: "ApprovalRead", content: bytes) -> tuple[str, str]:
        from orchestrator.cli.approvals import content_of, told

        for line in told(approval.packet | {"what is approved": content_of(content)}):
            self.say(f"    {line}")
        while (answer := self.console.input(f"    {', '.join(ANSWERS)}? ").strip().lower()) not in ANSWERS:
            self.say(f"    say one of {', '.join(ANSWERS)}")
        return answer, self.console.input("    what shall be changed? ") if answer == "revise" else ""
