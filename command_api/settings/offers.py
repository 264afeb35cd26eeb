"""Settings of what the house gives or allows beside what is paid for."""

from __future__ import annotations

from pydantic import Field, field_validator

from command_api.settings.group import Group
from domain.ledger.amounts import check_grant
from domain.ledger.lots import (
    TRIAL_DAYS,
    TRIAL_NANO_USD,
    TRIAL_REQUESTS_MAX,
    TRIAL_TOKENS_MAX,
    TrialTerms,
)
from domain.pricing.money import parse_usd, usd_number
from domain.quotas.terms import LIMIT_MAX
from domain.referrals.terms import (
    BONUS_NANO_USD,
    PURCHASE_NANO_USD_MIN,
    REFUND_DAYS,
    USES_MAX,
    ReferralTerms,
)
from domain.reminders.lots import CREDITS_DAYS, ReminderTerms
from domain.reminders.lots import TRIAL_DAYS as TRIAL_REMINDER_DAYS

TRIAL_DAYS_MAX = 365
REFERRAL_USES_MAX = 1_000_000
APPROVAL_HOURS_MAX = 24 * 90


class TrialSettings(Group):
    """What somebody gets whose address is verified, once; it counts for trials from now on."""

    days: int = Field(
        TRIAL_DAYS,
        ge=1,
        le=TRIAL_DAYS_MAX,
        alias="GATEWAYZ_TRIAL_DAYS",
        description="How long a trial's credits can be spent, days.",
    )
    usd: str = Field(
        usd_number(TRIAL_NANO_USD),
        alias="GATEWAYZ_TRIAL_USD",
        description="Credits of a trial, USD.",
    )
    requests: int = Field(
        TRIAL_REQUESTS_MAX,
        ge=0,
        le=LIMIT_MAX,
        alias="GATEWAYZ_TRIAL_REQUESTS",
        description="Requests that a trial's credits pay for at most.",
    )
    tokens: int = Field(
        TRIAL_TOKENS_MAX,
        ge=0,
        le=LIMIT_MAX,
        alias="GATEWAYZ_TRIAL_TOKENS",
        description="Tokens that a trial's credits pay for at most.",
    )

    @field_validator("usd")
    @classmethod
    def _is_a_grant(cls, text: str) -> str:
        """Raises ValueError for an amount that cannot be granted: at the start."""
        check_grant(parse_usd(text))
        return text

    @property
    def terms(self) -> TrialTerms:
        """As the domain has them."""
        return TrialTerms(self.days, parse_usd(self.usd), self.requests, self.tokens)


class PlanSettings(Group):
    """What binds users without a plan."""

    planless_limits: bool = Field(
        default=False,
        alias="GATEWAYZ_PLANLESS_LIMITS",
        description="Whether who registers, and whose plan has ended, may use what has no plan: "
        "25,000 requests and 500,000 tokens a day, 750,000 and 15,000,000 a month. Else they have "
        "no such limits, and their calls count on no quotas.",
    )


class ReferralSettings(Group):
    """What a referral is worth."""

    bonus_usd: str = Field(
        usd_number(BONUS_NANO_USD),
        alias="GATEWAYZ_REFERRAL_BONUS_USD",
        description="Credits that each side of a referral gets, USD.",
    )
    purchase_usd: str = Field(
        usd_number(PURCHASE_NANO_USD_MIN),
        alias="GATEWAYZ_REFERRAL_PURCHASE_USD",
        description="Credits that who came by a code buys at least, at once, for the bonus, USD.",
    )
    uses_max: int = Field(
        USES_MAX,
        ge=1,
        le=REFERRAL_USES_MAX,
        alias="GATEWAYZ_REFERRAL_USES_MAX",
        description="How many may come by one user's code.",
    )
    refund_days: int = Field(
        REFUND_DAYS,
        ge=0,
        le=TRIAL_DAYS_MAX,
        alias="GATEWAYZ_REFERRAL_REFUND_DAYS",
        description="A refund within so many days of the payment takes both bonuses back.",
    )

    @field_validator("bonus_usd", "purchase_usd")
    @classmethod
    def _is_a_grant(cls, text: str) -> str:
        """Raises ValueError for an amount that cannot be granted: at the start."""
        check_grant(parse_usd(text))
        return text

    @property
    def terms(self) -> ReferralTerms:
        """As the domain has them."""
        return ReferralTerms(
            parse_usd(self.bonus_usd),
            parse_usd(self.purchase_usd),
            self.uses_max,
            self.refund_days,
        )


class ReminderSettings(Group):
    """When users are told that credits end."""

    trial_days: int = Field(
        TRIAL_REMINDER_DAYS,
        ge=0,
        le=TRIAL_DAYS_MAX,
        alias="GATEWAYZ_TRIAL_REMINDER_DAYS",
        description="So many days before a trial's end its user gets a mail; 0 for none.",
    )
    credits_days: int = Field(
        CREDITS_DAYS,
        ge=0,
        le=TRIAL_DAYS_MAX,
        alias="GATEWAYZ_CREDITS_REMINDER_DAYS",
        description="So many days before other credits end their user gets a mail; 0 for none.",
    )

    @property
    def terms(self) -> ReminderTerms:
        """As the domain has them."""
        return ReminderTerms(self.trial_days, self.credits_days)


class CreditSettings(Group):
    """What people may do with credits that are there."""

    gift_usd_max: str = Field(
        "100",
        alias="GATEWAYZ_GIFT_USD_MAX",
        description="Most credits that a member of an organisation gives another at once, USD; 0 "
        "allows none.",
    )

    approval_above_usd: str = Field(
        "0",
        alias="GATEWAYZ_APPROVAL_ABOVE_USD",
        description="Credits that an admin gives or takes back above this wait for a second admin, "
        "USD; 0 asks for none, as where one person runs it all.",
    )
    approval_hours: int = Field(
        72,
        ge=1,
        le=APPROVAL_HOURS_MAX,
        alias="GATEWAYZ_APPROVAL_HOURS",
        description="How long a second admin has to decide, hours.",
    )

    @property
    def approval_above(self) -> int:
        """In nano-USD; 0 for never."""
        return parse_usd(self.approval_above_usd)

    @field_validator("gift_usd_max", "approval_above_usd")
    @classmethod
    def _an_amount(cls, text: str) -> str:
        parse_usd(text)
        return text
