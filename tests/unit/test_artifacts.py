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
    ref = store.put(b"content")
    with pytest.raises(ArtifactMissing, match="no artifact sha256:"):
        store.get(digest_of(b"something else"))
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    kept.write_bytes(b"other")
    with pytest.raises(ArtifactMissing, match="was altered"):
        store.get(ref.digest)


@pytest.mark.parametrize("leaves_its_folder", [True, False])
def test_what_a_store_kept_that_is_not_mounted_any_more_is_not_missing(
    tmp_path: Path, leaves_its_folder: bool
) -> None:
    folder = tmp_path / "store"
    store = ArtifactStore(folder.as_uri())
    ref = store.put(b"content")
    folder.rename(tmp_path / "unmounted")
    if leaves_its_folder:
        folder.mkdir()
    with pytest.raises(StoreUnreachable, match="the artifact store is unreachable: FileNotFoundError: "):
        store.get(ref.digest)
    if leaves_its_folder:
        folder.rmdir()
    (tmp_path / "unmounted").rename(folder)
    assert store.get(ref.digest) == b"content"
