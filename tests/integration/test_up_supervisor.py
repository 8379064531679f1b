"""The supervisor over real child processes: restart, drain, leftovers, lock, ports."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.catalog_files import load_catalog
from orchestrator.up.access import how_vendors_answer, needs_simulator
from orchestrator.up.broker import answers, broker_spec
from orchestrator.up.child import MAX_LOG_BYTES, Child, Spec, rotate
from orchestrator.up.identity import identity_of
from orchestrator.up.once import run_once
from orchestrator.up.pidfile import PidFile, end_leftovers
from orchestrator.up.ports import free_port, require_free
from orchestrator.up.readiness import await_ready
from orchestrator.up.roster import Addresses, Roster
from orchestrator.up.signals import Interrupted, Signals
from orchestrator.up.statedir import LOCK, StateDir, broker_of
from orchestrator.up.supervisor import Backoff, Supervisor
from orchestrator.up.trouble import CannotStart

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


@dataclass
class Desk:
    """A supervisor over a state directory, and everything it said."""

    state: StateDir
    said: list[str] = field(default_factory=list)
    supervisor: Supervisor = field(init=False)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(
            self.state, self.said.append, Backoff(first_seconds=0.05), look_seconds=0.02
        )

    def start(self, name: str, program: str, *, stage: int = 1, grace_seconds: float = 5.0) -> Child:
        command = (sys.executable, "-c", program)
        return self.supervisor.start([Spec(name, command, dict(os.environ), stage, grace_seconds)])[0]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(StateDir.opened(tmp_path / "state"))
    yield desk
    desk.supervisor.stop(in_a_hurry=lambda: True)


def await_that(holds: Callable[[], object], seconds: float = 8.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.01)


def words(child: Child) -> list[str]:
    return child.log.read_text().split() if child.log.exists() else []


def test_a_killed_child_is_started_again_and_its_end_is_said(desk: Desk) -> None:
    child = desk.start("role", SLEEPER)
    await_that(lambda: words(child) == ["up"])
    first = child.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)

    await_that(lambda: words(child) == ["up", "up"])
    assert child.pid != first
    assert child.restarts == 1
    assert len(desk.said) == 1
    assert desk.said[0].startswith("role was ended by SIGKILL; it is started again in 0.05 s")


def test_a_child_of_which_nothing_can_be_noted_is_ended_and_not_started_beside_itself(desk: Desk) -> None:
    child = desk.start("role", PARENT)
    await_that(lambda: words(child))
    shutil.rmtree(desk.state.run)

    with pytest.raises(FileNotFoundError):
        child.start(time.monotonic())

    assert child.pid is None
    desk.state.run.mkdir()


def test_the_wait_before_a_restart_doubles_up_to_its_cap() -> None:
    backoff = Backoff(first_seconds=0.5, cap_seconds=30)
    assert [backoff.delay(restarts) for restarts in (0, 1, 2, 5, 6, 100)] == [0.5, 1, 2, 16, 30, 30]


def test_what_a_dead_child_had_started_is_ended_with_it(desk: Desk) -> None:
    child = desk.start("role", PARENT)
    await_that(lambda: words(child))
    grandchild = int(words(child)[0])
    assert child.pid is not None

    os.kill(child.pid, signal.SIGKILL)

    await_that(lambda: identity_of(grandchild) is None)


def test_a_drain_goes_from_the_last_stage_to_the_first(desk: Desk, tmp_path: Path) -> None:
    program = (
        "import pathlib, signal, sys, time\n"
        f"def end(*_): pathlib.Path({str(tmp_path / 'ends')!r}).open('a').write('NAME\\n'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(60)"
    )
    children = [
        desk.start(name, program.replace("NAME", name), stage=stage) for stage, name in enumerate("abc")
    ]
    await_that(lambda: all(words(child) == ["up"] for child in children))

    desk.supervisor.stop()

    assert (tmp_path / "ends").read_text().split() == ["c", "b", "a"]
    assert not list(desk.state.run.glob("*.pid"))
    assert desk.said == []


def test_a_child_that_will_not_end_is_killed_after_its_grace(desk: Desk) -> None:
    child = desk.start("stubborn", STUBBORN, grace_seconds=0.2)
    await_that(lambda: words(child) == ["up"])
    pid = child.pid
    assert pid is not None

    desk.supervisor.stop()

    assert identity_of(pid) is None
    assert desk.said == ["stubborn did not end within 0.2 s and was killed"]


def test_a_second_interrupt_kills_at_once(desk: Desk) -> None:
    child = desk.start("stubborn", STUBBORN, grace_seconds=30)
    await_that(lambda: words(child) == ["up"])
    began = time.monotonic()

    desk.supervisor.stop(in_a_hurry=lambda: True)

    assert time.monotonic() - began < 3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends them, by their pid files")
def test_children_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from pathlib import Path\n"
        "from orchestrator.up.child import Spec; from orchestrator.up.statedir import StateDir\n"
        "from orchestrator.up.supervisor import Supervisor\n"
        f"state = StateDir.opened(Path({str(tmp_path)!r}))\n"
        f"spec = Spec('role', (sys.executable, '-c', {SLEEPER!r}), dict(os.environ), 1)\n"
        "child = Supervisor(state, print).start([spec])[0]\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    await_that(lambda: (tmp_path / "logs" / "role.log").read_text() == "up\n")

    supervisor.kill()
    supervisor.wait()

    await_that(lambda: identity_of(pid) is None)


def test_leftovers_of_a_killed_supervisor_are_ended(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    PidFile(tmp_path / "broker.pid").write(left.pid)
    said: list[str] = []

    end_leftovers(tmp_path, said.append)

    assert left.wait(timeout=5) == -signal.SIGTERM
    assert said == ["ending what an earlier run left behind: broker"]
    assert not list(tmp_path.glob("*.pid"))


def test_a_process_that_only_got_the_same_number_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        stale = f'{{"pid": {stranger.pid}, "identity": "of another boot"}}'
        (tmp_path / "broker.pid").write_text(stale)
        (tmp_path / "torn.pid").write_text('{"pid"')

        end_leftovers(tmp_path, lambda _: None)

        assert stranger.poll() is None
        assert not list(tmp_path.glob("*.pid"))
    finally:
        stranger.kill()
        stranger.wait()


def test_a_second_supervisor_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    state = StateDir.opened(tmp_path)
    with state.locked("fleet up"), pytest.raises(CannotStart) as refused, state.locked("fleet up"):
        pass
    assert f"is held by process {os.getpid()} (fleet up, since 20" in str(refused.value)
    with state.locked("fleet up"):
        pass


def test_the_lock_is_its_owners_alone(tmp_path: Path) -> None:
    lock = tmp_path / LOCK
    lock.write_text("{}")
    lock.chmod(0o644)
    with StateDir.opened(tmp_path).locked("fleet up", "redis://:secret@127.0.0.1:1/0"):
        assert lock.stat().st_mode & 0o777 == 0o600
        assert broker_of(tmp_path) == "redis://:secret@127.0.0.1:1/0"
    assert broker_of(tmp_path) is None


def test_a_credential_goes_to_who_uses_it_only(tmp_path: Path) -> None:
    secrets = {
        "FLEET_DATABASE_URL": "d",
        "FLEET_API_KEY": "a",
        "OPENAI_API_KEY": "o",
        "OPENAI_API_KEY__SECOND": "p",
        "ANTHROPIC_ADMIN_KEY": "q",
        "ANTHROPIC_ADMIN_KEY__SECOND": "r",
        "ANTHROPIC_BASE_URL": " ",
    }
    roster = Roster(StateDir.opened(tmp_path), Addresses(1, 2, "redis://:b@x", 3), secrets)
    specs = [roster.simulator(), *roster.roles(load_catalog(None))]
    held = {spec.name: (secrets.keys() | {"FLEET_BROKER_URL"}) & spec.env.keys() for spec in specs}

    assert held["simulator"] == set()
    assert held["flower"] == held["beat"] == {"FLEET_BROKER_URL"}
    assert held["api"] == {"FLEET_BROKER_URL", "FLEET_DATABASE_URL", "FLEET_API_KEY"}
    assert held["worker-waiting"] == held["api"] | {
        "OPENAI_API_KEY",
        "OPENAI_API_KEY__SECOND",
        "ANTHROPIC_ADMIN_KEY",
        "ANTHROPIC_ADMIN_KEY__SECOND",
    }


def test_the_embedded_broker_gets_no_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLEET_DATABASE_URL", "FLEET_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "secret")
    assert "secret" not in broker_spec(StateDir.opened(tmp_path), 1).env.values()


def test_a_blank_key_is_no_key() -> None:
    blank = {"ANTHROPIC_API_KEY": " ", "FLEET_SIMULATE": " "}
    assert needs_simulator(blank)
    assert how_vendors_answer(blank).startswith("all simulated")
    assert not needs_simulator(blank | {"OPENAI_API_KEY": "sk-1"})
    assert not needs_simulator(blank | {"OPENAI_API_KEY__SECOND": "sk-1"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CannotStart, match=r"cannot be written \(Permission denied\); choose another"):
        StateDir.opened(tmp_path / "state")


def test_a_file_in_place_of_the_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(CannotStart, match="cannot be written"):
        StateDir.opened(tmp_path / "state")


def test_a_taken_port_is_one_sentence_that_says_how_to_choose_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {port} on 127.0.0.1 is taken.*--port PORT"):
            require_free(port, "the API", "--port")


def test_the_embedded_broker_answers_and_comes_back_after_a_kill(desk: Desk) -> None:
    port = free_port()
    child = desk.supervisor.start([broker_spec(desk.state, port)])[0]
    await_that(lambda: answers(port))
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    await_that(lambda: child.restarts == 1)
    await_that(lambda: answers(port))


def test_what_fails_once_is_said_with_its_last_words(tmp_path: Path) -> None:
    program = "import sys; print('working'); sys.exit('the ledger cannot be reached')"
    spec = Spec("migrate", (sys.executable, "-c", program), dict(os.environ), 1)
    with pytest.raises(CannotStart, match="migrate failed: the ledger cannot be reached"):
        run_once(spec, StateDir.opened(tmp_path), time.sleep)


def test_a_role_that_dies_again_and_again_ends_the_start(desk: Desk) -> None:
    desk.start("api", "import sys; sys.exit('no such module')")
    with pytest.raises(
        CannotStart, match=r"api ended 3 times while starting; its last words: no such module"
    ):
        await_ready(lambda: ["the API"], desk.supervisor.children, time.sleep)


def test_what_never_comes_up_is_named(desk: Desk) -> None:
    with pytest.raises(CannotStart, match=r"after 0\.2 s the fleet is not ready: lane draft"):
        await_ready(lambda: ["lane draft"], desk.supervisor.children, time.sleep, patience_seconds=0.2)


def test_an_interrupt_is_counted_and_heard_at_the_next_pause() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals.heard() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            signals.pause(0.01)
        assert not signals.in_a_hurry()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_log_that_grew_too_large_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "role.log"
    log.write_bytes(b"x" * (MAX_LOG_BYTES + 1))
    rotate(log)
    assert not log.exists()
    assert (tmp_path / "role.log.1").exists()
