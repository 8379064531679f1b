"""The paces of a fleet fit each other, whichever of them is set."""

import pytest

from orchestrator.settings import Settings


@pytest.mark.parametrize(("lease", "beat"), [("10", 10 / 3), ("4", 4 / 3), ("30", 5.0), ("120", 5.0)])
def test_a_worker_beats_three_times_within_its_lease(
    lease: str, beat: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_LEASE_SECONDS", lease)
    monkeypatch.delenv("FLEET_HEARTBEAT_SECONDS", raising=False)
    assert Settings().heartbeat_seconds == pytest.approx(beat)


def test_a_beat_that_would_lose_the_lease_is_refused_with_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEET_LEASE_SECONDS", "10")
    monkeypatch.setenv("FLEET_HEARTBEAT_SECONDS", "6")
    with pytest.raises(
        ValueError, match=r"FLEET_HEARTBEAT_SECONDS \(6\).*half of FLEET_LEASE_SECONDS \(10\)"
    ):
        Settings()
    monkeypatch.setenv("FLEET_HEARTBEAT_SECONDS", "5")
    assert Settings().heartbeat_seconds == 5
