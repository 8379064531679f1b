"""Where a site stands: the one folder that a target names, and the files in it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from contracts.failures import Code
from contracts.handoffs import Assignment
from workers.settings import WorkerSettings
from workers.site.names import is_folder, is_slug
from workers.site.refusal import listed, refusal


@dataclass(frozen=True)
class Place:
    """The folder of one site: of a portfolio, or the disposable one of a job."""

    root: Path
    """The state directory; addresses of pages are relative to it."""
    directory: Path

    def page(self, slug: str) -> Path:
        """The page's HTML file; like `source` it raises HandlerFailure (ineligible) for what is no slug."""
        return self.directory / f"{_slug(slug)}.html"

    def source(self, slug: str) -> Path:
        """The page's Markdown with its front matter."""
        return self.directory / "pages" / f"{_slug(slug)}.md"

    @property
    def index(self) -> Path:
        return self.directory / "index.html"

    @property
    def posts(self) -> Path:
        return self.directory / "posts.sqlite3"

    def address(self, slug: str) -> str:
        """The page's path relative to the root, such as ``sites/acme/energy/wind.html``."""
        return self.page(slug).relative_to(self.root).as_posix()

    def images(self) -> frozenset[str]:
        """The images that stand beside the pages, as a page refers to them: ``images/<name>``."""
        found = (self.directory / "images").glob("*")
        return frozenset(f"images/{path.name}" for path in found if path.is_file())


@contextmanager
def reached(place: Place) -> Iterator[None]:
    """Raises HandlerFailure (store_unreachable) for whatever a file system refuses: where there is no room, or
    nothing is mounted, the same may succeed later."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        what = f"{type(error).__name__}: {error}"
        raise refusal(
            Code.STORE_UNREACHABLE, f"the site in {place.directory} took or gave nothing: {what}"
        ) from error


def site_of(settings: WorkerSettings, assignment: Assignment) -> Place:
    """The site of the assignment's portfolio, apart from those of other tenants; raises HandlerFailure
    (gate_refused) where a name is more than a name."""
    folder = settings.sites_dir / _simple(assignment.tenant) / _simple(assignment.portfolio)
    return Place(settings.state_dir, folder)


def granted_place(settings: WorkerSettings, target: str, assignment: Assignment) -> Place:
    """The place behind an effect's target, which must be the assignment's own: scope is identity.

    Raises HandlerFailure (gate_refused) for any target but ``site:<tenant>/<portfolio>`` and ``scratch:<job>``,
    the job being the first of a chain of replays.
    """
    site = f"site:{assignment.tenant}/{assignment.portfolio}"
    if target == site:
        return site_of(settings, assignment)
    if target == f"scratch:{assignment.first_job}":
        return Place(settings.state_dir, settings.scratch_dir / _simple(assignment.first_job))
    own = f"{site} and scratch:{assignment.first_job}"
    raise refusal(Code.GATE_REFUSED, f"the grant is for “{target}”; this job may write to {own} only")


def place_of_page(settings: WorkerSettings, path: str, slug: str, assignment: Assignment) -> Place:
    """The place in which a published page claims to stand; raises HandlerFailure (not_verified) for a page
    outside of the assignment's own portfolio and job."""
    parts = PurePosixPath(path).parts
    if is_slug(slug):
        for place in (
            site_of(settings, assignment),
            granted_place(settings, f"scratch:{assignment.first_job}", assignment),
        ):
            if parts == PurePosixPath(place.address(slug)).parts:
                return place
    own = f"sites/{assignment.tenant}/{assignment.portfolio} and scratch/{assignment.first_job}"
    raise refusal(Code.NOT_VERIFIED, f"“{path}” is no page “{slug}” in {own}, which are this job's places")


def _slug(name: str) -> str:
    if not is_slug(name):
        raise refusal(Code.INELIGIBLE, f"{listed([name])} is no slug, so no file is named by it")
    return name


def _simple(name: str) -> str:
    if not is_folder(name):
        raise refusal(Code.GATE_REFUSED, f"“{name}” is no simple name, so no folder is made of it")
    return name
