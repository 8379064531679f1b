"""Which vendors are real here. Only names of variables are looked at, never their values."""

from collections.abc import Mapping

VENDOR_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
)
SIMULATE = "FLEET_SIMULATE"


def real_variables(env: Mapping[str, str]) -> list[str]:
    return [name for name in VENDOR_VARIABLES if env.get(name)]


def needs_simulator(env: Mapping[str, str]) -> bool:
    """With no real access every vendor is simulated; with any, only those that are named."""
    return not real_variables(env) or bool(env.get(SIMULATE))


def how_vendors_answer(env: Mapping[str, str]) -> str:
    """For the first screen: whether anything here is real."""
    real = real_variables(env)
    if not real:
        return "all simulated, since no vendor key and no vendor address is set"
    if env.get(SIMULATE):
        return f"real by {', '.join(real)}; simulated: {env[SIMULATE]}"
    return f"real by {', '.join(real)}; a vendor without a key is unavailable"


def without_vendors(env: Mapping[str, str]) -> dict[str, str]:
    """What everyone but a worker gets: only workers hold vendor keys."""
    return {name: value for name, value in env.items() if name not in VENDOR_VARIABLES}
