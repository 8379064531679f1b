"""`fleet demo`, as a stranger starts it: the page is published, the counts agree, nothing is left running."""

import os
import re
import subprocess
import sys
from pathlib import Path

FLEET = (sys.executable, "-P", "-m", "orchestrator")


def test_the_demo_ends_with_a_verified_page_though_a_worker_is_killed(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}
    env |= {"FLEET_STATE_DIR": str(tmp_path / "state"), "TMPDIR": str(tmp_path), "COLUMNS": "200"}

    ended = subprocess.run(
        [*FLEET, "demo", "--documents", "3", "--kill-worker-once"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "objects with" in ended.stdout
    assert "settles the objection" in ended.stdout
    assert "as demo-overseer, through the same API" in ended.stdout
    assert "is killed with SIGKILL" in ended.stdout
    assert "(simulated)" in ended.stdout
    page = re.search(r"published and verified: (.+\.html)", ended.stdout)
    assert page is not None
    assert "celery-1" in Path(page.group(1)).read_text()
    assert not list(tmp_path.glob("fleet-demo-*")), "the temporary directory is taken away"
    assert not still_running(tmp_path)


def still_running(root: Path) -> list[str]:
    """Command lines or environments of processes that still name the directory."""
    listed = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(root) in line and "ps -eww" not in line]
