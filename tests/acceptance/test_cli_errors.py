"""What a user can cause is one sentence on standard error, an exit code, and no traceback."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from orchestrator.cli.app import app
from orchestrator.cli.ending import run as run_here
from orchestrator.up.ports import free_port

FLEET = (sys.executable, "-P", "-m", "orchestrator")
BODY = ("--purpose", "feature", "--reason", "to see it refused")


def run(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a process, against a fleet that is not there."""
    surely = {"FLEET_API_URL": f"http://127.0.0.1:{free_port()}"}
    return subprocess.run(
        [*FLEET, *arguments],
        env=_clean() | surely | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=30,
    )


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}


def refused(*arguments: str, code: int = 1, env: Mapping[str, str] | None = None) -> str:
    """The sentence with which the command is refused."""
    ended = run(*arguments, env=env)
    assert ended.returncode == code, ended
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("fleet: ")
    assert ended.stderr.count("\n") == 1
    return ended.stderr.removeprefix("fleet: ").strip()


@pytest.mark.parametrize(
    "command",
    [
        ("jobs",),
        ("show", "01JD5Q2X"),
        ("watch", "01JD5Q2X"),
        ("explain", "01JD5Q2X"),
        ("cancel", "01JD5Q2X"),
        ("dead",),
        ("replay",),
        ("approvals",),
        ("lanes",),
        ("budgets",),
        ("diagnose",),
        ("tax",),
        ("drill",),
    ],
    ids=" ".join,
)
def test_a_fleet_that_does_not_answer_is_one_sentence(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEET_API_URL", f"http://127.0.0.1:{free_port()}")
    assert run_here(app, command) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("fleet: no fleet answers at http://127.0.0.1:")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("frobnicate",), "No such command 'frobnicate'"),
        (("jobs", "--limit", "0"), "--limit"),
        (("submit", "w", "--input", ".", "--reason", "why"), "Missing option '--purpose'"),
        (("submit", "w", "--input", ".", "--purpose", "feature"), "Missing option '--reason'"),
        (("submit", "w", "--input", "/no/such/file", *BODY), "/no/such/file"),
        (("worker",), "Missing option '--lanes'"),
    ],
)
def test_misuse_is_one_sentence_with_where_to_read_on(arguments: tuple[str, ...], sentence: str) -> None:
    said = refused(*arguments, code=2)
    assert sentence in said
    assert "--help" in said


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("inputs.json", b"{", "is not JSON"),
        ("inputs.yaml", b"a: [", "is not YAML"),
        ("inputs.json", b"[]", "must hold the inputs by name"),
        ("latin.txt", b"caf\xe9", "is not text in UTF-8"),
        ("empty.md", b"  \n", "is empty"),
    ],
)
def test_input_that_cannot_be_used_is_one_sentence_that_names_it(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    said = refused("submit", "w", "--input", str(tmp_path / name), *BODY)
    assert name in said
    assert sentence in said


def test_a_folder_without_documents_is_one_sentence(tmp_path: Path) -> None:
    assert "there is no document under" in refused("submit", "w", "--input", str(tmp_path), *BODY)


def test_a_taken_port_is_one_sentence_that_says_how_to_choose_another(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused("up", "--port", port, "--state-dir", str(tmp_path))
    assert f"port {port} on 127.0.0.1 is taken" in said
    assert "--port PORT" in said


def test_a_state_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused("up", "--state-dir", str(tmp_path / "file" / "state"))


def test_a_catalog_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    said = refused("check", "--catalog-only", env={"FLEET_CATALOG": str(tmp_path / "nowhere")})
    assert "does not exist" in said


def test_a_setting_that_cannot_be_understood_is_one_sentence_that_names_it() -> None:
    assert "FLEET_API_PORT" in refused("check", "--catalog-only", env={"FLEET_API_PORT": "many"})


def test_a_ledger_that_cannot_be_reached_is_one_sentence() -> None:
    url = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing"
    assert "ledger" in refused("migrate", env={"FLEET_DATABASE_URL": url})


@pytest.mark.parametrize("url", ["mysql://secret@x/y", "postgresql://x/y", "nonsense"])
def test_a_ledger_that_is_not_supported_is_one_sentence(url: str) -> None:
    said = refused("migrate", env={"FLEET_DATABASE_URL": url})
    assert said.startswith("FLEET_DATABASE_URL: only SQLite (sqlite:///…) and PostgreSQL")
    assert url not in said


def test_an_api_that_cannot_listen_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused("api", "--port", port)
    assert f"port {port} on 127.0.0.1 cannot be listened on (Address already in use)" in said
    assert "choose another with --port" in said
    assert "from 0 to 65535" in refused("api", "--port", "99999")


def test_an_api_for_everybody_is_one_sentence() -> None:
    assert "listens on loopback only, not on 0.0.0.0" in refused("api", env={"FLEET_API_HOST": "0.0.0.0"})


def test_a_key_that_no_header_can_carry_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("text")
    hand_over = ("submit", "w", "--input", str(tmp_path), "--question", "What is it?", *BODY)
    for key in ("käse", "k" * 201, "two words", "line\n", ""):
        assert "printable ASCII" in refused(*hand_over, "--key", key), key
    assert "FLEET_API_KEY" in refused("jobs", env={"FLEET_API_KEY": "käse"})


def test_a_simulated_vendor_that_nobody_knows_is_named_with_the_known(tmp_path: Path) -> None:
    env = {"FLEET_SIMULATE": "nope", "FLEET_STATE_DIR": str(tmp_path)}
    sentence = "FLEET_SIMULATE names no known vendor with “nope”; known are: anthropic, google, openai"
    assert refused("up", "--port", str(free_port()), env=env) == sentence
    assert sentence in run("check", env=env).stdout


def test_a_check_creates_nothing(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for root, sentence in ((nowhere, "no state directory at"), (tmp_path, "no ledger at")):
        ended = run("check", env={"FLEET_STATE_DIR": str(root)})
        assert ended.returncode == 1
        assert sentence in ended.stdout
        assert f"no ledger at {root}/ledger.sqlite3: is FLEET_STATE_DIR right?" in ended.stdout
    assert not nowhere.exists()
    assert not list(tmp_path.glob("ledger*"))


def test_the_catalog_can_be_validated_without_a_fleet() -> None:
    ended = run("check", "--catalog-only")
    assert ended.returncode == 0
    assert "lanes" in ended.stdout


def test_help_names_every_command() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for command in (
        "up",
        "demo",
        "submit",
        "explain",
        "approvals",
        "dead",
        "replay",
        "lanes",
        "tax",
        "check",
        "drill",
        "taint",
        "effect",
    ):
        assert f" {command} " in ended.stdout


def test_help_imports_none_of_what_makes_commands_slow() -> None:
    program = (
        "import sys; from orchestrator.cli.app import app\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} & {'sqlalchemy', 'celery', 'fastapi', 'httpx2'}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ended.stdout.strip() == ""


def test_every_command_has_help_with_an_example() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        assert "Example: " in (command.callback.__doc__ or ""), command.callback.__name__
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            assert command.callback is not None
            assert "Example: " in (command.callback.__doc__ or ""), command.callback.__name__


def test_an_output_that_nobody_reads_to_the_end_is_no_traceback() -> None:
    ended = subprocess.run(
        f"{sys.executable} -P -m orchestrator --help | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.stderr == ""


def test_an_interrupt_ends_a_command_with_130() -> None:
    with socket.socket() as silent:  # accepts and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        env = _clean() | {"FLEET_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        # A shell lets what it starts in the background ignore interrupts, these tests with all that they start.
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(
            [*FLEET, "jobs"], env=env, stderr=subprocess.PIPE, text=True, preexec_fn=heard
        )
        waiting, _ = silent.accept()
        with waiting:  # one that is closed meanwhile would be an error of its own
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
