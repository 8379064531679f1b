"""Which contracts and handlers there are: the shipped ones and those of other packages, by entry points."""

from functools import cache
from importlib.metadata import entry_points

from contracts.base import Contract

CONTRACTS_GROUP = "fleet.contracts"
HANDLERS_GROUP = "fleet.handlers"


class UnknownName(LookupError):
    """A name that no registry knows; the sentence lists the known ones."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        listing = ", ".join(sorted(known)) or "none"
        super().__init__(f"unknown {kind} “{name}”; known are: {listing}")


@cache
def _names(group: str) -> frozenset[str]:
    return frozenset(point.name for point in entry_points(group=group))


def contract_names() -> frozenset[str]:
    return _names(CONTRACTS_GROUP)


def handler_names() -> frozenset[str]:
    return _names(HANDLERS_GROUP)


@cache
def contract(name: str) -> type[Contract]:
    """The model behind a contract's name; raises UnknownName."""
    for point in entry_points(group=CONTRACTS_GROUP, name=name):
        loaded = point.load()
        if not (isinstance(loaded, type) and issubclass(loaded, Contract)):
            raise TypeError(f"the entry point of contract “{name}” is no Contract")
        return loaded
    raise UnknownName("contract", name, list(contract_names()))
