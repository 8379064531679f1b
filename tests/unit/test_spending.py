"""Spending: money reserves the worst case, so that a cap holds however work and its ends interleave."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st

from contracts.reports import NANO
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.spending import (
    Cap,
    Charge,
    Parked,
    Period,
    Scope,
    afford,
    fitting,
    taken,
    worst_input,
)
from orchestrator.prices import worst_case

CENT = NANO // 100
TODAY = datetime(2026, 11, 21, 12, tzinfo=UTC)


def caps(*given: Cap) -> dict[str, Cap]:
    return {cap.key: cap for cap in given}


def charge(worst: int, tenant: str = "acme", lane: str = "draft", purpose: str = "feature") -> Charge:
    return Charge(tenant, lane, purpose, "01JOB", worst)


def test_at_the_cap_work_is_parked_with_the_numbers() -> None:
    acme = Cap(Scope.TENANT, "acme", Period.DAY, 500 * CENT, spent=498 * CENT)
    found = afford(caps(acme), charge(4 * CENT))
    assert found == Parked(acme, "tenant acme has spent $4.98 of $5.00 today; this attempt may cost $0.04")


def test_beside_work_under_way_it_is_told_what_that_may_cost() -> None:
    fleet = Cap(Scope.FLEET, "", Period.TOTAL, 10 * CENT, spent=3 * CENT, reserved=5 * CENT)
    why = "the fleet has spent $0.03 of $0.10, and work under way may cost $0.05; this attempt may cost $0.04"
    assert afford(caps(fleet), charge(4 * CENT)) == Parked(fleet, why)
    assert afford(caps(fleet), charge(2 * CENT)) is None


def test_small_amounts_are_told_with_enough_digits() -> None:
    job = Cap(Scope.JOB, "01JOB", Period.TOTAL, 2_000_000, spent=1_900_000)
    found = afford(caps(job), charge(123_456))
    assert isinstance(found, Parked)
    assert found.why == "this job has spent $0.00190 of $0.00200; this attempt may cost $0.00012"


def test_every_cap_must_hold_and_only_those_that_concern_it() -> None:
    roomy = Cap(Scope.TENANT, "acme", Period.TOTAL, 100 * CENT)
    tight = Cap(Scope.PURPOSE, "feature", Period.DAY, 1 * CENT)
    others = Cap(Scope.LANE, "review", Period.DAY, 0)
    found = afford(caps(roomy, tight, others), charge(4 * CENT))
    assert isinstance(found, Parked) and found.cap == tight
    assert afford(caps(roomy, others), charge(4 * CENT)) is None


def test_what_costs_nothing_is_never_held() -> None:
    assert afford(caps(Cap(Scope.FLEET, "", Period.DAY, 0, spent=5 * CENT)), charge(0)) is None


def test_a_grant_is_reserved_in_every_cap_that_concerns_it() -> None:
    mine, other = Cap(Scope.TENANT, "acme", Period.DAY, 9), Cap(Scope.TENANT, "globex", Period.DAY, 9)
    after = taken(caps(mine, other), charge(4))
    assert (after[mine.key].reserved, after[other.key].reserved) == (4, 0)


def test_what_is_released_fits_together() -> None:
    cap = Cap(Scope.LANE, "draft", Period.DAY, 100, spent=20, reserved=30)
    assert fitting(cap, [("a", 30), ("b", 25), ("c", 20), ("d", 1)]) == ["a", "c"]


@given(
    limits=st.tuples(*[st.one_of(st.none(), st.integers(0, 500))] * 5),
    story=st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from(["acme", "globex"]),
            st.sampled_from(["draft", "review"]),
            st.integers(1, 120),
            st.floats(0.0, 1.3),
        ),
        max_size=60,
    ),
)
def test_no_interleaving_overspends_by_more_than_the_settling_error(
    limits: tuple[int | None, ...], story: list[tuple[bool, str, str, int, float]]
) -> None:
    """An end may cost more than its worst case; by so much, and not by a nano-dollar more, a cap is exceeded."""
    kinds = [(Scope.FLEET, ""), (Scope.TENANT, "acme"), (Scope.LANE, "draft"), (Scope.PURPOSE, "feature")]
    kinds += [(Scope.JOB, "01JOB")]
    known = caps(
        *(
            Cap(*kind, Period.TOTAL, limit)
            for kind, limit in zip(kinds, limits, strict=True)
            if limit is not None
        )
    )
    running: list[tuple[Charge, int]] = []
    ended: list[tuple[Charge, int]] = []

    def concerned(cap: Cap, of: list[tuple[Charge, int]]) -> list[tuple[Charge, int]]:
        return [(each, cost) for each, cost in of if each.names()[cap.scope] == cap.name]

    for begins, tenant, lane, worst, share in story:
        now = caps(
            *(
                Cap(
                    cap.scope,
                    cap.name,
                    cap.period,
                    cap.limit,
                    spent=sum(cost for _, cost in concerned(cap, ended)),
                    reserved=sum(each.worst for each, _ in concerned(cap, running)),
                )
                for cap in known.values()
            )
        )
        wanted = charge(worst, tenant, lane)
        if not begins and running:
            ended.append(running.pop(worst % len(running)))
        elif afford(now, wanted) is None:
            running.append((wanted, round(worst * share)))
    for cap in known.values():
        admitted = concerned(cap, ended + running)
        error = sum(max(cost - each.worst, 0) for each, cost in admitted)
        assert sum(cost for _, cost in admitted) <= cap.limit + error


MODELS = [
    (vendor.vendor, model, facts.context_tokens)
    for vendor in load_catalog().vendors.values()
    for group in vendor.groups.values()
    for model, facts in group.models.items()
]


@pytest.mark.parametrize(("vendor", "model", "context"), MODELS, ids=lambda value: str(value))
@given(share=st.floats(0, 1), written=st.floats(0, 1), read=st.floats(0, 1), output=st.integers(0, 64_000))
def test_no_call_costs_more_than_its_worst_case(
    vendor: str, model: str, context: int, share: float, written: float, read: float, output: int
) -> None:
    tokens = int(context * share)
    into = int(tokens * written)
    usage = Usage(
        input_tokens=tokens,
        cache_write_tokens=into,
        cache_read_tokens=int((tokens - into) * read),
        output_tokens=output,
    )
    real = calc_price(usage, model, provider_id=vendor, genai_request_timestamp=TODAY).total_price
    assert real * NANO <= worst_case(vendor, model, tokens, output, TODAY.timestamp())


def test_above_a_tier_every_token_has_its_price() -> None:
    def cost(tokens: int) -> int:
        return worst_case("anthropic", "claude-haiku-5-5", tokens, 1000, TODAY.timestamp())

    assert cost(100_000) == 100_000 * 125 + 1000 * 500
    assert cost(100_001) == 100_001 * 625 + 1000 * 2500


def test_a_price_that_rises_at_midnight_is_reserved_in_the_evening() -> None:
    evening = datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC)
    noon = datetime(2026, 11, 29, 12, tzinfo=UTC)
    before, after = (
        calc_price(
            Usage(input_tokens=1000), "gemini-4-argon", provider_id="google", genai_request_timestamp=at
        )
        for at in (noon, datetime(2026, 12, 1, tzinfo=UTC))
    )
    assert before.total_price < after.total_price, "the tables have changed; this shows nothing any more"
    assert worst_case("google", "gemini-4-argon", 1000, 0, evening.timestamp()) == after.total_price * NANO
    assert worst_case("google", "gemini-4-argon", 1000, 0, noon.timestamp()) == before.total_price * NANO


def test_a_model_without_a_price_has_no_worst_case() -> None:
    with pytest.raises(LookupError):
        worst_case("anthropic", "claude-none", 1, 1, TODAY.timestamp())


def test_an_estimate_below_a_tier_reserves_the_tier_that_it_may_reach() -> None:
    """90,000 tokens by their characters may be more than the 100,000 at which every token has another price."""
    tokens = worst_input(90_000, 80_000, tries=0, most_output_tokens=4000)
    assert tokens == 135_000
    worst = worst_case("anthropic", "claude-haiku-5-5", tokens, 4000, TODAY.timestamp())
    real = calc_price(
        Usage(input_tokens=100_001, output_tokens=4000),
        "claude-haiku-5-5",
        provider_id="anthropic",
        genai_request_timestamp=TODAY,
    )
    assert Decimal(worst) >= real.total_price * NANO
    assert worst_input(1000, 2000, tries=2, most_output_tokens=500) == 4000
