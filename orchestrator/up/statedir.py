"""The state directory: everything one fleet keeps on this machine, and the lock that makes it one fleet."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from orchestrator.up.trouble import CannotStart

LOCK = "fleet.lock"
LOW_DISK_BYTES = 1024**3


@dataclass(frozen=True)
class StateDir:
    """Paths under one root; `opened` makes sure that they can be written."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def sites(self) -> Path:
        return self.root / "sites"

    @classmethod
    def opened(cls, root: Path) -> "StateDir":
        """The directory, made if need be; raises CannotStart if it cannot be written."""
        state = cls(root.expanduser().absolute())
        try:
            state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (state.logs, state.run):
                folder.mkdir(mode=0o700, exist_ok=True)
            probe = state.run / f"probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise CannotStart(
                f"the state directory {state.root} cannot be written ({error.strerror}); "
                "choose another with --state-dir DIR or FLEET_STATE_DIR"
            ) from None
        return state

    def low_disk(self) -> str | None:
        """A sentence if less than a gibibyte is free there."""
        free = shutil.disk_usage(self.root).free
        if free >= LOW_DISK_BYTES:
            return None
        return f"only {free / 1024**2:.0f} MiB are free under {self.root}; a full disk stops the ledger"

    @contextmanager
    def locked(self, holder: str, broker_url: str = "") -> Iterator[None]:
        """Holds the directory for one supervisor; raises CannotStart with the name of who holds it.

        The kernel gives the lock back when its holder dies, however that happens.
        """
        with _private(self.root / LOCK) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CannotStart(
                    f"the state directory {self.root} is held by {_holder(self.root / LOCK)}"
                ) from None
            file.truncate(0)
            since = datetime.now(UTC).astimezone().isoformat(" ", "seconds")
            json.dump({"pid": os.getpid(), "what": holder, "since": since, "broker_url": broker_url}, file)
            file.flush()
            yield


def broker_of(root: Path) -> str | None:
    """The address of the broker of the fleet that holds this directory now, for whoever is not its child."""
    try:
        with (root / LOCK).open("r+", encoding="utf-8") as file:
            noted = json.load(file)
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return str(noted["broker_url"]) or None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None


def _private(path: Path) -> TextIO:
    """For its owner alone: the address of a broker may hold a password."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+", encoding="utf-8")
    os.fchmod(file.fileno(), 0o600)
    return file


def _holder(path: Path) -> str:
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return f"process {noted['pid']} ({noted['what']}, since {noted['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
