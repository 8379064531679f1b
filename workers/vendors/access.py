"""Which vendors' accounts this process reaches, and how: really, simulated, or not at all."""

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle

import httpx2
from pydantic import SecretStr

from contracts.failures import Code, Failure, HandlerFailure
from workers.settings import FURTHER, WorkerSettings
from workers.vendors.port import BatchVendor, LimitsVendor, Vendor
from workers.vendors.transport import http_client

SIMULATED_PATHS = {"anthropic": "/anthropic", "openai": "/openai/v1", "google": "/gemini"}
"""The known vendors, and where the simulator speaks for each."""

KEY_VARIABLES = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
"""Where a vendor has two, the first that is set counts."""

ADMIN_KEY_VARIABLES = {"anthropic": ("ANTHROPIC_ADMIN_KEY",)}
"""Of the vendors that tell what they allow an account."""

DEFAULT_ACCOUNT = "default"
"""The account whose variable has no suffix."""


@dataclass(frozen=True)
class _Kind:
    """What a key is for."""

    variables: Mapping[str, tuple[str, ...]]
    simulated: str
    """How the simulator's keys begin."""
    by_gateway: bool
    """Whether an address without a key is a gateway that holds the key itself."""


_MODELS = _Kind(KEY_VARIABLES, "simulated-", by_gateway=True)
_LIMITS = _Kind(ADMIN_KEY_VARIABLES, "simulated-admin-", by_gateway=False)


@dataclass(frozen=True)
class Access:
    """One account of one vendor."""

    keys: tuple[SecretStr, ...]
    """They share the account's limits and are used in turn."""
    base_url: str | None
    """None for the vendor's own address."""
    simulated: bool


@dataclass(frozen=True)
class Unavailable:
    sentence: str


def access_to(name: str, account: str, settings: WorkerSettings) -> Access | Unavailable:
    """The way to one account of a vendor. With no key and no address of any vendor all are simulated; with any
    real one, those without are unavailable unless they are named in FLEET_SIMULATE."""
    return _access_to(name, account, settings, _MODELS)


def limits_access_to(name: str, account: str, settings: WorkerSettings) -> Access | Unavailable:
    """The way to what a vendor says it allows an account, by a key of its own; else as `access_to`."""
    if name not in ADMIN_KEY_VARIABLES:
        return Unavailable(f"{name} does not tell what it allows an account")
    return _access_to(name, account, settings, _LIMITS)


def limits_readable(accounts: Iterable[tuple[str, str]], settings: WorkerSettings) -> tuple[str, ...]:
    """Those of the accounts, vendor and name, whose limits can be read here, as ``vendor/account``."""
    return tuple(
        f"{vendor}/{account}"
        for vendor, account in accounts
        if isinstance(limits_access_to(vendor, account, settings), Access)
    )


def _access_to(name: str, account: str, settings: WorkerSettings, kind: _Kind) -> Access | Unavailable:
    unknown = sorted({name, *settings.simulate} - SIMULATED_PATHS.keys())
    if unknown:
        return Unavailable(f"unknown vendor “{unknown[0]}”; known are: {', '.join(sorted(SIMULATED_PATHS))}")
    real = {vendor for vendor in SIMULATED_PATHS if _is_real(vendor, settings)}
    if name in real and name in settings.simulate:
        # Neither guess is safe: one spends money, the other lets a pretended model judge.
        return Unavailable(f"{name} has a key or an address, and FLEET_SIMULATE names it too: remove one")
    if name in real:
        return _real(name, account, settings, kind)
    if real and name not in settings.simulate:
        return Unavailable(f"{name} has no key, and is simulated only if FLEET_SIMULATE names it")
    return _simulated(name, kind.simulated + account, settings.simulator_url)


def simulated_of(names: Iterable[str], settings: WorkerSettings) -> tuple[str, ...]:
    """Those of the vendors for which the simulator is asked."""
    ways = {name: access_to(name, DEFAULT_ACCOUNT, settings) for name in names}
    return tuple(sorted(name for name, way in ways.items() if isinstance(way, Access) and way.simulated))


def _simulated(name: str, key: str, simulator_url: str | None) -> Access | Unavailable:
    if not simulator_url:
        return Unavailable(f"{name} is to be simulated: start the simulator, or set {name}'s key")
    address = simulator_url.rstrip("/") + SIMULATED_PATHS[name]
    return Access((SecretStr(key),), address, simulated=True)


def _real(name: str, account: str, settings: WorkerSettings, kind: _Kind) -> Access | Unavailable:
    address = _address(name, settings)
    variables = [_variable(name_of_key, account) for name_of_key in kind.variables[name]]
    told = _told_keys(settings)
    keys = next((told[variable] for variable in variables if variable in told), ())
    if not keys and address and account == DEFAULT_ACCOUNT and kind.by_gateway:
        keys = (SecretStr("none"),)
    if not keys:
        return Unavailable(f"{name} has no key for its account “{account}”: set {' or '.join(variables)}")
    return Access(keys, address, simulated=False)


def _is_real(name: str, settings: WorkerSettings) -> bool:
    """Whether any account of the vendor has a key, or the vendor an address."""
    told = {variable.partition(FURTHER)[0] for variable in _told_keys(settings)}
    keys = {*KEY_VARIABLES[name], *ADMIN_KEY_VARIABLES.get(name, ())}
    return bool(_address(name, settings)) or not told.isdisjoint(keys)


def _variable(key_variable: str, account: str) -> str:
    if account == DEFAULT_ACCOUNT:
        return key_variable
    return f"{key_variable}{FURTHER}{account.upper().replace('-', '_')}"


