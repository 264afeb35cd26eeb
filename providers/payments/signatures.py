"""The signatures of Stripe's webhooks (https://docs.stripe.com/webhooks/signature).

`Stripe-Signature: t=TIME,v1=MAC[,v1=MAC…]`, where a MAC is HMAC-SHA256 of `TIME.BODY` under one of
the endpoint's secrets: while a secret is rotated there are two, on either side.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TOLERANCE_S = 300
"""How far the time of a signature may be from ours; what is older may be somebody's recording."""
HEADER_BYTES_MAX = 2_048
MACS_MAX = 16
SCHEME = "v1"
TIME_DIGITS_MAX = 12


class SignatureError(Exception):
    """The body is not signed by who knows a secret, or not now."""


def check_signature(header: str, body: bytes, secrets: Sequence[str], now: int) -> None:
    """Raise SignatureError, in words for who has to find out why, unless a MAC is right."""
    if not header:
        message = "the header Stripe-Signature is missing"
        raise SignatureError(message)
    at, macs = _read(header)
    known = [
        hmac.digest(secret.encode(), b"%d." % at + body, "sha256").hex().encode()
        for secret in secrets
    ]
    right = [hmac.compare_digest(each, mac.encode()) for each in known for mac in macs]
    if not any(right):
        message = "no signature is right: the secret is another endpoint's, or the body was changed"
        raise SignatureError(message)
    if abs(now - at) > TOLERANCE_S:
        message = f"it was signed {abs(now - at)} s from now, by the clock here: a recording?"
        raise SignatureError(message)


def _read(header: str) -> tuple[int, list[str]]:
    """Time and MACs; raises SignatureError."""
    message = "the header Stripe-Signature is not of the form t=…,v1=…"
    if len(header) > HEADER_BYTES_MAX or not header.isascii():
        raise SignatureError(message)
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    macs = [value for name, _, value in pairs if name == SCHEME]
    if len(times) != 1 or not 1 <= len(macs) <= MACS_MAX or not _is_time(times[0]):
        raise SignatureError(message)
    return int(times[0]), macs


def _is_time(text: str) -> bool:
    return text.isdigit() and len(text) <= TIME_DIGITS_MAX
