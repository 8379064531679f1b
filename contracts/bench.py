"""The payloads of the lanes by which the fleet itself is measured."""

from typing import ClassVar

from pydantic import Field

from contracts.base import Contract, Payload


class Inputs(Contract):
    contract: ClassVar[str] = "bench.Inputs@1"

    items: tuple[str, ...] = Field(min_length=1, max_length=1000)


class Nothing(Payload):
    contract: ClassVar[str] = "bench.Nothing@1"

    def headline(self) -> str:
        return "nothing was done"


class Text(Payload):
    contract: ClassVar[str] = "bench.Text@1"

    text: str

    def headline(self) -> str:
        return f"{len(self.text)} characters"
