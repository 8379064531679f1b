"""Reading a prompt: which of its blocks is what."""

import re
from dataclasses import dataclass, field

_BLOCK = re.compile(r"<document\b([^>]*)>\n?(.*?)\n?</document>", re.DOTALL)
_NAME = re.compile(r"""name\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_CLAIM = re.compile(r"^[ \t]*([^\s:\[\]]+-\d+): (.+)\n[ \t]+quote: (.+)$", re.MULTILINE)
_OPEN = re.compile(r"^[ \t]*open: (.+)$", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*(\d+)\|[ ]?(.*)$")
_FINDING = re.compile(r"^[ \t]*[-*] line \d+ \([^)]*\): .+$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A named document of the prompt, its text as it stands there."""

    name: str
    text: str


@dataclass(frozen=True)
class RenderedClaim:
    """A statement somebody already took out of a document, with the id it is cited by."""

    id: str
    statement: str
    quote: str

    @property
    def source(self) -> str:
        """The id without its number: the document's name."""
        return self.id.rpartition("-")[0]


@dataclass(frozen=True)
class Reading:
    """A prompt, read."""

    instructions: str
    """Everything outside of the documents, white space folded."""
    question: str
    sources: tuple[Block, ...]
    claims: tuple[RenderedClaim, ...]
    open_questions: tuple[str, ...]
    reviewed: tuple[tuple[int, str], ...]
    """Numbered lines, as (number, text)."""
    findings: tuple[str, ...]
    """What an earlier review objected to."""
    everything: str = field(repr=False, default="")


def read_prompt(instructions: str, text: str) -> Reading:
    """Sort the blocks by what stands in them; a prompt without blocks is its own only source."""
    blocks = [Block(_name(match[1]), match[2]) for match in _BLOCK.finditer(text)]
    outside = _BLOCK.sub(" ", text)
    claims = _CLAIM.findall(text)
    question = next((block.text for block in blocks if block.name.lower().strip() == "question"), "")
    sources = tuple(block for block in blocks if _is_source(block))
    reviewed = next((lines for block in blocks if (lines := _numbered(block.text))), ())
    return Reading(
        instructions=" ".join(f"{instructions} {outside}".split()),
        question=" ".join((question or outside).split()),
        sources=sources if blocks else (Block("text", text),),
        claims=tuple(dict.fromkeys(RenderedClaim(*claim) for claim in claims)),
        open_questions=tuple(dict.fromkeys(_OPEN.findall(text))),
        reviewed=reviewed or (() if blocks else _numbered(text)),
        findings=tuple(_FINDING.findall(text)),
        everything=f"{instructions}\n{text}",
    )


def _name(attributes: str) -> str:
    match = _NAME.search(attributes)
    return (match[1] or match[2] or "document") if match else "document"


def _is_source(block: Block) -> bool:
    """A document in its own words: no question, no claims, no numbered lines, no findings."""
    if block.name.lower().strip() == "question" or _numbered(block.text):
        return False
    return not (_CLAIM.search(block.text) or _FINDING.search(block.text))


def _numbered(text: str) -> tuple[tuple[int, str], ...]:
    """The lines of a text whose lines are mostly numbered, or nothing."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = [(int(match[1]), match[2]) for line in lines if (match := _NUMBERED.match(line))]
    return tuple(found) if len(found) >= 2 and len(found) * 2 > len(lines) else ()
