"""Publishing and reading back, on real files."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.artifacts import digest_of
from contracts.bench import Nothing
from contracts.failures import Code, Failure, HandlerFailure
from contracts.handoffs import EffectGrant
from tests.doubles import Bench
from tests.integration.site_bench import SiteJob, draft, site_job
from workers.handlers.bench import nothing
from workers.handlers.site import publish


def _refused(job: SiteJob, grant: EffectGrant | None = None) -> Failure:
    with pytest.raises(HandlerFailure) as failed:
        publish(job.publishing(grant))
    return failed.value.failure


def test_a_page_is_published_with_its_sources_and_then_verified(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    published = publish(job.publishing(), now=lambda: datetime(2026, 11, 20, 9, 30, tzinfo=UTC))
    assert published.path == "sites/acme/energy/how-wind-turns-turbines.html"
    assert published.page_digest == digest_of((tmp_path / published.path).read_bytes())
    assert published.posts == 1
    html = job.html()
    assert '<a class="cite" href="#source-wind-1" title="wind-1">[1]</a>' in html
    assert '<li id="source-wind-1">' in html
    assert "the wind &lt;turns&gt; the blades" in html
    assert "characters 120–147" in html
    assert "Never cited" not in html
    assert "job-1" in html and "key of job-1" in html and "2026-11-20 09:30 UTC" in html
    assert len(job.verify(published).checks) == 9


def test_the_markdown_keeps_the_approved_body_under_its_front_matter(tmp_path: Path) -> None:
    job = site_job(tmp_path, title="A title: with “marks” --- and\n---\ninjected: yes")
    job.publish()
    text = job.place.source(job.page.slug).read_text()
    assert text.endswith(f"---\n\n{job.page.body}\n")
    assert "\ninjected: yes" not in text


def test_publishing_again_answers_the_earlier_result_and_changes_nothing(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    first, before = job.publish(), job.html()
    assert job.publish() == first
    job.bench.effects.results.clear()
    assert job.publish() == first
    assert job.html() == before
    assert len(job.posts()) == 1


def test_the_effect_is_written_down_before_and_after(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    published = job.publish()
    assert job.bench.effects.intents["key of job-1"]["path"] == published.path
    assert job.bench.effects.results["key of job-1"] == published.model_dump(mode="json")


def test_without_a_grant_for_exactly_this_draft_and_place_nothing_is_published(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    grant = job.grant()
    refusals = [
        grant.model_copy(update={"approved_digest": digest_of(b"another draft")}),
        grant.model_copy(update={"approved_digest": None}),
        grant.model_copy(update={"target": "site:other"}),
        grant.model_copy(update={"target": "site:../../etc"}),
        grant.model_copy(update={"target": "scratch:job-2"}),
        grant.model_copy(update={"target": "/tmp"}),
    ]
    assert {_refused(job, each).code for each in refusals} == {Code.GATE_REFUSED}
    with pytest.raises(HandlerFailure, match="without a grant"):
        publish(job.bench.task(*job.handed()))
    assert list(tmp_path.iterdir()) == []
    assert job.bench.effects.intents == {}


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("Wind turns the blades.", "the body has 0 citations, at least 1 is needed"),
        ("Wind turns the blades [wind-9].", "the body cites “wind-9”, none of the 2 checked claims"),
    ],
)
def test_nothing_is_published_without_its_sources_wherever_it_goes(
    tmp_path: Path, body: str, missing: str
) -> None:
    job = site_job(tmp_path, body=body)
    for grant in (job.grant(), EffectGrant(key="k", target="scratch:job-1", approved_digest=None)):
        failure = _refused(job, grant)
        assert (failure.code, failure.sentence) == (
            Code.INELIGIBLE,
            f"nothing is published without its sources: {missing}",
        )
    assert job.bench.effects.intents == {}
    assert list(tmp_path.iterdir()) == []


def test_a_disposable_place_needs_no_approval(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    grant = EffectGrant(key="k", target="scratch:job-1", approved_digest=None)
    published = publish(job.publishing(grant))
    assert published.path == "scratch/job-1/how-wind-turns-turbines.html"
    assert job.verify(published).page_digest == published.page_digest


def test_a_slug_taken_since_the_approval_is_refused_and_the_other_page_stays(tmp_path: Path) -> None:
    first = site_job(tmp_path, job="job-1")
    first.publish()
    before = first.html()
    second = site_job(tmp_path, job="job-2", body="Another body [wind-1].")
    failure = _refused(second)
    assert failure.code is Code.STATE_CHANGED
    assert "was taken by job job-1 since it was approved" in failure.sentence
    assert first.html() == before
    assert len(first.posts()) == 1
    assert second.bench.effects.intents == {}, "nothing was changed, and nobody has to look whether it was"


def test_a_replay_finds_the_page_of_the_job_that_it_replays(tmp_path: Path) -> None:
    first = site_job(tmp_path)
    published, stood = first.publish(), first.html()
    again = SiteJob(Bench(tmp_path, job="job-2", lineage="job-1"), first.page)
    assert again.verify(published).page_digest == published.page_digest
    # Where nobody wrote down that it was published, the world tells: the page is the very same, and stands once.
    assert publish(again.publishing(again.grant("key of job-1"))) == published
    assert (again.html(), len(again.posts())) == (stood, 1)
    scratch = EffectGrant(key="k", target="scratch:job-1", approved_digest=None)
    assert publish(again.publishing(scratch)).path == "scratch/job-1/how-wind-turns-turbines.html"


@pytest.mark.parametrize("slug", ["how-wind-turns-turbines", "what-the-wind-turns"])
def test_a_page_found_wrong_goes_when_another_takes_its_place(tmp_path: Path, slug: str) -> None:
    other = site_job(tmp_path, job="job-0", slug="other")
    other.publish()
    wrong = site_job(tmp_path)
    wrong.publish()
    instead = SiteJob(
        Bench(tmp_path, job="job-2", replaces="job-1"), draft(slug=slug, title="What was found")
    )
    published = instead.publish()
    assert {post.slug: post.job for post in instead.posts()} == {"other": "job-0", slug: "job-2"}
    assert "What was found" in instead.html()
    assert instead.place.page(wrong.page.slug).exists() is instead.place.source(wrong.page.slug).exists()
    assert instead.place.page(wrong.page.slug).exists() is (slug == wrong.page.slug)
    assert instead.place.index.read_text().count('.html"') == 2
    assert "the page of job job-1 is gone" in instead.verify(published).checks
    assert instead.publish() == published
    unfit = SiteJob(Bench(tmp_path, job="job-3", replaces="job-2"), draft(slug="other"))
    assert _refused(unfit).code is Code.STATE_CHANGED
    assert len(instead.posts()) == 2


def test_a_page_that_stands_although_it_was_to_go_is_found(tmp_path: Path) -> None:
    site_job(tmp_path).publish()
    beside = SiteJob(Bench(tmp_path, job="job-2"), draft(slug="beside"))
    published = beside.publish()
    beside.bench.replaces = "job-1"
    with pytest.raises(HandlerFailure, match="“how-wind-turns-turbines” still stands"):
        beside.verify(published)


def test_an_attempt_that_was_taken_away_publishes_nothing(tmp_path: Path) -> None:
    task = site_job(tmp_path).publishing()
    task.stopped.set()
    with pytest.raises(HandlerFailure, match="taken away"):
        publish(task)
    assert list(tmp_path.iterdir()) == []


def test_the_index_lists_every_post_the_newest_first(tmp_path: Path) -> None:
    days = iter([datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)])
    for name in ("first", "second"):
        task = site_job(tmp_path, job=name, slug=name, title=f"The {name}").publishing()
        published = publish(task, now=lambda: next(days))
    assert published.posts == 2
    index = site_job(tmp_path).place.index.read_text()
    assert index.index("The second") < index.index("The first")


def test_verifying_says_what_it_found_amiss(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    published = job.publish()
    page, index = job.place.page(published.slug), job.place.index
    sound = page.read_bytes(), index.read_bytes()

    def found() -> str:
        with pytest.raises(HandlerFailure) as failed:
            job.verify(published)
        assert failed.value.failure.code is Code.NOT_VERIFIED
        page.write_bytes(sound[0])
        index.write_bytes(sound[1])
        return failed.value.failure.sentence

    page.write_text(job.html().replace("Wind turns the blades <a", "Water turns the blades <a"))
    assert "the page's text is not the approved one" in found()
    page.write_text(job.html().replace('id="source-wind-1"', ""))
    assert "the page lacks the sources “wind-1”" in found()
    page.unlink()
    assert f"the page is no page, published was {published.page_digest}" in found()
    index.write_text("empty")
    assert "the index links “how-wind-turns-turbines” 0 times" in found()
    index.write_bytes(sound[1] * 2)
    assert "the index links “how-wind-turns-turbines” 2 times" in found()
    assert job.verify(published)
    job.place.source(published.slug).unlink()
    assert "the page's Markdown is not the approved one" in found()
    job.place.posts.unlink()
    assert "the posts table has 0 row(s) for “how-wind-turns-turbines”, of: none" in found()


def test_verifying_finds_a_page_of_another_job_or_place(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    published = job.publish()
    job.bench.job = "job-2"
    with pytest.raises(HandlerFailure, match=r"1 row\(s\) for .*, of: job-1"):
        job.verify(published)
    with pytest.raises(HandlerFailure, match="is no page"):
        job.verify(published.model_copy(update={"slug": "../../x", "path": "sites/acme/energy/../../x.html"}))
    job.bench.portfolio = "other"
    with pytest.raises(HandlerFailure, match="is no page"):
        job.verify(published)


def test_the_no_op_does_nothing(tmp_path: Path) -> None:
    assert nothing(Bench(tmp_path).task()) == Nothing()
