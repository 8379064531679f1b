"""Why a fleet cannot be brought up."""


class CannotStart(Exception):
    """A sentence that says what is in the way and what to do about it."""
