"""`fleet budgets set`, `open`, `floor`, `weight` and `changes`: what operators change while the fleet runs."""

from typing import Annotated

import typer

from orchestrator.cli.budget_tables import budgets_shown, changes_shown, shares_shown
from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, Cursor, Limit, Reason, actor_or_user, number
from orchestrator.cli.screen import console, more, show_json

Key = Annotated[str, typer.Argument(metavar="KEY", help="As shown: vendor/account/group.")]
NUMBERS = {"ignore_unknown_options": True}
"""Of the parser, so that a number below zero is refused for what it is and not as an option."""


def set_(
    key: Key,
    dimension: Annotated[
        str,
        typer.Argument(
            metavar="DIMENSION",
            help="requests, input_tokens, output_tokens or tokens (per minute), requests_per_day, "
            "tokens_per_day, concurrency (calls at once) or burst_seconds.",
        ),
    ],
    value: Annotated[float, typer.Argument(metavar="VALUE", parser=number, help="A number above 0.")],
    reason: Reason,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Set a limit of a budget. It holds from the next grant on, without a restart.

    What is left does not rise with the limit: it refills at the new rate, and what a day's raised limit adds is
    there with the next day. What was learned of the old value is forgotten; what the vendor says still lowers
    the limit. The catalog's limits are only what a budget begins with: whatever is set here outranks them, also if
    they are changed later.

    Example: fleet budgets set anthropic/default/haiku output_tokens 90000 --reason "tier 3"
    """
    read = fleet().set_limit(key, dimension, value, actor_or_user(actor), reason)
    return show_json(read) if as_json else console().print(budgets_shown([read]))


def open_(key: Key, reason: Reason, actor: Actor = None, as_json: AsJson = False) -> None:
    """Open a closed account before its time, such as when its bill was paid.

    Where overload or a person's matter had closed it, one call still goes ahead of the rest.

    Example: fleet budgets open openai/default/sol --reason "credit was added"
    """
    read = fleet().open_account(key, actor_or_user(actor), reason)
    return show_json(read) if as_json else console().print(budgets_shown([read]))


def floor(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="purpose, lane or priority.")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the purpose or lane; the priority is urgent.")
    ],
    fraction: Annotated[
        float, typer.Argument(metavar="FRACTION", parser=number, help="From 0, which keeps none, to 1.")
    ],
    reason: Reason,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Keep a part of every pool for a purpose, a lane or urgent work.

    Others borrow what it does not use. The floors of a kind are at most 1 together.

    Example: fleet budgets floor purpose maintenance 0.2 --reason "the backlog of re-reviews"
    """
    shares = fleet().set_floor(kind, name, fraction, actor_or_user(actor), reason)
    return show_json(shares) if as_json else console().print(shares_shown(shares))


def weight(
    tenant: Annotated[str, typer.Argument(metavar="TENANT")],
    number_: Annotated[
        float, typer.Argument(metavar="NUMBER", parser=number, help="Above 0; 1 where nothing else is set.")
    ],
    reason: Reason,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Let a tenant weigh more or less against the others in what no floor keeps.

    Example: fleet budgets weight acme 2 --reason "their contract"
    """
    shares = fleet().set_weight(tenant, number_, actor_or_user(actor), reason)
    return show_json(shares) if as_json else console().print(shares_shown(shares))


def changes(limit: Limit = 20, cursor: Cursor = None, as_json: AsJson = False) -> None:
    """List what operators changed of limits, floors, weights and spending caps, the latest first.

    Example: fleet budgets changes --limit 20
    """
    page = fleet().setting_changes(limit, cursor)
    if as_json:
        return show_json(page)
    console().print(changes_shown(page.items) if page.items else "no changes")
    return more(page.next_cursor, "fleet budgets changes")
