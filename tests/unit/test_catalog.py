"""A catalog with anything wrong is refused with a sentence for each thing."""

from pathlib import Path

import pytest
import yaml

from contracts.catalog import CatalogError, Known, validate
from contracts.registry import contract_names, handler_names
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.looks import LOOKS

SHIPPED = Path("contracts/shipped")


def overlay(tmp_path: Path, section: str, name: str, **changes: object) -> Path:
    """A catalog directory with one shipped entry changed."""
    entry = yaml.safe_load((SHIPPED / section / f"{name}.yaml").read_text())
    for path, value in changes.items():
        place = entry
        *parents, last = path.split("__")
        for parent in parents:
            place = place[parent.replace("_", "-") if parent.replace("_", "-") in place else parent]
        place[last.replace("_", "-") if last.replace("_", "-") in place else last] = value
    folder = tmp_path / section
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(entry, sort_keys=False))
    return tmp_path


def problems(directory: Path) -> str:
    with pytest.raises(CatalogError) as refused:
        load_catalog(directory)
    return " | ".join(refused.value.problems)


def test_the_shipped_catalog_is_sound() -> None:
    catalog = load_catalog()
    assert {"brief", "summary"} <= set(catalog.workflows)
    assert set(catalog.workflows["summary"].steps) < set(catalog.workflows["brief"].steps)


def test_an_unknown_handler_is_named_with_the_known_ones(tmp_path: Path) -> None:
    said = problems(overlay(tmp_path, "lanes", "compute", operations__check_quotes__handler="quotes.guess"))
    assert "lane compute names the unknown handler “quotes.guess”" in said
    assert "quotes.check" in said


def test_an_unknown_contract_is_refused(tmp_path: Path) -> None:
    said = problems(overlay(tmp_path, "lanes", "draft", operations__write__output="brief.Essay@1"))
    assert "unknown contract “brief.Essay@1”" in said


def test_an_unknown_vendor_is_refused(tmp_path: Path) -> None:
    assert "unknown vendor “acme”" in problems(overlay(tmp_path, "lanes", "draft", model__vendor="acme"))


def test_a_model_without_a_price_is_refused(tmp_path: Path) -> None:
    directory = overlay(tmp_path, "lanes", "draft", model__name="claude-nobody-1")
    overlay(
        tmp_path, "vendors", "anthropic", groups__sonnet__models={"claude-nobody-1": {"context_tokens": 1000}}
    )
    assert "has no price" in problems(directory)


def test_a_reviewer_of_the_authors_vendor_is_refused(tmp_path: Path) -> None:
    directory = overlay(
        tmp_path,
        "lanes",
        "review",
        model__vendor="anthropic",
        model__group="haiku",
        model__name="claude-haiku-5-5",
    )
    assert "step review must be independent of draft" in problems(directory)


def test_a_cycle_is_refused_with_its_path(tmp_path: Path) -> None:
    said = problems(overlay(tmp_path, "workflows", "brief", steps__research__needs={"draft": "all"}))
    assert "has a cycle" in said
    assert "→" in said


def test_an_undeclared_edge_is_refused(tmp_path: Path) -> None:
    assert "does not say what happens" in problems(
        overlay(tmp_path, "workflows", "brief", steps__draft__trouble=None)
    )


def test_an_effect_on_a_lasting_target_needs_an_approval(tmp_path: Path) -> None:
    said = problems(
        overlay(
            tmp_path, "workflows", "summary", steps__publish__effect={"target": "site:{tenant}/{portfolio}"}
        )
    )
    assert "without an approval" in said


def test_an_effect_is_planned_again_only_from_a_step_before_it(tmp_path: Path) -> None:
    said = problems(
        overlay(tmp_path, "workflows", "brief", steps__publish__trouble__stale={"step": "verify"})
    )
    assert "step publish is planned again from verify, which is no step before it" in said
    trouble = {"loop": "dead", "cut": "dead", "fail": "dead", "stale": {"step": "draft"}}
    said = problems(overlay(tmp_path, "workflows", "brief", steps__verify__trouble=trouble))
    assert "step verify is planned again where the state has changed (stale), and it has no effect" in said


