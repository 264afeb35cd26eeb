"""Who signed a webhook, and when."""

from __future__ import annotations

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from providers.payments.signatures import (
    MACS_MAX,
    TOLERANCE_S,
    SignatureError,
    check_signature,
)
from providers.stripe_double.webhooks import sign

NOW, OLD, NEW = 1_800_000_000, "whsec_old", "whsec_new"
BODY = '{"id": "evt_1", "name": "ä"}'.encode()


def test_either_secret_opens() -> None:
    """While secrets are rotated, on either side (rule: access)."""
    for secret in (OLD, NEW):
        check_signature(sign(BODY, secret, NOW), BODY, (NEW, OLD), NOW)
    both = f"{sign(BODY, OLD, NOW)},{sign(BODY, NEW, NOW).partition(',')[2]},v0=abc"
    for secrets in ((OLD,), (NEW,), (NEW, OLD)):
        check_signature(both, BODY, secrets, NOW)
    with pytest.raises(SignatureError):
        check_signature(sign(BODY, OLD, NOW), BODY, (NEW,), NOW)
    with pytest.raises(SignatureError):
        check_signature(sign(BODY, OLD, NOW), BODY, (), NOW)


def test_the_sdk_signs_and_believes_the_same() -> None:
    """Byte for byte (rule: wire)."""
    header = stripe.WebhookSignature.generate_signature_header(BODY.decode(), OLD, NOW)
    assert header == sign(BODY, OLD, NOW)
    check_signature(header, BODY, (OLD,), NOW)
    assert stripe.WebhookSignature.verify_header(BODY, sign(BODY, OLD, NOW), OLD)


@pytest.mark.parametrize("off", [-TOLERANCE_S - 1, TOLERANCE_S + 1, 10**9, -(10**9)])
def test_a_recording_is_refused(off: int) -> None:
    """Stale, or from the future (rule: access)."""
    with pytest.raises(SignatureError, match="recording"):
        check_signature(sign(BODY, OLD, NOW + off), BODY, (OLD,), NOW)
    check_signature(sign(BODY, OLD, NOW - TOLERANCE_S), BODY, (OLD,), NOW)


GOOD = sign(BODY, OLD, NOW)
BAD = [
    *("", "x", ",", "=", "t=", "v1=", "t=1", GOOD.partition(",")[0], GOOD.partition(",")[2]),
    *(GOOD.replace("v1", "v0"), GOOD.replace("t=", "t=-"), f"t=1,{GOOD}", GOOD + "é"),
    *(GOOD[:-1], GOOD + "0", GOOD.replace(str(NOW), str(NOW + 1)), f"t={'9' * 5_000},v1=a"),
    GOOD + ",v1=a" * MACS_MAX,
    "x" * 10_000,
    "t=٣,v1=a",
]


@pytest.mark.parametrize("header", BAD, ids=range(len(BAD)))
def test_what_is_no_signature_is_refused(header: str) -> None:
    """In words, never an error of ours (rule: refuse clearly)."""
    with pytest.raises(SignatureError):
        check_signature(header, BODY, (OLD,), NOW)


@given(st.binary(max_size=60))
def test_no_other_body_passes(other: bytes) -> None:
    """Under a signature of this one (rule: access)."""
    if other != BODY:
        with pytest.raises(SignatureError):
            check_signature(GOOD, other, (OLD,), NOW)
