"""The names of the figures, and what each says. Dashboards and alerts rely on them."""

from enum import StrEnum


class Figure(StrEnum):
    """Every figure that comes from the ledger. Counters get their ``_total`` when they are shown."""

    JOBS = "fleet_jobs"
    SUBTASKS = "fleet_subtasks"
    ATTEMPTS = "fleet_attempts"
    DOORBELLS = "fleet_doorbells"
    TOKENS = "fleet_tokens"
    COST_USD = "fleet_cost_usd"
    SAVED_USD = "fleet_saved_usd"
    WORKER_SECONDS = "fleet_worker_seconds"
    WAIT_SECONDS = "fleet_wait_seconds"
    AUTONOMY_TAX_RATIO = "fleet_autonomy_tax_ratio"
    READY = "fleet_ready"
    OLDEST_READY_SECONDS = "fleet_oldest_ready_seconds"
    RUNNING = "fleet_running"
    SUBMITTED = "fleet_submitted"
    BUDGET_LIMIT = "fleet_budget_limit"
    BUDGET_LEVEL = "fleet_budget_level"
    BUDGET_CLOSED_UNTIL_SECONDS = "fleet_budget_closed_until_seconds"
    VENDOR_RESPONSES = "fleet_vendor_responses"
    DEAD_LETTERS = "fleet_dead_letters"
    OLDEST_DEAD_LETTER_SECONDS = "fleet_oldest_dead_letter_seconds"
    APPROVALS_WAITING = "fleet_approvals_waiting"
    OLDEST_APPROVAL_SECONDS = "fleet_oldest_approval_seconds"
    GATE_EVENTS = "fleet_gate_events"
    ESCALATION_DRILL_AGE_SECONDS = "fleet_escalation_drill_age_seconds"
    INVARIANTS_BROKEN = "fleet_invariants_broken"
    WORKERS_SILENT = "fleet_workers_silent"
    ORCHESTRATOR_LEADER = "fleet_orchestrator_leader"
    COST_PER_SUCCESS_USD = "fleet_cost_per_success_usd"


NOBODY = "none"
"""The label of what has no lane or no vendor, such as the step of a person."""
