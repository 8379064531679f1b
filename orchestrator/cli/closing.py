"""The closing tables of the demo."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel

from orchestrator.cli.jobs import waited
from orchestrator.cli.screen import card, money, table, text
from orchestrator.cli.tax import tax_table

if TYPE_CHECKING:
    from orchestrator.demo.performance import Performance
    from orchestrator.demo.story import Ending
    from orchestrator.demo.witness import Testimony

PAGE_WIDTH = 100


def closing(ending: "Ending", performance: "Performance") -> RenderableType:
    """What came of it, what it took, and who counted."""
    parts: list[RenderableType] = ["", "[bold]what it took[/]", _figures(ending, performance)]
    parts += [
        "",
        "[bold]the autonomy tax[/]: everything but feature work over everything",
        tax_table(ending.tax),
    ]
    if ending.testimonies:
        parts += [
            "",
            "[bold]two counts of one thing[/]: the ledger's and the simulator's",
            _counts(ending.testimonies),
        ]
    if ending.page is not None:
        words = f"[bold]{text(ending.page.title)}[/]\n[italic]{text(ending.page.description)}[/]\n\n"
        parts += ["", Panel(words + text(ending.page.opening), title="the page", width=PAGE_WIDTH)]
    return Group(*parts)


def whereabouts(ending: "Ending", performance: "Performance") -> str:
    """Where the page was kept; a line of its own, since a path that is broken over lines is no path."""
    assert performance.left is not None
    facts = ending.job.result.facts if ending.job.result else {}
    kept = performance.left.root / str(facts.get("path", ""))
    return f"[bold green]published and verified[/]: {text(kept)}"


def _figures(ending: "Ending", performance: "Performance") -> RenderableType:
    job = ending.job
    done = sum(line.state == "done" for line in job.subtasks)
    tokens = f"{job.cost.input_tokens:,} in, {job.cost.output_tokens:,} out"
    whole = performance.whole_seconds
    took = (job.ended_at - job.created_at).total_seconds() if job.ended_at else 0.0
    return card(
        [
            ("subtasks", f"{len(job.subtasks)}, {done} of them done"),
            ("attempts", str(job.cost.attempts)),
            ("tokens", tokens + (" (simulated)" if job.simulated else "")),
            ("cost", money(job.cost.usd, job.simulated)),
            ("waited", f"{waited(job.waits)} (side by side)"),
            (
                "time",
                f"{performance.ready_seconds:.1f} s until ready, {took:.1f} s for the job, {whole:.1f} s in all",
            ),
        ]
    )


def _counts(testimonies: "list[Testimony]") -> RenderableType:
    columns = ("calls", "input tokens", "output tokens")
    counts = table("vendor", "counted by", *columns, "", right=columns)
    for each in testimonies:
        verdict = "[green]they agree[/]" if each.agrees else "[red]they differ[/]"
        for by, count, note in (("ledger", each.ledger, ""), ("simulator", each.simulator, verdict)):
            numbers = (count.calls, count.input_tokens, count.output_tokens)
            counts.add_row(each.vendor if by == "ledger" else "", by, *(f"{n:,}" for n in numbers), note)
    return counts
