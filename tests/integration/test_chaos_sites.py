"""The sites as chaos reads them: what they show of an effect that was applied again, and what they cannot."""

from pathlib import Path

from tests.chaos import sites
from tests.integration.site_bench import site_job
from workers.handlers.site import publish


def test_a_page_that_is_not_the_posted_one_is_found(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    job.publish()
    site_job(tmp_path, job="job-2", slug="beside").publish()
    assert sorted(sites.jobs(tmp_path)) == ["job-1", "job-2"]
    assert list(sites.rewritten(tmp_path)) == []

    page = job.place.page(job.page.slug)
    page.write_text(job.html().replace("Blades", "Leaves"))
    assert list(sites.rewritten(tmp_path)) == [page]
    page.unlink()
    assert list(sites.rewritten(tmp_path)) == [page]


def test_a_job_that_was_published_by_two_keys_is_found(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    job.publish()
    again = site_job(tmp_path, slug="once-more")
    publish(again.publishing(again.grant("another key")))
    assert list(sites.jobs(tmp_path)) == ["job-1", "job-1"]


def test_what_is_applied_again_by_its_key_is_refused_by_the_table_and_leaves_no_trace(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    published = job.publish()
    job.bench.effects.intents.clear()
    job.bench.effects.results.clear()
    assert job.publish() == published
    assert list(sites.jobs(tmp_path)) == ["job-1"]
    assert list(sites.rewritten(tmp_path)) == []
