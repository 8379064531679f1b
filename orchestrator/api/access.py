"""Access: the one key of the API, where one is set."""

import secrets

from fastapi import Request

from orchestrator.api.services import With
from orchestrator.problems import Problem


class Unauthorised(Problem):
    """No key, or another one."""

    status = 401
    title = "who are you"


def with_key(request: Request, services: With) -> None:
    """Refuses a request without the key in ``Authorization: Bearer …``. Open where no key is set."""
    wanted = services.settings.api_key
    if not wanted:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), wanted.encode()):
        raise Unauthorised("this fleet asks for its key: send it as “Authorization: Bearer <FLEET_API_KEY>”")
