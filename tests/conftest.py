"""Tests keep their files in memory where there is enough of it; what a test kept is gone once it has passed."""

import os
import shutil

from tests.memory import MEMORY

ENOUGH_BYTES = 4 * 1024**3


def pytest_configure() -> None:
    if MEMORY is not None and shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