def _told_keys(settings: WorkerSettings) -> dict[str, tuple[SecretStr, ...]]:
    """The keys by the names of their variables; a blank variable is none."""
    told = {
        "ANTHROPIC_API_KEY": settings.anthropic_api_key,
        "ANTHROPIC_ADMIN_KEY": settings.anthropic_admin_key,
        "OPENAI_API_KEY": settings.openai_api_key,
        "GOOGLE_API_KEY": settings.google_api_key,
        "GEMINI_API_KEY": settings.gemini_api_key,
        **dict(settings.further_keys),
    }
    split = {variable: _split(value) for variable, value in told.items() if value is not None}
    return {variable: keys for variable, keys in split.items() if keys}


def _split(value: SecretStr) -> tuple[SecretStr, ...]:
    return tuple(SecretStr(key.strip()) for key in value.get_secret_value().split(",") if key.strip())


def _address(name: str, settings: WorkerSettings) -> str | None:
    addresses = {
        "anthropic": settings.anthropic_base_url,
        "openai": settings.openai_base_url,
        "google": settings.google_base_url,
    }
    return (addresses[name] or "").strip() or None


class Vendors:
    """The vendors' accounts of one process; a client is built when it is first asked for."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._built: dict[tuple[str, str], tuple[cycle[Vendor], bool]] = {}
        self._batches: dict[tuple[str, str], tuple[BatchVendor, bool]] = {}
        self._limits: dict[tuple[str, str], tuple[LimitsVendor, bool]] = {}

    def vendor(self, name: str, account: str) -> tuple[Vendor, bool]:
        """The account's client whose turn it is, and whether it is simulated. Raises HandlerFailure
        (vendor_unavailable)."""
        with self._lock:
            if (name, account) not in self._built:
                access = access_to(name, account, self._settings)
                if isinstance(access, Unavailable):
                    raise HandlerFailure(Failure(code=Code.VENDOR_UNAVAILABLE, sentence=access.sentence))
                self._built[name, account] = cycle(_clients(name, access)), access.simulated
            clients, simulated = self._built[name, account]
            return next(clients), simulated

    def batches(self, name: str, account: str) -> tuple[BatchVendor, bool]:
        """A client for the account's batches, which any of its keys may look at, and whether it is simulated.
        Raises HandlerFailure (vendor_unavailable)."""
        with self._lock:
            if (name, account) not in self._batches:
                access = access_to(name, account, self._settings)
                if isinstance(access, Unavailable):
                    raise HandlerFailure(Failure(code=Code.VENDOR_UNAVAILABLE, sentence=access.sentence))
                http = http_client(through_proxies=not access.simulated)
                key = access.keys[0].get_secret_value()
                client = _build_batches(name, key, access.base_url, http)
                self._batches[name, account] = client, access.simulated
            return self._batches[name, account]

    def limits(self, name: str, account: str) -> tuple[LimitsVendor, bool]:
        """Who tells what the vendor allows the account, and whether it is simulated. Raises HandlerFailure
        (vendor_unavailable)."""
        with self._lock:
            if (name, account) not in self._limits:
                access = limits_access_to(name, account, self._settings)
                if isinstance(access, Unavailable):
                    raise HandlerFailure(Failure(code=Code.VENDOR_UNAVAILABLE, sentence=access.sentence))
                http = http_client(through_proxies=not access.simulated)
                key = access.keys[0].get_secret_value()
                client = _build_limits(name, key, access.base_url, http)
                self._limits[name, account] = client, access.simulated
            return self._limits[name, account]


def _clients(name: str, access: Access) -> list[Vendor]:
    # A simulator is never asked through a proxy.
    http = http_client(through_proxies=not access.simulated)
    return [_build(name, key.get_secret_value(), access.base_url, http) for key in access.keys]


def _build(name: str, key: str, base_url: str | None, http: httpx2.Client) -> Vendor:
    # The SDKs are imported here because each takes about a second, which lanes without models never pay.
    match name:
        case "anthropic":
            from workers.vendors.anthropic import Anthropic

            return Anthropic(key, base_url, http)
        case "openai":
            from workers.vendors.openai import OpenAI

            return OpenAI(key, base_url, http)
        case "google":
            from workers.vendors.google import Google

            return Google(key, base_url, http)
    raise LookupError(f"no adapter for “{name}”")


def _build_batches(name: str, key: str, base_url: str | None, http: httpx2.Client) -> BatchVendor:
    match name:
        case "anthropic":
            from workers.vendors.anthropic_batch import AnthropicBatches

            return AnthropicBatches(key, base_url, http)
        case "openai":
            from workers.vendors.openai_batch import OpenAIBatches

            return OpenAIBatches(key, base_url, http)
        case "google":
            from workers.vendors.google_batch import GoogleBatches

            return GoogleBatches(key, base_url, http)
    raise LookupError(f"no adapter for “{name}”")


def _build_limits(name: str, key: str, base_url: str | None, http: httpx2.Client) -> LimitsVendor:
    match name:
        case "anthropic":
            from workers.vendors.anthropic_limits import AnthropicLimits

            return AnthropicLimits(key, base_url, http)
    raise LookupError(f"no adapter for “{name}”")


_lock = threading.Lock()
_by_process: dict[tuple[int, WorkerSettings], Vendors] = {}


def vendors_for(settings: WorkerSettings) -> Vendors:
    """The vendors of this process under these settings. A fork does not inherit its parent's connections."""
    with _lock:
        return _by_process.setdefault((os.getpid(), settings), Vendors(settings))
