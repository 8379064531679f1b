"""Which vendors are real here. Of a variable only its name is told, never its value; a blank one is unset."""

from collections.abc import Mapping

VENDOR_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_ADMIN_KEY",
    "ANTHROPIC_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
)
FURTHER = "__"
"""A key's variable may go on with this and the name of a further account of its vendor."""
LEDGER_VARIABLES = ("FLEET_DATABASE_URL", "FLEET_API_KEY")
SIMULATE = "FLEET_SIMULATE"


def real_variables(env: Mapping[str, str]) -> list[str]:
    return sorted(name for name in env if _is_vendors(name) and _told(env, name))


def needs_simulator(env: Mapping[str, str]) -> bool:
    """With no real access every vendor is simulated; with any, only those that are named."""
    return not real_variables(env) or _told(env, SIMULATE)


def how_vendors_answer(env: Mapping[str, str]) -> str:
    """For the first screen: whether anything here is real."""
    real = real_variables(env)
    if not real:
        return "all simulated, since no vendor key and no vendor address is set"
    if _told(env, SIMULATE):
        return f"real by {', '.join(real)}; simulated: {env[SIMULATE]}"
    return f"real by {', '.join(real)}; a vendor without a key is unavailable"


def of_vendors(env: Mapping[str, str]) -> dict[str, str]:
    """What a worker gets: every SDK reads its address itself, and a blank one would be none."""
    return {name: env[name] for name in real_variables(env)}


def without_vendors(env: Mapping[str, str]) -> dict[str, str]:
    """What everyone but a worker gets: only workers hold vendor keys."""
    return {name: value for name, value in env.items() if not _is_vendors(name)}


def without_credentials(env: Mapping[str, str]) -> dict[str, str]:
    """What those get who ask neither ledger nor API: a credential serves one system."""
    return {name: value for name, value in without_vendors(env).items() if name not in LEDGER_VARIABLES}


def _is_vendors(name: str) -> bool:
    stem, further, _ = name.partition(FURTHER)
    return stem in VENDOR_VARIABLES and (not further or stem.endswith("_KEY"))


def _told(env: Mapping[str, str], name: str) -> bool:
    return bool(env.get(name, "").strip())
