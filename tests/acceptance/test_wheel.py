"""The wheel: everything that runs is in it, and installed it needs nothing of the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOPS = ("beat_schedule", "contracts", "orchestrator", "workers")
"""What `import` finds of ours."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the hatchling of the lock."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `fleet` of an environment of its own, into which nothing but the wheel is installed.

    What the wheel depends on it borrows from the environment of the tests, by a path: installing that anew would
    take a minute and prove the lock, which `make` does. A path does not bring the editable install along.
    """
    home = tmp_path_factory.mktemp("installed")
    venv.create(home)
    python = home / "bin" / "python"
    packages = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            wheel,
        ]
    )
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return home / "bin" / "fleet"


def test_the_wheel_holds_every_file_of_its_packages_and_the_beats_schedule(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())

    assert {"beat_schedule.py", *shipped()} - held == set()


def test_what_is_no_python_is_in_the_wheel_too(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()

    for start, end in (
        ("contracts/shipped/lanes/", ".yaml"),
        ("contracts/shipped/workflows/", ".yaml"),
        ("contracts/shipped/vendors/", ".yaml"),
        ("contracts/shipped/ticks/", ".yaml"),
        ("orchestrator/ledger/migrations/versions/", ".py"),
        ("workers/site/templates/", ".html"),
    ):
        assert [name for name in held if name.startswith(start) and name.endswith(end)], start


def test_nothing_but_the_packages_gets_into_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}

    assert {top.removesuffix(".py") for top in tops if not top.endswith(".dist-info")} == set(TOPS)


def test_the_installed_wheel_is_what_runs_and_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    python = installed.with_name("python")
    asked = f"import {', '.join(TOPS)}; print(*(each.__file__ for each in ({', '.join(TOPS)})))"

    found = run([python, "-c", asked], cwd=tmp_path, env=bare(tmp_path)).split()

    assert all(Path(file).is_relative_to(installed.parents[1]) for file in found), found


def test_the_installed_fleet_knows_its_version_and_its_catalog(
    installed: Path, wheel: Path, tmp_path: Path
) -> None:
    env, version = bare(tmp_path), wheel.name.split("-")[1]

    assert run([installed, "--version"], cwd=tmp_path, env=env) == f"fleet {version}\n"
    assert "the catalog holds: " in run([installed, "check", "--catalog-only"], cwd=tmp_path, env=env)


def test_the_installed_fleet_runs_the_demo_from_another_directory(installed: Path, tmp_path: Path) -> None:
    told = run([installed, "demo", "--documents", "3"], cwd=tmp_path, env=bare(tmp_path))

    assert "published and verified: " in told


def shipped() -> Iterable[str]:
    """The files of the packages, as git would take them."""
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *TOPS[1:]], cwd=ROOT)
    return [name for name in listed.splitlines() if (ROOT / name).exists()]


def bare(home: Path) -> dict[str, str]:
    """An environment that says nothing about a fleet or a vendor, and keeps everything under `home`."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "COLUMNS": "200"}


def run(command: list[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What the command says on standard output; what it complained about where it failed."""
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