def test_the_subject_of_an_effect_is_named_by_what_was_approved(tmp_path: Path) -> None:
    effect = {"target": "scratch:{job}", "disposable": True, "subject": "{slug}"}
    said = problems(overlay(tmp_path, "workflows", "summary", steps__publish__effect=effect))
    assert "step publish names its subject by what was approved, and nothing is approved for it" in said


def test_an_effect_is_not_mapped(tmp_path: Path) -> None:
    """Its name holds no item, so the second would be told the first one's result."""
    said = problems(overlay(tmp_path, "workflows", "summary", steps__publish__for_each="inputs.documents"))
    assert (
        "step publish declares one effect for all items of inputs.documents, and it would be applied once"
        in said
    )


def test_no_model_lane_has_an_effect_right(tmp_path: Path) -> None:
    assert "no model lane has an effect right" in problems(
        overlay(tmp_path, "lanes", "draft", right="effect")
    )


def test_a_reviewer_whom_nobody_hears_is_refused_before_something_lasting(tmp_path: Path) -> None:
    deaf = {"objections_of": ["security"], "most": 2}
    said = problems(overlay(tmp_path, "workflows", "brief", steps__draft__revise=deaf))
    assert "nobody hears the objections of step review" in said
    assert "of step security" not in said


def test_a_verdict_that_gates_nothing_lasting_needs_no_hearer() -> None:
    re_review = load_catalog().workflows["re-review"]
    assert not any(step.revise or step.approval or step.effect for step in re_review.steps.values())


def test_a_reviewer_must_say_of_whom_it_is_independent(tmp_path: Path) -> None:
    said = problems(overlay(tmp_path, "workflows", "brief", steps__review__independent_of=[]))
    assert "step review judges what a model made and must say" in said


def test_so_must_one_who_judges_what_the_linked_job_made(tmp_path: Path) -> None:
    said = problems(overlay(tmp_path, "workflows", "re-review", steps__audit__independent_of=[]))
    assert "step audit judges what a model made and must say" in said


@pytest.mark.parametrize(
    "change",
    [
        {"steps__draft__give": {"question": "inputs.query"}},
        {"steps__draft__ask": "Answer “{inputs.query}”."},
        {"steps__research__for_each": "inputs.query"},
    ],
)
def test_a_field_that_the_inputs_do_not_have_is_named_with_those_they_have(
    tmp_path: Path, change: dict[str, object]
) -> None:
    said = problems(overlay(tmp_path, "workflows", "brief", **change))
    assert "names the unknown field of brief.Inputs@1 “query” (known: documents, question)" in said


def test_only_a_list_is_mapped_over(tmp_path: Path) -> None:
    said = problems(overlay(tmp_path, "workflows", "brief", steps__research__for_each="inputs.question"))
    assert "step research maps over inputs.question, which is no list" in said


def test_a_step_is_mapped_only_over_what_is_mapped(tmp_path: Path) -> None:
    said = problems(overlay(tmp_path, "workflows", "brief", steps__research__for_each=None))
    assert "step check-quotes maps over research, which is not mapped itself" in said


