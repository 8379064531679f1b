"""Reading a prompt: which of its blocks is what."""

import re
from dataclasses import dataclass, field

_BLOCK = re.compile(r"<document\b([^>]*)>\n?(.*?)\n?</document>", re.DOTALL)
_NAME = re.compile(r"""name\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_EARLIER = re.compile(r"<(earlier|previous)\b[^>]*>.*?</\1>", re.DOTALL)
_TRIED = re.compile(r"^#+ .*\b(?:tried|earlier|previous)\b", re.MULTILINE | re.IGNORECASE)
_CLAIM = re.compile(r"^[ \t]*([^\s:\[\]]+-\d+): (.+)\n[ \t]+quote: (.+)$", re.MULTILINE)
_OPEN = re.compile(r"^[ \t]*open: (.+)$", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*(\d+)\|(?: (.*))?$")
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
    told_before: bool
    """Whether the prompt tells of earlier tries or lists what a review found."""
    everything: str = field(repr=False, default="")


def read_prompt(instructions: str, text: str) -> Reading:
    """Sort the blocks by what stands in them; a prompt without blocks is its own only source."""
    blocks = [Block(_name(match[1]), match[2]) for match in _BLOCK.finditer(text)]
    outside = _EARLIER.sub(" ", _BLOCK.sub(" ", text))
    material = "\n".join(block.text for block in blocks) if blocks else text
    claims = _CLAIM.findall(material)
    question = " ".join(next((block.text for block in blocks if _is_question(block)), "").split())
    told = " ".join(f"{instructions} {outside}".split())
    reviewed = next((lines for block in blocks if (lines := _numbered(block.text))), ())
    return Reading(
        # A task may repeat the question; its words are not what the task demands.
        instructions=told.replace(question, " ") if question else told,
        question=question or " ".join(outside.split()),
        sources=_sources(blocks, bool(claims)) if blocks else (Block("text", text),),
        claims=tuple(dict.fromkeys(RenderedClaim(*claim) for claim in claims)),
        open_questions=tuple(dict.fromkeys(_OPEN.findall(material))),
        reviewed=reviewed or (() if blocks else _numbered(text)),
        told_before=_tells_of_earlier_tries(text, outside),
        everything=f"{instructions}\n{text}",
    )


def _sources(blocks: list[Block], has_claims: bool) -> tuple[Block, ...]:
    """The documents in their own words. Where nothing else is at hand, one that only looks like claims,
    questions or numbered lines is taken for what it is."""
    found = tuple(block for block in blocks if _is_source(block))
    return found if found or has_claims else tuple(block for block in blocks if not _is_question(block))


def _tells_of_earlier_tries(text: str, outside: str) -> bool:
    return any((_EARLIER.search(text), _TRIED.search(outside), _FINDING.search(text)))


def _is_question(block: Block) -> bool:
    return block.name.lower() == "question"


def _name(attributes: str) -> str:
    """The document's name without the label a caller may put before it, as in ``document: celery``."""
    match = _NAME.search(attributes)
    name = (match[1] or match[2] or "") if match else ""
    label, _, rest = name.strip().partition(": ")
    return rest.strip() or label or "document"


def _is_source(block: Block) -> bool:
    """A document in its own words: no question, no claims, no numbered lines, no findings."""
    if _is_question(block) or _numbered(block.text) or not _OPEN.sub("", block.text).strip():
        return False
    return not (_CLAIM.search(block.text) or _FINDING.search(block.text))


def _numbered(text: str) -> tuple[tuple[int, str], ...]:
    """The lines of a text whose lines are mostly numbered, or nothing."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = [(int(match[1]), match[2] or "") for line in lines if (match := _NUMBERED.match(line))]
    return tuple(found) if len(found) >= 2 and len(found) * 2 > len(lines) else ()
