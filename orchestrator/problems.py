"""What upstream and people are told when something is refused: one sentence each, with its HTTP status."""


class Problem(Exception):
    """A refusal that changed nothing."""

    status = 400
    title = "refused"


class Malformed(Problem):
    """The body breaks its contract."""

    status = 422
    title = "the request breaks its contract"


class NotFound(Problem):
    status = 404
    title = "not found"


class Conflict(Problem):
    status = 409
    title = "conflicts with what is already there"


class TooLarge(Problem):
    status = 413
    title = "too large"


class Forbidden(Problem):
    status = 403
    title = "not allowed"
