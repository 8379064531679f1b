"""What is left of a demo: its site and its logs, where they survive the temporary directory."""

import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from orchestrator.up.statedir import StateDir

DEMOS = "demo"


def keep(state: StateDir, home: Path) -> StateDir:
    """Copies sites and logs to a folder of their own under `home`, or under the system's temporary directory
    where that cannot be written, and answers the folder."""
    target = StateDir(_folder(home))
    for source, place in ((state.sites, target.sites), (state.logs, target.logs)):
        if source.is_dir():
            shutil.copytree(source, place)
    return target


def _folder(home: Path) -> Path:
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    try:
        parent = home.expanduser().absolute() / DEMOS
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{stamp}-", dir=parent))
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"fleet-demo-{stamp}-"))
