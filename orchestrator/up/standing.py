"""What a fleet still lacks, asked over its own API."""

import os
from collections.abc import Collection
from typing import Any

import httpx2

from contracts.catalog import Catalog

_PATIENCE_SECONDS = 2.0


def missing(api_url: str, catalog: Catalog) -> Collection[str]:
    """Names of what is not there yet: the API, whatever `/readyz` lacks, and lanes that no live worker serves."""
    try:
        ready = _asked(f"{api_url}/readyz")
        if ready.status_code != httpx2.codes.OK:
            return _lacking(ready.json())
        lanes = _asked(f"{api_url}/v1/lanes").raise_for_status().json()["items"]
        served = {lane["lane"] for lane in lanes if lane["workers"]}
    except (httpx2.HTTPError, ValueError, KeyError, AttributeError):
        return ["the API"]
    return [f"a worker of lane {name}" for name in sorted(set(catalog.lanes) - served)]


def _asked(url: str) -> httpx2.Response:
    key = os.environ.get("FLEET_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.get(url, headers=headers, timeout=_PATIENCE_SECONDS)


def _lacking(readiness: dict[str, Any]) -> Collection[str]:
    """The sentences of `/readyz`, or of the problem document that stands in its place."""
    return list(readiness.get("missing") or [readiness.get("detail") or "the ledger"])
