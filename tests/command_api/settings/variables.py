"""Values for the tests of settings: for each variable one that is not its default."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from joserfc.jwk import ECKey

from command_api.settings.all import GROUPS

KEY = ECKey.generate_key("P-256").as_pem(private=False).decode().strip().replace("\n", "\\n")
"""A public key, in one line as environments have it."""
READ = {
    "GATEWAYZ_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::1",
    "GATEWAYZ_CORS_ORIGINS": "https://app.example.com",
    "GATEWAYZ_PRIVY_VERIFICATION_KEY": KEY,
    "GATEWAYZ_TRIAL_USD": "2.5",
    "GATEWAYZ_INVOICE_TOLERANCE_USD": "0.5",
    "GATEWAYZ_GIFT_USD_MAX": "50",
    "GATEWAYZ_APPROVAL_ABOVE_USD": "50",
    "GATEWAYZ_REFERRAL_BONUS_USD": "5",
    "GATEWAYZ_REFERRAL_PURCHASE_USD": "50",
    "GATEWAYZ_SUBSCRIPTION_OFFERS": "pro=prod_1/price_1",
    "GATEWAYZ_SUBSCRIPTION_ALLOWANCES": "pro=30",
    "GATEWAYZ_STRIPE_URL": "http://127.0.0.1:12111",
    "GATEWAYZ_PAYMENT_RATES": "eur=1.08",
    "GATEWAYZ_BATCH_PRICE_PERCENT": 50,
}
"""Texts that are read when they are set."""


def other_value(field: Any) -> Any:
    """A value that a field accepts and that is not its default."""
    if field.alias in READ:
        return READ[field.alias]
    default, choices = field.default, get_args(field.annotation)
    if choices and all(isinstance(each, str) for each in choices):
        return next(each for each in choices if each != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, int | float):
        return default + 1
    wanted = choices[0] if choices else field.annotation
    if wanted is int:
        return 1
    return Path("/other/path") if wanted is Path else "other text"


PLACES = {
    str(field.alias): (group, name)
    for group, cls in GROUPS.items()
    for name, field in cls.model_fields.items()
}
"""Each variable's group and field."""

OTHERS = {
    str(field.alias): other_value(field)
    for cls in GROUPS.values()
    for field in cls.model_fields.values()
}
"""For each variable a value that is not its default."""


def keyword(variable: str) -> str:
    """What the variable is called when it is given by keyword."""
    return variable.removeprefix("GATEWAYZ_").lower()
