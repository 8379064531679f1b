"""The names of the looks: what a tick of the clock can look for before any job is made."""

LOOKS: tuple[str, ...] = ("activity", "stalled", "closed-work", "always", "limits", "invariants")
