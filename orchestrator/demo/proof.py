"""The proof: the page was published, as the job's own verification says and as the disk shows."""

from dataclasses import dataclass
from pathlib import Path

from contracts.artifacts import digest_of
from contracts.states import JobState
from orchestrator.reads.outcomes import JobRead


@dataclass(frozen=True)
class Proof:
    """Either the page, or a sentence that says what is missing."""

    page: Path | None
    fault: str = ""


def prove(job: JobRead, root: Path) -> Proof:
    """Believes nothing: the job must be done, verified, and the file must be there with that digest.
    `root` is the state directory."""
    if job.state is not JobState.DONE or job.result is None:
        return Proof(None, f"the job is {job.state}: {job.why}")
    facts = job.result.facts
    if facts.get("verified") is not True:
        return Proof(None, "the published page was not verified")
    page = root / str(facts.get("path", ""))
    if not page.is_file():
        return Proof(None, f"the job says that it published {page}, and there is no such file")
    if digest_of(page.read_bytes()) != facts.get("page_digest"):
        return Proof(None, f"{page} is not the page that was verified")
    return Proof(page)
