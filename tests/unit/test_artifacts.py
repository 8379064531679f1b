"""The artifact store: what its file system raises has one name, whatever file system that is."""

from pathlib import Path

import pytest

from contracts.artifacts import digest_of
from orchestrator.artifacts import ArtifactMissing, ArtifactStore, StoreUnreachable


def test_whatever_the_file_system_raises_is_a_store_that_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, where the folder was mounted before")
    store = ArtifactStore((tmp_path / "store").as_uri())
    with pytest.raises(StoreUnreachable, match="the artifact store is unreachable: "):
        store.put(b"content")
    with pytest.raises(StoreUnreachable, match="the artifact store is unreachable: "):
        store.get(digest_of(b"content"))


def test_what_was_never_kept_or_was_altered_is_missing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path.as_uri())
    with pytest.raises(ArtifactMissing, match="no artifact sha256:"):
        store.get(digest_of(b"content"))
    ref = store.put(b"content")
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    kept.write_bytes(b"other")
    with pytest.raises(ArtifactMissing, match="was altered"):
        store.get(ref.digest)
