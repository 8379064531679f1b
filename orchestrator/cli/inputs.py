"""What is submitted: a file of inputs, or documents that are uploaded as artifacts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.cli.ending import Refusal

INPUT_FILES = {".json", ".yaml", ".yml"}
DOCUMENTS = {".md": "text/markdown", ".markdown": "text/markdown", ".txt": "text/plain", ".rst": "text/plain"}

Upload = Callable[[bytes, str], dict[str, Any]]
"""Content and media type; answers the artifact's reference."""


def inputs_from(paths: list[Path], question: str | None, upload: Upload) -> dict[str, Any]:
    """The job's inputs. Everything is read and judged before anything is uploaded."""
    inputs: dict[str, Any] = {}
    sources: dict[str, tuple[Path, str]] = {}
    for path in paths:
        if path.suffix.lower() in INPUT_FILES:
            inputs |= _mapping(path)
        else:
            sources |= _documents(path, taken=set(sources))
    documents = [
        {"name": name, "artifact": upload(content.encode(), DOCUMENTS.get(path.suffix.lower(), "text/plain"))}
        for name, (path, content) in sources.items()
    ]
    if documents:
        inputs["documents"] = [*inputs.get("documents", []), *documents]
    return inputs | ({"question": question} if question else {})


def _mapping(path: Path) -> dict[str, Any]:
    import yaml

    content = _text(path)
    try:
        loaded = json.loads(content) if path.suffix.lower() == ".json" else yaml.safe_load(content)
    except json.JSONDecodeError as error:
        raise Refusal(f"{path} is not JSON: {error}") from None
    except yaml.YAMLError as error:
        raise Refusal(f"{path} is not YAML: {error}") from None
    if not isinstance(loaded, dict):
        raise Refusal(f"{path} must hold the inputs by name, such as question and documents")
    return loaded


def _documents(path: Path, taken: set[str]) -> dict[str, tuple[Path, str]]:
    files = _files_under(path) if path.is_dir() else [path]
    found: dict[str, tuple[Path, str]] = {}
    for file in files:
        content = _text(file)
        if not content.strip():
            raise Refusal(f"{file} is empty")
        name = file.stem
        if name in taken or name in found:  # two of one name: the path tells them apart
            name = str(file.relative_to(path) if path.is_dir() else file)
        found[name] = (file, content)
    return found


def _files_under(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in DOCUMENTS and file.is_file())
    if not files:
        raise Refusal(f"there is no document under {folder}; documents end in {', '.join(DOCUMENTS)}")
    return files


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Refusal(f"{path} is not text in UTF-8, and only text can be quoted from") from None
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}") from None
