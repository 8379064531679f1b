"""Webhooks: upstream learns how its job ended, signed after the Standard Webhooks scheme and retried."""

import base64
import json
import logging
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError
from standardwebhooks.webhooks import Webhook

from orchestrator.ledger import events
from orchestrator.ledger.clock import now, wall_clock
from orchestrator.ledger.engine import Ledger, LedgerUnreachable
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import tenant, webhook

log = logging.getLogger(__name__)

ACTOR = "orchestrator.webhooks"
POLL_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0)
"""Pauses before each further try, as the scheme's authors propose; after the last one it is given up."""


def secret_of(ledger: Ledger, name: str) -> str:
    """The tenant's signing secret, made at first use."""
    with ledger.read() as connection:
        known = connection.execute(select(tenant.c.webhook_secret).where(tenant.c.name == name)).scalar()
    if known:
        return str(known)
    made = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    try:
        with ledger.write() as connection:
            connection.execute(insert(tenant).values(name=name, webhook_secret=made))
    except IntegrityError:
        return secret_of(ledger, name)
    return made


class Deliverer:
    """Delivers what is due, for as long as it runs."""

    def __init__(self, ledger: Ledger, allowed: tuple[str, ...], leads: Callable[[], bool]) -> None:
        """`leads` says whether this process leads: standbys deliver nothing, or upstream would hear it twice."""
        self._ledger = ledger
        self._leads = leads
        self._allowed = set(allowed)
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Delivers until stopped."""
        with httpx2.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client:
            while not self._stopping.wait(POLL_SECONDS):
                if not self._leads():
                    continue
                try:
                    self.deliver(client)
                except LedgerUnreachable as error:
                    log.warning("%s; trying again", error)
                except Exception:
                    log.exception("webhooks could not be delivered; trying again")

    def deliver(self, client: httpx2.Client) -> int:
        """Tries every webhook that is due and answers how many."""
        with self._ledger.read() as connection:
            rows = _due(connection)
        for row in rows:
            error = self._tried(client, row)
            with self._ledger.write() as connection:
                _note(connection, row, error)
        return len(rows)

    def _tried(self, client: httpx2.Client, row: Any) -> str | None:
        """As `_send`; what one address can raise holds up no other."""
        try:
            return self._send(client, row)
        except LedgerUnreachable:
            raise
        except Exception as error:
            log.warning("webhook %s could not be sent", row.id, exc_info=True)
            return f"{type(error).__name__}: {error}"[:500]

    def _send(self, client: httpx2.Client, row: Any) -> str | None:
        """None where it was taken, else what went wrong, in a sentence."""
        url = httpx2.URL(row.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        if not {url.host, f"{url.host}:{port}"} & self._allowed:
            return f"{url.host} is not on the allow-list any more"
        at = datetime.now(UTC)  # the receiver compares it with its own clock
        body = json.dumps(row.body | {"timestamp": at.isoformat()})
        signature = Webhook(secret_of(self._ledger, row.tenant)).sign(row.id, at, body)
        headers = {
            "content-type": "application/json",
            "webhook-id": row.id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
        }
        try:
            answer = client.post(row.url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        return None if answer.is_success else f"the receiver answered {answer.status_code}"


def _due(connection: Connection) -> list[Any]:
    query = (
        select(webhook)
        .where(
            webhook.c.delivered_at.is_(None),
            webhook.c.gave_up_at.is_(None),
            webhook.c.next_at <= wall_clock(),
        )
        .order_by(webhook.c.next_at)
        .limit(20)
    )
    return list(connection.execute(query))


def _note(connection: Connection, row: Any, error: str | None) -> None:
    at = now(connection)
    change: dict[str, Any] = {"tries": row.tries + 1, "last_error": error or ""}
    kind = None
    if error is None:
        change["delivered_at"], kind = at, EventKind.WEBHOOK_DELIVERED
    elif row.tries >= len(RETRY_SECONDS):
        change["gave_up_at"], kind = at, EventKind.WEBHOOK_GAVE_UP
    else:
        change["next_at"] = at + RETRY_SECONDS[row.tries]
    connection.execute(update(webhook).where(webhook.c.id == row.id).values(**change))
    if kind:
        told = Event(at, kind, ACTOR, row.job_id, sentence=error or f"taken after {row.tries + 1} tries")
        events.record(connection, told)
