"""The servers that chaos may harm: a PostgreSQL and a broker of its own, on ports of their own."""

import os
import shutil
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from orchestrator.up.broker import answers, broker_spec
from orchestrator.up.ports import free_port
from orchestrator.up.statedir import StateDir

PATIENCE_SECONDS = 60.0
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
"""Where distributions put what is not meant for everybody's path."""
SPARE_PAGES = 50
ROOM_BYTES = 8 << 30
"""Of a disk of one's own. It lies in memory, which is taken only by what stands on it."""
UNPRIVILEGED = "postgres"
"""PostgreSQL refuses to be run by root."""


SKEW = Path(__file__).parent / "skew.c"


class NotHere(Exception):
    """A server that the run needs is not installed."""


def postgresql_binaries() -> Path:
    """The folder of initdb and pg_ctl; raises NotHere."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    for place in PLACES:
        for folder in sorted(Path("/").glob(place[1:]), reverse=True):
            if (folder / "initdb").exists():
                return folder
    raise NotHere("initdb is not here, and chaos harms no PostgreSQL but its own")


def skewing_library(folder: Path) -> Path:
    """Builds the library that gives a process another wall clock, and leaves what waits alone; raises NotHere."""
    library = folder / "skew.so"
    if not library.exists():
        done = subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SKEW), "-ldl"],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise NotHere(f"cc did not build {SKEW.name}: {done.stderr[-500:]}")
    return library


def set_skew(file: Path, seconds: int) -> None:
    """Sets the clock of the processes that were started with this file wrong by so much, at once."""
    file.touch()
    with file.open("r+b") as clock:  # in place, since it is mapped into their memory
        clock.write(struct.pack("l", seconds))


class Disk:
    """A file system of its own in a folder, which can be full while the machine's is not. Raises NotHere where this
    process may not mount one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._mount("-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs")

    def fill(self) -> None:
        """It is hardly larger than what stands on it. It cannot be smaller, and that may grow meanwhile."""
        for spare in range(SPARE_PAGES):
            seen = os.statvfs(self.folder)
            with suppress(NotHere):
                return self._mount(
                    "-o", f"remount,size={(seen.f_blocks - seen.f_bfree + spare) * seen.f_frsize}"
                )
        raise NotHere(f"{self.folder} grew faster than it could be filled")

    def relieve(self) -> None:
        self._mount("-o", f"remount,size={ROOM_BYTES}")

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], capture_output=True)

    def _mount(self, *options: str) -> None:
        done = subprocess.run(["mount", *options, str(self.folder)], capture_output=True, text=True)
        if done.returncode != 0:
            raise NotHere(f"no file system could be mounted: {done.stderr.strip()}")


class Postgres:
    """A cluster in a temporary folder; what it commits is written through to the disk as in production. Its tables
    stand on a small disk of their own, where one can be had."""

    def __init__(self) -> None:
        self._binaries = postgresql_binaries()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="fleet-chaos-pg-"))
        try:
            self.disk: Disk | None = Disk(self.folder / "small")
        except (NotHere, FileNotFoundError):
            self.disk = None
        if os.geteuid() == 0:
            for folder in [self.folder, *([self.disk.folder] if self.disk else [])]:
                shutil.chown(folder, UNPRIVILEGED)
        self._run("initdb", "-D", self._data, "-U", "fleet", "-A", "trust", "-E", "UTF8")
        self.start()
        if self.disk:
            self._ask(f"CREATE TABLESPACE small LOCATION '{self.disk.folder}'")
        self._ask("CREATE DATABASE fleet" + (" TABLESPACE small" if self.disk else ""))

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def url(self, port: int | None = None) -> str:
        return f"postgresql+psycopg://fleet@127.0.0.1:{port or self.port}/fleet"

    def refused_for_room(self) -> int:
        """How often the server has said that there was no room for what it was to write."""
        return self._said("No space left on device")

    def deadlocks(self) -> int:
        """How often the server has ended a transaction of a deadlock."""
        return self._said("ERROR:  deadlock detected")

    def conflicts(self) -> int:
        """How often the server has ended a transaction that it could not serialize."""
        return self._said("ERROR:  could not serialize access")

    def isolate(self, level: str) -> None:
        """Every session of the fleet, from its next connection on, which it makes at once."""
        self._ask(f"ALTER DATABASE fleet SET default_transaction_isolation = '{level}'")
        self.kill_backends()

    def _said(self, words: str) -> int:
        return (self.folder / "log").read_text(errors="replace").count(words)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        self._run("pg_ctl", "-D", self._data, "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        """As a crash would: nothing is finished, and the next start recovers from the log."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def sessions(self) -> int:
        """How many sessions the fleet has."""
        return self._of_sessions("count(*)")

    def kill_backends(self) -> int:
        """Ends every session of the fleet; answers how many."""
        return self._of_sessions("count(pg_terminate_backend(pid))")

    def _of_sessions(self, asked: str) -> int:
        try:
            query = f"SELECT {asked} FROM pg_stat_activity WHERE application_name = 'fleet'"
            return int(self._ask(query)[0][0])
        except DBAPIError:
            return 0

    def close(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop", check=False)
        if self.disk:
            self.disk.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ask(self, statement: str) -> list[Any]:
        """By a session of the server's owner, beside those of the fleet."""
        owner = make_url(self.url()).set(database="postgres")
        engine = create_engine(owner, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                answer = connection.execute(text(statement))
                return list(answer) if answer.returns_rows else []
        finally:
            engine.dispose()

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", UNPRIVILEGED, "--", *command]
        # Into a file: pg_ctl leaves its output to the server, which would keep a pipe open for ever.
        with (self.folder / "said").open("ab") as said:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.folder,
                timeout=PATIENCE_SECONDS,
            )
        if check and done.returncode != 0:
            raise NotHere(f"{program} did not do it: {(self.folder / 'said').read_text()[-500:]}")


class Broker:
    """The broker that is packaged with the fleet, as a process of its own that keeps nothing on disk."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        self._spec = broker_spec(StateDir.opened(root), self.port)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, port: int | None = None) -> str:
        return f"redis://127.0.0.1:{port or self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url())

    def connections(self) -> int:
        """How many there are, beside the one that asks."""
        with self.client() as broker:
            return int(broker.info("clients")["connected_clients"]) - 1

    def limit_memory(self, bytes_: int) -> None:
        """Refuses every message beyond; 0 is no limit."""
        with self.client() as broker:
            broker.config_set("maxmemory", bytes_)

    def refused_for_memory(self) -> int:
        """How often it has refused anything since it was started."""
        with self.client() as broker:
            return int(broker.info("errorstats").get("errorstat_OOM", {"count": 0})["count"])

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._spec.command, env=dict(self._spec.env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + PATIENCE_SECONDS
        while not answers(self.port):
            if time.monotonic() > until:
                raise NotHere("the embedded broker does not answer")
            time.sleep(0.02)

    def kill(self) -> int:
        """Ends it at once, and with it all that it knew; answers which process that was."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        return self._process.pid

    def close(self) -> None:
        self.kill()
