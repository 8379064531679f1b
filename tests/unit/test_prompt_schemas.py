"""The schemas that the vendors are sent."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from contracts.brief import Claims, Draft
from contracts.verdicts import Verdict
from workers.vendors.schemas import strict


def nodes(schema: Any) -> list[dict[str, Any]]:
    """All objects within a schema, names of properties aside."""
    if isinstance(schema, list):
        return [node for each in schema for node in nodes(each)]
    if not isinstance(schema, dict):
        return []
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    inner += [schema.get("items"), *schema.get("anyOf", [])]
    return [schema, *nodes(inner)]


@pytest.mark.parametrize("payload", [Claims, Draft, Verdict])
def test_every_object_is_closed_and_requires_all_its_properties(payload: type[BaseModel]) -> None:
    for node in nodes(strict(payload.model_json_schema())):
        assert not node.keys() & {
            "default",
            "title",
            "maxLength",
            "minLength",
            "maxItems",
            "minimum",
            "oneOf",
        }
        if "properties" in node:
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
        if "$ref" in node:
            assert node.keys() == {"$ref"}


def test_bounds_are_told_in_the_description() -> None:
    claim = strict(Claims.model_json_schema())["$defs"]["Claim"]["properties"]

    assert claim["claim"]["description"] == (
        "the statement, in one sentence; at least 1 characters; at most 500 characters"
    )


def test_a_described_choice_keeps_its_description_and_its_words() -> None:
    decision = strict(Verdict.model_json_schema())["properties"]["decision"]

    assert decision["enum"] == ["approve", "object"]
    assert decision["description"].startswith("approve, or object")


def test_properties_named_like_keywords_stay() -> None:
    class Odd(BaseModel):
        title: str = "x"
        default: int = 3
        pattern: str

    assert strict(Odd.model_json_schema())["required"] == ["title", "default", "pattern"]


def test_alternatives_and_recursion_are_kept() -> None:
    class Leaf(BaseModel):
        kind: Literal["leaf"] = "leaf"

    class Tree(BaseModel):
        kind: Literal["tree"] = "tree"
        left: "Tree | Leaf" = Field(discriminator="kind", description="the left one")

    schema = strict(Tree.model_json_schema())

    left = next(node for node in nodes(schema) if "anyOf" in node)
    assert left["anyOf"] == [{"$ref": "#/$defs/Tree"}, {"$ref": "#/$defs/Leaf"}]
    assert left["description"] == "the left one"


def test_the_schema_that_comes_in_is_not_changed() -> None:
    before = Verdict.model_json_schema()
    strict(before)

    assert before == Verdict.model_json_schema()