def test_inputs_that_cannot_be_loaded_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that announces a contract and does not bring it: real metadata, and no module behind it."""
    announced = tmp_path / "ghost-1.dist-info"
    announced.mkdir()
    (announced / "METADATA").write_text("Metadata-Version: 2.1\nName: ghost\nVersion: 1\n")
    (announced / "entry_points.txt").write_text(
        "[fleet.contracts]\nghost.Inputs@1 = ghost_of_a_module:Inputs\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    catalog = load_catalog()
    brief = catalog.workflows["brief"].model_copy(update={"inputs": "ghost.Inputs@1"})
    known = Known(
        contracts=contract_names() | {"ghost.Inputs@1"}, handlers=handler_names(), looks=frozenset(LOOKS)
    )
    haunted = catalog.model_copy(update={"workflows": {"brief": brief}, "ticks": {}})
    with pytest.raises(CatalogError, match="which cannot be loaded: No module named 'ghost_of_a_module'"):
        validate(haunted, known, lambda vendor, model: True, lambda vendor, model: True)


@pytest.mark.parametrize("target", ["site:{tenant}/{user}", "site:{}", "site:{job.id}", "site:{job!r}"])
def test_a_target_is_filled_with_known_names_only(tmp_path: Path, target: str) -> None:
    said = problems(overlay(tmp_path, "workflows", "brief", steps__publish__effect__target=target))
    assert "in which only {job}, {portfolio}, {tenant} are filled in" in said


def test_a_target_that_cannot_be_filled_in_is_refused(tmp_path: Path) -> None:
    said = problems(overlay(tmp_path, "workflows", "brief", steps__publish__effect__target="site:{tenant"))
    assert "cannot be filled in" in said


def test_only_a_scratch_target_is_disposable(tmp_path: Path) -> None:
    effect = {"target": "site:{tenant}/{portfolio}", "disposable": True}
    said = problems(overlay(tmp_path, "workflows", "summary", steps__publish__effect=effect))
    assert "only targets that begin with scratch: are" in said


def test_an_unknown_operation_of_a_reviewer_is_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    said = problems(overlay(tmp_path, "workflows", "brief", steps__review__operation="guess"))
    assert "unknown operation of lane review “guess”" in said


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    overlay(tmp_path, "lanes", "draft", model__vendor="acme")
    said = problems(overlay(tmp_path, "lanes", "compute", operations__check_quotes__handler="quotes.guess"))
    assert "acme" in said
    assert "quotes.guess" in said


def test_every_handler_and_contract_of_the_entry_points_can_be_loaded() -> None:
    from importlib.metadata import entry_points

    loaded = [
        point.load() for group in ("fleet.contracts", "fleet.handlers") for point in entry_points(group=group)
    ]
    assert len(loaded) == len(contract_names()) + len(handler_names())


def test_an_effect_a_judgement_and_plain_code_are_never_repeated(tmp_path: Path) -> None:
    for lane in ("publish", "review", "compute"):
        overlay(tmp_path, "lanes", lane, repeatable=True)
    said = problems(tmp_path)
    assert "lane publish is repeatable and has an effect right" in said
    assert "lane review is repeatable and gives a review.Verdict@1; a judgement is made anew" in said
    assert "lane compute is repeatable and has no model" in said


def test_a_repeatable_lane_says_for_how_long(tmp_path: Path) -> None:
    lanes = load_catalog(overlay(tmp_path, "lanes", "draft", repeatable=True, repeatable_for_hours=2)).lanes
    told = {
        name: [rule for rule in lane.enforced() if "asked before" in rule] for name, lane in lanes.items()
    }
    assert told["draft"][0].endswith("is answered as it was then for 2 h, without a request")
    assert told["research"] and not told["review"]


def test_a_lane_goes_by_batch_only_where_its_vendor_says_how(tmp_path: Path) -> None:
    assert "vendor google does not say how" in problems(overlay(tmp_path, "vendors", "google", batch=None))


def test_a_model_that_costs_no_less_by_batch_is_not_sent_by_batch(tmp_path: Path) -> None:
    """The price tables know this model, and answer with its live price when asked for one by batch."""
    models = {"gemini-3.5-flash": {"context_tokens": 1000000}}
    directory = overlay(tmp_path, "vendors", "google", groups__flash__models=models)
    overlay(tmp_path, "lanes", "audit", model__name="gemini-3.5-flash")
    said = problems(directory)
    assert "no price of gemini-3.5-flash of google by batch is known that is below its live price" in said


def test_batches_are_carried_by_a_workflow_of_their_own(tmp_path: Path) -> None:
    batch = {"workflow": "summary"}
    assert "must be internal" in problems(overlay(tmp_path, "vendors", "google", batch=batch))
    batch = {"workflow": "nobody"}
    said = problems(overlay(tmp_path, "vendors", "google", batch=batch))
    assert "vendor google names the unknown workflow for its batches “nobody”" in said


def test_who_carries_batches_has_no_model(tmp_path: Path) -> None:
    assert "lane audit carries batches and has a model" in problems(
        overlay(tmp_path, "lanes", "audit", right="carry")
    )
