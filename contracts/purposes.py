"""Why work exists: the one word on every job, subtask and call that the autonomy tax is counted by."""

from enum import StrEnum


class Purpose(StrEnum):
    FEATURE = "feature"
    MAINTENANCE = "maintenance"
    COORDINATION = "coordination"
    REVIEW = "review"
    REWORK = "rework"
