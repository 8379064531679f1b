"""When the clock makes work: the names of its ticks and how often each comes round.

A tick's slot is the last multiple of its cadence on the database's wall clock. Upkeep and the orchestrator both
write it, once; the message that beat sends to upkeep only says «look now». What a tick looks for, and which
workflow does the work, stands in the catalog under the same name.
"""

MINUTE = 60.0
HOUR = 60 * MINUTE

CADENCE_SECONDS: dict[str, float] = {
    "health-snapshot": 5 * MINUTE,
    "stalled-work": 1 * MINUTE,
    "re-review": 15 * MINUTE,
    "escalation-drill": 6 * HOUR,
    "limits": 15 * MINUTE,
    "invariants": 5 * MINUTE,
}

TICK_TASK = "tick"
UPKEEP_QUEUE = "lane.upkeep"

beat_schedule = {
    name: {"task": TICK_TASK, "schedule": cadence, "args": (name,), "options": {"queue": UPKEEP_QUEUE}}
    for name, cadence in CADENCE_SECONDS.items()
}
