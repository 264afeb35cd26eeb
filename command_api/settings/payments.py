"""Settings of payments: who takes the money, and who may say that it did."""

from __future__ import annotations

from pydantic import AliasChoices, Field, field_validator

from command_api.settings.group import Group
from domain.payments.fiat import rates_of
from domain.subscriptions.tiers import Offers, offers_of

WEBHOOK_SECRETS_MAX = 2
"""The present one, and the one that is rotated out."""


class PaymentSettings(Group):
    """Stripe, which takes the money; without a key nobody can pay."""

    stripe_api_key: str | None = Field(
        None,
        repr=False,
        alias="GATEWAYZ_STRIPE_API_KEY",
        validation_alias=AliasChoices("GATEWAYZ_STRIPE_API_KEY", "STRIPE_API_KEY"),
        description="Secret key at Stripe (`sk_…` or `rk_…`); `STRIPE_API_KEY` is as good.",
    )
    stripe_webhook_secrets: str = Field(
        "",
        repr=False,
        alias="GATEWAYZ_STRIPE_WEBHOOK_SECRETS",
        validation_alias=AliasChoices("GATEWAYZ_STRIPE_WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRET"),
        description="Secret of the webhook endpoint (`whsec_…`); two with a comma while it is "
        "rotated. Without one payments are found by asking alone.",
    )
    stripe_url: str = Field(
        "https://api.stripe.com",
        alias="GATEWAYZ_STRIPE_URL",
        description="Where Stripe's API is; https, or this machine.",
    )
    stripe_poll_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        alias="GATEWAYZ_STRIPE_POLL_S",
        description="Time between looks for events that no webhook brought, seconds.",
    )
    rates: str = Field(
        "",
        alias="GATEWAYZ_PAYMENT_RATES",
        description="USD for one unit of other currencies that are taken: `eur=1.08,gbp=1.27`.",
    )
    return_url: str | None = Field(
        None,
        alias="GATEWAYZ_PAYMENT_RETURN_URL",
        description="Where people come back to from Stripe's page, when a request does not say; "
        "else `GATEWAYZ_PUBLIC_URL`.",
    )
    subscription_offers: str = Field(
        "",
        alias="GATEWAYZ_SUBSCRIPTION_OFFERS",
        description="What can be subscribed to: tiers by product and monthly price at Stripe, as "
        "`pro=prod_A/price_A,max=prod_B/price_B`. Several prices of a tier are several entries.",
    )
    subscription_allowances: str = Field(
        "pro=20,max=150",
        alias="GATEWAYZ_SUBSCRIPTION_ALLOWANCES",
        description="USD of credits that each paid period of a tier gives, and that end with it.",
    )
    subscription_tax: bool = Field(
        default=False,
        alias="GATEWAYZ_SUBSCRIPTION_TAX",
        description="Stripe works out taxes of subscriptions, and asks for tax ids; it has to be "
        "set up there first.",
    )
    demo: bool = Field(
        default=False,
        alias="GATEWAYZ_DEMO",
        description="Payments are taken by a double of Stripe beside the gateway where there is no "
        "key; no money moves (`gatewayz up --demo`).",
    )

    @field_validator("stripe_url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        local = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")
        if not url.startswith(("https://", *local)):
            message = "our key is sent by https alone, or to this machine"
            raise ValueError(message)
        return url.rstrip("/")

    @field_validator("stripe_webhook_secrets")
    @classmethod
    def _are_few(cls, given: str) -> str:
        if len(_listed(given)) > WEBHOOK_SECRETS_MAX:
            message = f"there are at most {WEBHOOK_SECRETS_MAX} secrets: the new one and the old"
            raise ValueError(message)
        return given

    @field_validator("rates")
    @classmethod
    def _are_rates(cls, given: str) -> str:
        rates_of(_rates(given))
        return given

    @field_validator("subscription_offers")
    @classmethod
    def _are_offers(cls, given: str) -> str:
        offers_of(given)
        return given

    @field_validator("subscription_allowances")
    @classmethod
    def _are_allowances(cls, given: str) -> str:
        offers_of("", given)
        return given

    @property
    def offers(self) -> Offers:
        """What can be subscribed to, and what a period of each tier gives."""
        return offers_of(self.subscription_offers, self.subscription_allowances)

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The secrets, one by one."""
        return tuple(_listed(self.stripe_webhook_secrets))

    @property
    def rates_by_currency(self) -> dict[str, str]:
        """The rates, that of dollars too."""
        return rates_of(_rates(self.rates))

    @property
    def takes_part(self) -> bool:
        """Whether anything can come of payments here."""
        return bool(self.stripe_api_key or self.webhook_secrets)


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _rates(text: str) -> dict[str, str]:
    pairs = (each.partition("=") for each in _listed(text))
    return {name.strip(): rate.strip() for name, _, rate in pairs}
