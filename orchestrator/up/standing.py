"""What a fleet still lacks, asked over its own API."""

from collections.abc import Collection

import httpx2

from contracts.catalog import Catalog

_PATIENCE_SECONDS = 2.0


def missing(api_url: str, catalog: Catalog) -> Collection[str]:
    """Names of what is not there yet: the API, whatever `/readyz` lacks, and lanes that no live worker serves."""
    try:
        ready = httpx2.get(f"{api_url}/readyz", timeout=_PATIENCE_SECONDS)
        if ready.status_code != httpx2.codes.OK:
            return ready.json().get("missing") or ["the ledger"]
        lanes = (
            httpx2.get(f"{api_url}/v1/lanes", timeout=_PATIENCE_SECONDS).raise_for_status().json()["items"]
        )
    except (httpx2.HTTPError, ValueError, KeyError, AttributeError):
        return ["the API"]
    served = {lane["lane"] for lane in lanes if lane["workers"]}
    return [f"a worker of lane {name}" for name in sorted(set(catalog.lanes) - served)]
