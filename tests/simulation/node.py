"""One orchestrator process: the real loop over the real verbs, turned by hand, with chance and time passed in."""

from collections.abc import Callable
from pathlib import Path

from contracts.catalog import Catalog
from orchestrator.advance import Advancer
from orchestrator.answers import Answerer
from orchestrator.artifacts import ArtifactStore
from orchestrator.blocking import Suppliers
from orchestrator.dispatch import Dispatcher
from orchestrator.gathering import Gatherer
from orchestrator.intake import Intake
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.leadership import Leadership
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.looking import Looker
from orchestrator.loop import Loop, Verbs
from orchestrator.plan import Planner
from orchestrator.recall import Recaller
from orchestrator.reconcile import Reconciler
from orchestrator.replay import Replayer
from orchestrator.settings import Settings
from tests.integration.small_fleet import NoWake

LEASE_SECONDS = 6.0


class Node:
    """It leads or stands by; its memory is gone with it."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        catalog: Catalog,
        store: ArtifactStore,
        folder: Path,
        chance: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        settings = Settings(state_dir=folder)
        intake = Intake(ledger, catalog, store, ("127.0.0.1",))
        snapshots = Snapshots()
        self.leadership = Leadership(ledger, name, LEASE_SECONDS)
        dispatch = Dispatcher(self.leadership, settings)
        suppliers = Suppliers(intake, catalog.prerequisites)
        verbs = Verbs(
            plan=Planner(self.leadership, snapshots),
            replay=Replayer(self.leadership, snapshots, catalog),
            advance=Advancer(
                self.leadership, snapshots, dispatch.learn, dispatch.correct, suppliers, chance=chance
            ),
            answer=Answerer(self.leadership, snapshots),
            recall=Recaller(self.leadership, snapshots, settings),
            gather=Gatherer(ledger, self.leadership, catalog, intake, settings),
            dispatch=dispatch,
            reconcile=Reconciler(self.leadership, snapshots, {}, dispatch.correct, chance=chance),
        )
        look = Looker(ledger).look
        self._loop = Loop(self.leadership, verbs, look, NoWake(), lambda: None, monotonic)
        self._monotonic = monotonic
        self._lead_until = float("-inf")

    def turn(self) -> int:
        """What the loop does between two waits: extends the lead in time, or stands by; raises as the loop would
        catch."""
        now = self._monotonic()
        if now >= self._lead_until:
            if not self.leadership.seek():
                return 0
            self._lead_until = now + LEASE_SECONDS / 3
        return self._loop.turn()

    @property
    def leads(self) -> bool:
        """Whether it believes so."""
        return self._monotonic() < self._lead_until

    def slept(self, seconds: float) -> None:
        """Its machine stood still for so long, and `time.monotonic` with it: it believes that it still leads."""
        self._lead_until += seconds

    def stumbled(self) -> None:
        """What the loop does after it was deposed or did not reach the ledger: it looks first whether it leads."""
        self._lead_until = float("-inf")
