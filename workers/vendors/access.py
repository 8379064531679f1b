"""Which vendors this process reaches, and how: really, simulated, or not at all."""

import os
import threading
from dataclasses import dataclass

from pydantic import SecretStr

from contracts.failures import Code, Failure, HandlerFailure
from workers.settings import WorkerSettings
from workers.vendors.port import Vendor
from workers.vendors.transport import http_client

SIMULATED_PATHS = {"anthropic": "/anthropic", "openai": "/openai/v1", "google": "/gemini"}
"""The known vendors, and where the simulator speaks for each."""


@dataclass(frozen=True)
class Access:
    key: SecretStr
    base_url: str | None
    """None for the vendor's own address."""
    simulated: bool


@dataclass(frozen=True)
class Unavailable:
    sentence: str


def access_to(name: str, settings: WorkerSettings) -> Access | Unavailable:
    """The way to one vendor. With no key and no address of any vendor all are simulated; with any real one,
    those without are unavailable unless they are named in FLEET_SIMULATE."""
    unknown = sorted({name, *settings.simulate} - SIMULATED_PATHS.keys())
    if unknown:
        return Unavailable(f"unknown vendor “{unknown[0]}”; known are: {', '.join(sorted(SIMULATED_PATHS))}")
    real = _real_accesses(settings)
    if name in real and name in settings.simulate:
        # Neither guess is safe: one spends money, the other lets a pretended model judge.
        return Unavailable(f"{name} has a key or an address, and FLEET_SIMULATE names it too: remove one")
    if name in real:
        return real[name]
    if real and name not in settings.simulate:
        return Unavailable(f"{name} has no key, and is simulated only if FLEET_SIMULATE names it")
    return _simulated(name, settings.simulator_url)


def _simulated(name: str, simulator_url: str | None) -> Access | Unavailable:
    if not simulator_url:
        return Unavailable(f"{name} is to be simulated: start the simulator, or set {name}'s key")
    address = simulator_url.rstrip("/") + SIMULATED_PATHS[name]
    return Access(SecretStr("simulated"), address, simulated=True)


def _real_accesses(settings: WorkerSettings) -> dict[str, Access]:
    google_key = settings.google_api_key if _given(settings.google_api_key) else settings.gemini_api_key
    told = {
        "anthropic": (settings.anthropic_api_key, settings.anthropic_base_url),
        "openai": (settings.openai_api_key, settings.openai_base_url),
        "google": (google_key, settings.google_base_url),
    }
    return {
        # An address without a key is a gateway that holds the key itself.
        name: Access(key if key and _given(key) else SecretStr("none"), address, simulated=False)
        for name, (key, given) in told.items()
        for address in ((given or "").strip() or None,)
        if _given(key) or address
    }


def _given(key: SecretStr | None) -> bool:
    return key is not None and bool(key.get_secret_value().strip())


class Vendors:
    """The vendors of one process; a client is built when it is first asked for."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._built: dict[str, tuple[Vendor, bool]] = {}

    def vendor(self, name: str) -> tuple[Vendor, bool]:
        """The vendor, and whether it is simulated. Raises HandlerFailure (vendor_unavailable)."""
        with self._lock:
            if name not in self._built:
                access = access_to(name, self._settings)
                if isinstance(access, Unavailable):
                    raise HandlerFailure(Failure(code=Code.VENDOR_UNAVAILABLE, sentence=access.sentence))
                self._built[name] = (_build(name, access), access.simulated)
            return self._built[name]


def _build(name: str, access: Access) -> Vendor:
    # The SDKs are imported here because each takes about a second, which lanes without models never pay.
    # A simulator is never asked through a proxy.
    key, http = access.key.get_secret_value(), http_client(through_proxies=not access.simulated)
    match name:
        case "anthropic":
            from workers.vendors.anthropic import Anthropic

            return Anthropic(key, access.base_url, http)
        case "openai":
            from workers.vendors.openai import OpenAI

            return OpenAI(key, access.base_url, http)
        case "google":
            from workers.vendors.google import Google

            return Google(key, access.base_url, http)
    raise LookupError(f"no adapter for “{name}”")


_lock = threading.Lock()
_by_process: dict[tuple[int, WorkerSettings], Vendors] = {}


def vendors_for(settings: WorkerSettings) -> Vendors:
    """The vendors of this process under these settings. A fork does not inherit its parent's connections."""
    with _lock:
        return _by_process.setdefault((os.getpid(), settings), Vendors(settings))
