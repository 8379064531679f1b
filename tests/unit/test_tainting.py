"""Tainting: what was built on a wrong result is found over any number of steps, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.artifacts import digest_of
from orchestrator.deciders.tainting import Made, built_on


def made(
    name: str, *given: str, job: str = "job", origin: str | None = None, shown: tuple[str, ...] = ()
) -> Made:
    """A subtask that delivered bytes of its own name, handed those of the ones given."""
    return Made(
        f"{job}/{name}",
        job,
        origin,
        name,
        digest(name),
        frozenset((n, digest(n)) for n in given),
        frozenset(shown),
    )


def digest(name: str) -> str:
    return digest_of(name.encode())


@given(st.lists(st.sets(st.integers(0, 11)), min_size=2, max_size=12), st.integers(0, 11))
def test_what_is_found_is_exactly_what_can_be_reached(needs: list[set[int]], wrong: int) -> None:
    """Against the plain definition, on plans without cycles: each step is given results of earlier ones only."""
    graph = {number: {each for each in given if each < number} for number, given in enumerate(needs)}
    steps = [made(str(number), *map(str, sorted(given))) for number, given in graph.items()]

    def reaches(number: int) -> bool:
        return any(each == wrong or reaches(each) for each in graph[number])

    expected = {f"job/{number}" for number in graph if number != wrong and reaches(number)}
    assert built_on({f"job/{wrong}"}, steps) == expected


def test_the_same_bytes_of_another_job_are_no_reason_unless_the_jobs_are_linked() -> None:
    source = made("page", job="first")
    stranger = made("audit", "page", job="second")
    linked = made("audit", "page", job="third", origin="first")
    assert built_on({source.id}, [source, stranger, linked]) == {linked.id}


def test_a_revision_is_built_on_the_round_that_it_was_shown() -> None:
    first = made("draft")
    second = made("draft#2", shown=(first.id,))
    assert built_on({first.id}, [first, second]) == {second.id}


def test_a_question_to_a_person_is_built_on_what_it_is_about() -> None:
    page = made("page")
    question = Made("job/approval", "job", None, "approval", None, asked=digest("page"))
    other = Made("job/other", "job", None, "other", None, asked=digest("another"))
    assert built_on({page.id}, [page, question, other]) == {question.id}
