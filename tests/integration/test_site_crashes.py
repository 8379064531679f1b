"""What is left when a publisher dies half-way or has company, and that the next try makes it whole."""

import multiprocessing
import resource
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from contracts.brief import Published
from contracts.failures import Code, HandlerFailure
from tests.integration.site_bench import SiteJob, site_job

SPAWN = multiprocessing.get_context("spawn")


def _run(job: SiteJob, statement: str) -> None:
    with closing(sqlite3.connect(job.place.posts)) as connection:
        connection.execute(statement)


def test_a_crash_between_the_files_and_the_row_leaves_no_post_and_the_next_try_makes_one(
    tmp_path: Path,
) -> None:
    other = site_job(tmp_path, job="job-0", slug="other")
    other.publish()
    job = site_job(tmp_path)
    _run(job, "create trigger dies before insert on posts begin select raise(abort, 'the row is lost'); end")
    with pytest.raises(sqlite3.IntegrityError, match="the row is lost"):
        job.publish()
    assert job.place.page(job.page.slug).exists()
    assert [post.slug for post in job.posts()] == ["other"]
    assert job.page.slug not in job.place.index.read_text()

    _run(job, "drop trigger dies")
    published = job.publish()
    assert len(job.posts()) == 2
    assert job.verify(published)


def test_a_crash_between_the_row_and_the_index_is_mended_by_the_next_try(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    job.place.index.mkdir(parents=True)
    with pytest.raises(HandlerFailure, match="IsADirectoryError") as failed:
        job.publish()
    assert failed.value.failure.code is Code.STORE_UNREACHABLE
    before = job.html()
    assert len(job.posts()) == 1
    assert job.bench.effects.results == {}

    job.place.index.rmdir()
    published = job.publish()
    assert job.html() == before
    assert len(job.posts()) == 1
    assert job.verify(published)


def test_what_a_full_disk_refuses_may_be_published_later(tmp_path: Path) -> None:
    """Files that may not grow: the system refuses each write as on a disk without room."""
    job = site_job(tmp_path)
    job.handed()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(HandlerFailure) as failed:
            job.publish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failed.value.failure.code is Code.STORE_UNREACHABLE
    assert "took or gave nothing" in failed.value.failure.sentence
    published = job.publish()
    assert job.verify(published)


def test_a_table_that_was_never_made_reads_like_an_empty_one(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    job.place.directory.mkdir(parents=True)
    job.place.posts.touch()
    assert job.posts() == []
    assert job.publish().posts == 1


def _publish_in_a_process(state_dir: Path, job: str, slug: str) -> Published | str:
    """Each process has a record of effects of its own, so that only the posts table can tell."""
    try:
        return site_job(state_dir, job, slug=slug).publish()
    except HandlerFailure as failed:
        return failed.failure.code


def test_processes_that_publish_at_once_neither_double_nor_lose_a_post(tmp_path: Path) -> None:
    same_key = [(tmp_path, "job-1", "one")] * 4
    other_slugs = [(tmp_path, f"job-{n}", f"page-{n}") for n in range(2, 10)]
    same_slug = [(tmp_path, f"rival-{n}", "fought-over") for n in range(4)]
    with SPAWN.Pool(4) as pool:
        answers = pool.starmap(_publish_in_a_process, same_key + other_slugs + same_slug, chunksize=1)

    digests = {answer.page_digest for answer in answers[:4] if isinstance(answer, Published)}
    assert len(digests) == 1
    assert sorted(map(str, answers[12:])).count("state_changed") == 3
    job = site_job(tmp_path, "job-1", slug="one")
    assert len(job.posts()) == 1 + 8 + 1
    for n, answer in enumerate(answers[4:12], start=2):
        assert isinstance(answer, Published)
        assert site_job(tmp_path, f"job-{n}", slug=f"page-{n}").verify(answer)
