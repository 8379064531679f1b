"""The figures as tables."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.pacing.baselines import Skipped
from tests.bench.pacing.figures import Run, Strategy
from tests.bench.pacing.scenario import Scenario

CONSOLE = Console(width=118)
WORDS = {True: "yes", False: "[red]no[/red]", None: ""}


def announce(scenario: Scenario) -> None:
    """One sentence on what comes."""
    CONSOLE.print(f"\n[bold]{scenario.name}[/bold]  {scenario.says}")


def show_run(run: Run) -> None:
    told = Table(
        title=f"{_processes(run.workers)}, seed {run.seed}", box=None, pad_edge=False, title_justify="left"
    )
    for name in ("what", "found", "to reach", "met"):
        told.add_column(name, justify="right" if name == "found" else "left")
    for figure in run.figures:
        told.add_row(figure.what, figure.found, figure.bar, WORDS[figure.met])
    CONSOLE.print(told)


def show_strategies(rows: Sequence[Strategy | Skipped]) -> None:
    CONSOLE.print(
        "\n[bold]compared[/bold]  The same simulator, load and seed as in saturated: use of the limit in the steady "
        "minute, 429s from the first call on, tasks that failed for good, useful output tokens, and what the vendor "
        "billed for 1,000 whole answers."
    )
    table = Table(box=None, pad_edge=False)
    names = ("strategy", "use", "429s per 1,000", "calls", "failures", "useful tokens/min", "USD per 1,000")
    for name in names:
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for row in rows:
        match row:
            case Skipped():
                table.add_row(row.name, "skipped")
            case Strategy():
                table.add_row(*_cells(row))
    CONSOLE.print(table)
    for row in rows:
        if isinstance(row, Skipped):
            CONSOLE.print(f"{row.name}: skipped, {row.why}")


def verdict(runs: Iterable[Run]) -> None:
    """How many bars were met."""
    judged = [figure.met for run in runs for figure in run.figures if figure.met is not None]
    CONSOLE.print(f"\n{sum(judged)} of {len(judged)} bars met")


def _cells(row: Strategy) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.use:.1%}",
        f"{row.refused_per_thousand:.1f}",
        f"{row.calls:,}",
        f"{row.failures:,}",
        f"{row.useful_tokens_per_minute:,.0f}",
        f"{row.usd_per_thousand_answers:.2f}",
    )


def _processes(workers: int) -> str:
    return "1 worker process" if workers == 1 else f"{workers} worker processes"
