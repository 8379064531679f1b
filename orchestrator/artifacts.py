"""The artifact store: bytes by digest, on any file system that fsspec speaks."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec

from contracts.artifacts import ArtifactRef, digest_of


class ArtifactMissing(Exception):
    """The store is there and keeps no bytes under this digest, or what it keeps does not match it."""


class StoreUnreachable(Exception):
    """The store did not take or give; the same may succeed later."""


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except ArtifactMissing:
        raise
    except Exception as error:  # whatever a file system's client raises
        raise StoreUnreachable(
            f"the artifact store is unreachable: {type(error).__name__}: {error}"
        ) from error


class ArtifactStore:
    """Put and get by digest. Putting the same bytes twice is one artifact."""

    def __init__(self, url: str) -> None:
        """`url` is an fsspec URL, such as ``file:///var/lib/fleet`` or ``s3://bucket/fleet``."""
        self._fs, self._root = fsspec.core.url_to_fs(url)

    def put(
        self, content: bytes, media_type: str = "application/octet-stream", name: str = ""
    ) -> ArtifactRef:
        """Keeps the bytes; they are complete under their name or not there at all. Raises StoreUnreachable."""
        ref = ArtifactRef(
            digest=digest_of(content), size_bytes=len(content), media_type=media_type, name=name
        )
        path = self._path(ref.digest)
        with _reached():
            if not self._fs.exists(path):
                self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
                unfinished = f"{path}.{secrets.token_hex(4)}"
                self._fs.pipe_file(unfinished, content)
                self._fs.mv(unfinished, path)
        return ref

    def get(self, digest: str) -> bytes:
        """The bytes; raises ArtifactMissing where they are absent or altered, and StoreUnreachable."""
        with _reached():
            try:
                content: bytes = self._fs.cat_file(self._path(digest))
            except FileNotFoundError:
                self._look_for_the_store()
                raise ArtifactMissing(f"no artifact {digest} is kept in {self._root}") from None
        if digest_of(content) != digest:
            raise ArtifactMissing(f"the artifact kept as {digest} was altered")
        return content

    def _look_for_the_store(self) -> None:
        """Raises where the store itself is not there: what it holds is not lost for that. A folder in which
        nothing is mounted stays behind, and is empty."""
        self._fs.invalidate_cache()
        if not self._fs.ls(self._root, detail=False):
            raise FileNotFoundError(f"{self._root} holds nothing at all; is it mounted?")

    def _path(self, digest: str) -> str:
        name = digest.removeprefix("sha256:")
        return f"{self._root}/{name[:2]}/{name}"
