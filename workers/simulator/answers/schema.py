"""JSON schemas as the three vendors receive them, in one spelling."""

from collections.abc import Mapping
from typing import Any

_SPELLINGS = {
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
    "any_of": "anyOf",
    "property_ordering": "propertyOrdering",
    "additional_properties": "additionalProperties",
    "defs": "$defs",
    "ref": "$ref",
}
_KEYWORDS_OF_SCHEMAS = ("properties", "$defs", "definitions")

Schema = Mapping[str, Any]


def normalised(schema: Any) -> Any:
    """Types in lower case, keywords in camel case, numbers as numbers; names of properties stay."""
    if isinstance(schema, list):
        return [normalised(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        name = _SPELLINGS.get(str(key), str(key))
        if name in _KEYWORDS_OF_SCHEMAS and isinstance(value, Mapping):
            result[name] = {each: normalised(inner) for each, inner in value.items()}
        elif name == "type":
            result[name] = (
                [str(each).lower() for each in value] if isinstance(value, list) else str(value).lower()
            )
        elif name in ("minLength", "maxLength", "minItems", "maxItems"):
            result[name] = int(value)
        elif name in ("enum", "const", "default", "examples", "required"):
            result[name] = value
        else:
            result[name] = normalised(value)
    return result


class Shapes:
    """A schema whose references can be followed."""

    def __init__(self, schema: Schema) -> None:
        self.root: Schema = normalised(schema)

    def resolved(self, schema: Schema) -> Schema:
        """The schema with its ``$ref``, ``allOf`` and ``anyOf`` settled; of several choices the first that is
        not null. What stands beside a reference goes before what it refers to."""
        while True:
            if "$ref" in schema:
                beside = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**self._target(schema["$ref"]), **beside}
            elif schema.get("allOf"):
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                merged: dict[str, Any] = {}
                for each in schema["allOf"]:
                    merged |= self.resolved(each)
                schema = {**merged, **rest}
            elif choices := schema.get("anyOf") or schema.get("oneOf"):
                beside = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
                chosen = next((each for each in choices if each.get("type") != "null"), choices[0])
                schema = {**beside, **chosen}
            else:
                return schema

    def properties(self, schema: Schema) -> dict[str, Schema]:
        """The properties of an object, each resolved one step."""
        return {name: self.resolved(inner) for name, inner in (schema.get("properties") or {}).items()}

    def items(self, schema: Schema) -> Schema:
        """What an array holds; an array of anything holds strings."""
        return self.resolved(schema.get("items") or {"type": "string"})

    def _target(self, reference: str) -> Schema:
        target: Any = self.root
        for part in reference.removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        found: Schema = target
        return found


def type_of(schema: Schema) -> str:
    """The schema's type; where several are allowed the first that is not null."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)
