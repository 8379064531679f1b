"""The scenarios, each a row. What they are to reach stands with them."""

from tests.bench.pacing.scenario import BIG, SOL, Kind, Scenario

LONG_SECONDS = 90.0
"""Where the bar is a per cent or two: in one minute the pace still moves by half a per cent."""

SATURATED = Scenario(
    "saturated",
    "More work than the limit allows; the vendor saves up 60 s of an unused rate.",
    seconds=LONG_SECONDS,
    least_use=0.99,
)

SCENARIOS = (
    SATURATED,
    Scenario(
        "heavy-tail",
        "The same with long, heavy-tailed answers: mean 700 tokens, cv 2, at most 16,384.",
        mean_tokens=700,
        cv=2.0,
        max_output_tokens=16_384,
        limits={
            "requests_per_minute": 10_000,
            "input_tokens_per_minute": 10_000_000,
            "output_tokens_per_minute": 600_000,
        },
        seconds=LONG_SECONDS,
        least_use=0.98,
        per_worker_count=False,
    ),
    Scenario(
        "burst-5-told",
        "The vendor saves up only 5 s of an unused rate, and the catalog says so.",
        enforced={"hidden_burst_seconds": 5},
        told={"burst_seconds": 5},
        seconds=LONG_SECONDS,
        least_use=0.98,
        per_worker_count=False,
    ),
    Scenario(
        "burst-5-unknown",
        "The vendor saves up only 5 s of an unused rate, and nobody knows: what is learned, and at what price.",
        Kind.LEARNING,
        enforced={"hidden_burst_seconds": 5},
        settle_seconds=75,
        least_use=0.95,
        most_refused=2,
        per_worker_count=False,
    ),
    Scenario(
        "small-tier",
        "A small tier: 50 requests, 30,000 input and 8,000 output tokens a minute, two and a half minutes long.",
        limits={
            "requests_per_minute": 50,
            "input_tokens_per_minute": 30_000,
            "output_tokens_per_minute": 8_000,
        },
        mean_tokens=200,
        cv=0.5,
        slots=16,
        seconds=150,
        least_use=0.97,
        per_worker_count=False,
    ),
    Scenario(
        "openai-promise",
        "OpenAI counts the promised output: the share of its limit that carries useful tokens, with 800 tokens in, "
        "350 out and a cap of 4,096.",
        account=SOL,
        prompt_tokens=800,
        limits={"requests_per_minute": 10_000, "tokens_per_minute": 450_000},
        binding="tokens",
        cv=0.5,
        settle_seconds=40,
        least_use=0.80,
        per_worker_count=False,
    ),
    Scenario(
        "overload",
        "The vendor answers overloaded to everything for 60 s: how soon the limit is used again.",
        Kind.OVERLOAD,
        seconds=120,
        most_refused=None,
        per_worker_count=False,
    ),
    Scenario(
        "retry-after-60",
        "One 429 that names 60 s, the orchestrator killed meanwhile: what is started before, and whether it resumes.",
        Kind.CLOSED,
        settle_seconds=15,
        seconds=90,
        most_refused=None,
        per_worker_count=False,
    ),
    Scenario(
        "urgent",
        "Urgent work at a tenth of the limit, beside more ordinary work and maintenance than fits: its wait.",
        Kind.URGENT,
        least_use=None,
        per_worker_count=False,
    ),
    Scenario(
        "money-cap",
        "Eight concurrent first calls against a tiny cap in money: by how much it is overspent.",
        Kind.CAP,
        mean_tokens=500,
        cv=0.2,
        max_output_tokens=700,
        per_worker_count=False,
    ),
    Scenario(
        "replay-15000",
        "15,000 dead letters run again, as many at once as may be: preview, the vendor's refusals, abort.",
        Kind.REPLAY,
        settle_seconds=15,
        seconds=45,
        by_name_only=True,
        per_worker_count=False,
    ),
    Scenario(
        "cost-of-pacing",
        "Jobs of 1 → 8 → 1 subtasks that do nothing, with and without a budget: what pacing costs a subtask.",
        Kind.COST,
        limits=dict.fromkeys(BIG, 1_000_000_000),
        slots=6,
        per_worker_count=False,
    ),
)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
