"""The JSON schema of an answer, in the part of JSON schema that all vendors accept for structured output."""

from collections.abc import Mapping
from typing import Any

_TOLD = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "pattern": "matching {}",
}
"""Bounds that not every vendor's decoder enforces: they are told in words, and checked by the contract."""

_DROPPED = {"title", "default", "discriminator", *_TOLD}


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which every property is required, objects are closed, defaults are gone and bounds are
    told in the description. References with a description beside them are resolved."""
    return _node(schema, schema.get("$defs", {}), ())


def _node(node: Mapping[str, Any], defs: Mapping[str, Any], within: tuple[str, ...]) -> dict[str, Any]:
    reference = node.get("$ref")
    if reference is not None:
        return _reference(node, str(reference).rpartition("/")[2], defs, within)
    kept = {"anyOf" if key == "oneOf" else key: value for key, value in node.items() if key not in _DROPPED}
    for key in ("properties", "$defs"):
        if key in kept:
            kept[key] = {name: _node(inner, defs, within) for name, inner in kept[key].items()}
    if "items" in kept:
        kept["items"] = _node(kept["items"], defs, within)
    if "anyOf" in kept:
        kept["anyOf"] = [_node(inner, defs, within) for inner in kept["anyOf"]]
    if "properties" in kept:
        kept |= {"required": list(kept["properties"]), "additionalProperties": False}
    return kept | _description(node)


def _reference(
    node: Mapping[str, Any], name: str, defs: Mapping[str, Any], within: tuple[str, ...]
) -> dict[str, Any]:
    beside = {key: value for key, value in node.items() if key not in _DROPPED and key != "$ref"}
    if not beside or name in within or name not in defs:
        return {"$ref": node["$ref"]}
    return _node({**defs[name], **beside}, defs, (*within, name))


def _description(node: Mapping[str, Any]) -> dict[str, str]:
    bounds = [words.format(node[key]) for key, words in _TOLD.items() if key in node]
    told = "; ".join([*([node["description"]] if "description" in node else []), *bounds])
    return {"description": told} if told else {}
