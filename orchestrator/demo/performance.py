"""The performance: a fleet of its own for one story, and what is left of it."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.demo.documents import Description, descriptions
from orchestrator.demo.keepsake import keep
from orchestrator.demo.saboteur import SHORT_LEASE
from orchestrator.demo.screen import Screen
from orchestrator.demo.story import Ending, Story
from orchestrator.settings import Settings
from orchestrator.up.fleet import Fleet, Wishes, running
from orchestrator.up.signals import Signals
from orchestrator.up.statedir import StateDir

PREFIX = "fleet-demo-"


@dataclass(frozen=True)
class Wish:
    """What one performance is asked to be."""

    documents: int
    interactive: bool = False
    state_dir: Path | None = None
    """None for a temporary one, of which sites and logs are copied away."""
    keep: bool = False
    """Whether the temporary directory is left as it is."""
    seed: int | None = None
    kills_a_worker: bool = False


@dataclass
class Performance:
    """One performance; `left` says where its site and its logs are, however it ended."""

    wish: Wish
    screen: Screen
    settings: Settings
    began_at: float = 0.0
    left: StateDir | None = None
    ready_seconds: float = 0.0
    whole_seconds: float = 0.0

    def perform(self, signals: Signals) -> Ending:
        """Raises CannotStart, FleetError or Interrupted; the fleet is drained in any case."""
        self.began_at = time.monotonic()
        documents = descriptions(self.wish.documents)
        self._introduce(documents)
        with self._state_dir() as root:
            ending = self._on_a_fleet(root, documents, signals)
        self.whole_seconds = time.monotonic() - self.began_at
        return ending

    def _on_a_fleet(self, root: Path, documents: list[Description], signals: Signals) -> Ending:
        wishes = Wishes(
            root,
            catalog=self.settings.catalog,
            simulator_seed=self.wish.seed,
            children_env=self._children_env(),
        )
        with running(wishes, self.screen.say, signals) as fleet:
            self.ready_seconds = fleet.await_ready(signals)
            self._present(fleet)
            url = self.settings.model_copy(update={"state_dir": fleet.state.root}).ledger_url
            story = Story(
                fleet,
                self.screen,
                url,
                self.settings.api_key,
                self.wish.interactive,
                self.wish.kills_a_worker,
            )
            with signals.interrupting():
                return story.run(documents)

    @contextmanager
    def _state_dir(self) -> Iterator[Path]:
        """A directory for the fleet. A temporary one is taken away once what shall survive is copied."""
        if self.wish.state_dir is not None:
            self.left = StateDir(self.wish.state_dir.expanduser().absolute())
            yield self.wish.state_dir
            return
        root = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            yield root
        finally:
            if self.wish.keep:
                self.left = StateDir(root)
            else:
                self.left = keep(StateDir(root), self.settings.state_dir)
                shutil.rmtree(root, ignore_errors=True)

    def _children_env(self) -> Mapping[str, str]:
        return SHORT_LEASE if self.wish.kills_a_worker else {}

    def _introduce(self, documents: list[Description]) -> None:
        size = sum(len(each.text) for each in documents)
        named = ", ".join(f"{each.name} {each.version}" for each in documents)
        self.screen.say(
            f"{len(documents)} documents, {size:,} characters, as their authors wrote them: {named}"
        )
        self.screen.say("starting a fleet of its own …")

    def _present(self, fleet: Fleet) -> None:
        from os import environ

        from orchestrator.up.access import how_vendors_answer

        self.screen.say(
            f"the fleet is ready after {self.ready_seconds:.1f} s; vendors: {how_vendors_answer(environ)}"
        )
        self.screen.say(f"  API {fleet.addresses.api_url}/docs, Flower {fleet.addresses.flower_url}")
