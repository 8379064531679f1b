"""How a command ends: an exit code, and one sentence on standard error where it went wrong.

A traceback is left for defects of the project. What a user, a network or a disk can cause is a sentence.
"""

import os
import sys
from collections.abc import Callable, Sequence

import typer

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


class Refusal(Exception):
    """A command cannot do what it was asked; the sentence says why and what would help."""


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    try:
        code = typer.main.get_command(app)(arguments, prog_name="fleet", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        # who reads us has seen enough; without this the interpreter complains once more while it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        return _said(error)


def _said(error: Exception) -> int:
    if _is_interrupt(error):
        return INTERRUPTED
    for known in _KNOWN:
        if (sentence := known(error)) is not None:
            sys.stderr.write(f"fleet: {' '.join(sentence.split())}\n")
            return int(getattr(error, "exit_code", FAILED))
    raise error


def _is_interrupt(error: Exception) -> bool:
    return (type(error).__module__, type(error).__name__) == ("orchestrator.up.signals", "Interrupted")


def _misuse(error: Exception) -> str | None:
    """The sentence of the command-line parser, with where to read on."""
    format_message: Callable[[], str] | None = getattr(error, "format_message", None)
    if format_message is None:
        return None
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "fleet")
    return f"{format_message().rstrip('.')}; see `{path} --help`"


def _refusal(error: Exception) -> str | None:
    """Exceptions of ours whose text is a sentence for the user. They are known by name, so that a command
    that needs none of their modules does not import them."""
    names = {base.__name__ for base in type(error).__mro__ if base.__module__.split(".")[0] in _OURS}
    return str(error) if names & _SENTENCES else None


_OURS = ("orchestrator", "contracts")
_SENTENCES = {
    "Refusal",
    "CannotStart",
    "CannotServe",
    "FleetError",
    "Problem",
    "CatalogError",
    "UnknownName",
    "LedgerUnreachable",
    "WrongVersion",
}


def _settings(error: Exception) -> str | None:
    """A variable of the environment that cannot be understood."""
    if type(error).__name__ != "ValidationError" or getattr(error, "title", None) != "Settings":
        return None
    # A pace that another one gives is no fault of its own.
    faults = [f for f in error.errors() if f["type"] != "default_factory_not_called"]  # type: ignore[attr-defined]
    return "; ".join(
        (f"FLEET_{str(f['loc'][0]).upper()}: " if f["loc"] else "") + f["msg"].removeprefix("Value error, ")
        for f in faults
    )


def _database(error: Exception) -> str | None:
    """The ledger cannot be reached, or its address is none."""
    if not type(error).__module__.startswith("sqlalchemy"):
        return None
    if type(error).__name__ not in {
        "OperationalError",
        "ArgumentError",
        "NoSuchModuleError",
        "InterfaceError",
    }:
        return None
    cause = str(getattr(error, "orig", None) or error).split("\n")[0]
    return f"the ledger cannot be reached: {cause}; FLEET_DATABASE_URL or FLEET_STATE_DIR say where it is"


def _system(error: Exception) -> str | None:
    if not isinstance(error, OSError):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


_KNOWN: tuple[Callable[[Exception], str | None], ...] = (_misuse, _refusal, _settings, _database, _system)
