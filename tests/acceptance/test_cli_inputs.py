"""What `fleet submit` makes of the files it is given, and what the demo makes of the installed packages."""

from pathlib import Path
from typing import Any

from orchestrator.cli.approvals import told
from orchestrator.cli.inputs import inputs_from
from orchestrator.demo.documents import FIRST, LONGEST, SHORTEST, descriptions


class Shelf:
    """Takes uploads and names them by their content."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, str]] = []

    def upload(self, content: bytes, media_type: str) -> dict[str, Any]:
        self.taken.append((content, media_type))
        return {"digest": content.decode()}


def test_a_folder_becomes_one_document_a_file_named_by_its_stem(tmp_path: Path) -> None:
    (tmp_path / "wind.md").write_text("of wind")
    (tmp_path / "sun.txt").write_text("of sun")
    (tmp_path / "picture.png").write_bytes(b"\x89")
    shelf = Shelf()
    inputs = inputs_from([tmp_path], "What blows?", shelf.upload)
    assert inputs == {
        "question": "What blows?",
        "documents": [
            {"name": "sun", "artifact": {"digest": "of sun"}},
            {"name": "wind", "artifact": {"digest": "of wind"}},
        ],
    }
    assert [media_type for _, media_type in shelf.taken] == ["text/plain", "text/markdown"]


def test_two_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.md").write_text(folder)
    documents = inputs_from([tmp_path], None, Shelf().upload)["documents"]
    assert [document["name"] for document in documents] == ["notes", "b/notes.md"]


def test_a_file_of_inputs_is_taken_as_it_is_and_documents_join_its_own(tmp_path: Path) -> None:
    (tmp_path / "inputs.yaml").write_text("question: Why so?\ndocuments:\n- {name: a, text: b}\n")
    (tmp_path / "more.md").write_text("more")
    inputs = inputs_from([tmp_path / "inputs.yaml", tmp_path / "more.md"], None, Shelf().upload)
    assert inputs["question"] == "Why so?"
    assert [document["name"] for document in inputs["documents"]] == ["a", "more"]


def test_nothing_is_uploaded_before_everything_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("good")
    (tmp_path / "b.md").write_text("")
    shelf = Shelf()
    try:
        inputs_from([tmp_path], None, shelf.upload)
    except Exception as refusal:
        assert "b.md is empty" in str(refusal)
    assert shelf.taken == []


def test_a_packet_is_told_in_lines_and_an_artifact_in_one() -> None:
    artifact = {"digest": "sha256:ab", "size_bytes": 12, "media_type": "text/plain"}
    packet = {"tried": ["draft: short"], "evidence": [{"step": "one", "artifact": artifact}], "nothing": []}
    assert told(packet) == [
        "tried:",
        "  - draft: short",
        "evidence:",
        "  - step: one",
        "    artifact: sha256:ab, 12 bytes",
    ]


def test_the_demo_reads_whole_descriptions_of_what_is_installed() -> None:
    found = descriptions(8)
    assert [each.name for each in found] == list(FIRST)
    assert all(SHORTEST <= len(each.text) <= LONGEST for each in found)
    assert len(descriptions(50)) > 12
    assert len({each.name for each in descriptions(50)}) == len(descriptions(50))
