"""Reads the catalog's files: the shipped ones, with a directory of the user's own laid over them."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from contracts.catalog import Catalog, CatalogError, Known, validate
from contracts.registry import contract_names, handler_names
from orchestrator.deciders.looks import LOOKS
from orchestrator.prices import has_price, is_cheaper_by_batch

SECTIONS = {
    "lanes": "lane",
    "workflows": "workflow",
    "vendors": "vendor",
    "ticks": "tick",
    "prerequisites": "prerequisite",
}
"""The folders of a catalog, and the key under which an entry of each names itself."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Every process reads the catalog at its start, and what is written in Python takes many times as long for it."""


def load_catalog(overlay: Path | None = None) -> Catalog:
    """The whole catalog, validated; raises CatalogError with every problem found."""
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    problems: list[str] = []
    roots: list[Traversable] = [files("contracts") / "shipped"]
    if overlay is not None:
        if not overlay.is_dir():
            raise CatalogError([f"the catalog directory {overlay} does not exist"])
        roots.append(overlay)
    for root in roots:
        for section, key in SECTIONS.items():
            for name, entry in _entries(root / section, key, problems):
                sections[section][name] = entry
    catalog = _shaped(sections, problems)
    known = Known(contracts=contract_names(), handlers=handler_names(), looks=frozenset(LOOKS))
    return validate(catalog, known, has_price, is_cheaper_by_batch)


def _entries(folder: Traversable, key: str, problems: list[str]) -> Iterator[tuple[str, Any]]:
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".yaml"):
            continue
        try:
            entry = yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)
        except yaml.YAMLError as error:
            problems.append(f"{file.name} is not YAML: {' '.join(str(error).split())}")
            continue
        name = entry.get(key) if isinstance(entry, dict) else None
        if f"{name}.yaml" != file.name:
            problems.append(f"{file.name} must say “{key}: {file.name.removesuffix('.yaml')}”")
            continue
        yield str(name), entry


def _shaped(sections: dict[str, dict[str, Any]], problems: list[str]) -> Catalog:
    try:
        catalog = Catalog.model_validate(sections)
    except ValidationError as error:
        for fault in error.errors():
            place = ".".join(str(part) for part in fault["loc"])
            problems.append(f"{place}: {fault['msg']}")
        raise CatalogError(problems) from None
    if problems:
        raise CatalogError(problems)
    return catalog
