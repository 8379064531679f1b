"""What is kept of an exchange with a vendor, as evidence and for a repair."""

import json
from dataclasses import asdict
from typing import Any

from workers.vendors.port import ModelAnswer, ModelRequest, VendorFailure

MEDIA_TYPE = "application/json"


def kept_request(vendor: str, request: ModelRequest) -> bytes:
    """The request as JSON. The attempt's id stays out, so that equal requests are one artifact."""
    told: dict[str, Any] = {"vendor": vendor, **asdict(request)}
    del told["attempt"]
    return _bytes(told)


def kept_answer(answer: ModelAnswer) -> bytes:
    """The answer as JSON: its text and stop reason, and the body as it came."""
    return _bytes(
        {
            "text": answer.text,
            "stop": answer.stop.value,
            "vendor_request_id": answer.vendor_request_id,
            "body": answer.body.decode(errors="replace"),
        }
    )


def kept_refusal(failure: VendorFailure) -> bytes:
    """The same for a request that was refused."""
    return _bytes(
        {
            "text": "",
            "stop": None,
            "vendor_request_id": failure.vendor_request_id,
            "body": failure.body.decode(errors="replace"),
        }
    )


def text_of(kept: bytes) -> str:
    """The model's words in a kept answer; other bytes are read as text."""
    try:
        told = json.loads(kept)
    except ValueError:
        return kept.decode(errors="replace")
    if isinstance(told, dict) and isinstance(told.get("text"), str):
        return str(told["text"])
    return kept.decode(errors="replace")


def _bytes(told: dict[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False, indent=1).encode()
