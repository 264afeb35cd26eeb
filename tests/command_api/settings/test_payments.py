"""Settings of payments: what cannot be is refused at the start."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from command_api.settings import Settings

BAD = {
    "stripe_url": ("http://api.stripe.com", "ftp://x", "127.0.0.1", "http://127.0.0.1.evil.com"),
    "stripe_webhook_secrets": ("a,b,c",),
    "payment_rates": ("eur", "eur=0", "eur=-1", "euro=1", "eur=x"),
    "stripe_poll_s": (0, 100_000),
}


def test_what_cannot_be_is_refused() -> None:
    """Our key goes by https or to this machine alone; two secrets; rates above 0 (rule: access)."""
    for name, values in BAD.items():
        for value in values:
            with pytest.raises(ValidationError):
                Settings(**{name: value})


def test_stripes_own_names_are_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """`STRIPE_API_KEY`, where ours is not set (rule: contract)."""
    monkeypatch.setenv("STRIPE_API_KEY", "sk_theirs")
    assert Settings().payments.stripe_api_key == "sk_theirs"
    monkeypatch.setenv("GATEWAYZ_STRIPE_API_KEY", "sk_ours")
    found = Settings(stripe_webhook_secrets="new, old").payments
    assert (found.stripe_api_key, found.webhook_secrets) == ("sk_ours", ("new", "old"))
    assert found.rates_by_currency == {"usd": "1"} and found.takes_part
