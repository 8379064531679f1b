"""The artifact store: bytes by digest, on any file system that fsspec speaks."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec

from contracts.artifacts import ArtifactRef, digest_of


class ArtifactMissing(Exception):
    """No bytes are kept under this digest, or what is kept does not match it."""


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
                raise ArtifactMissing(f"no artifact {digest} is kept in {self._root}") from None
        if digest_of(content) != digest:
            raise ArtifactMissing(f"the artifact kept as {digest} was altered")
        return content

    def _path(self, digest: str) -> str:
        name = digest.removeprefix("sha256:")
        return f"{self._root}/{name[:2]}/{name}"
