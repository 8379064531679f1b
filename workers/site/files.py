"""Files that are either the old ones or the new ones, whole, whenever the process dies."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Writes beside the file and renames. The caller holds the site's write lock, so that the temporary
    name, which a crash leaves behind and the next writer overwrites, has one writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
