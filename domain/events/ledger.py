"""Events of credit accounts and of calls' holds: the facts that move money."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any, TypedDict

from domain.events.base import Event


def base64_to_hex(text: str) -> str:
    """32 bytes in base64 without padding, in hex."""
    return b64decode(text + "=").hex()


def hex_to_base64(text: str) -> str:
    """The contrary."""
    return b64encode(bytes.fromhex(text)).decode().rstrip("=")


class LotPart(TypedDict):
    """A part of an amount that lies on one lot."""

    lot_id: str
    amount_nano_usd: int


class QuotaPart(TypedDict):
    """What a hold reserves on one quota, in its unit, in the window that begins so."""

    quota_id: str
    begins: str
    held: int


class QuotaUse(TypedDict):
    """What became of it: `used` up to the limit, `overrun` beyond hold and limit."""

    quota_id: str
    begins: str
    held: int
    used: int
    overrun: int


@dataclass(frozen=True, kw_only=True)
class MoneyEvent(Event):
    """An event that belongs to a credit account."""

    account_id: str


@dataclass(frozen=True, kw_only=True)
class CreditsGranted(MoneyEvent):
    """Credits were given: a new lot. `expires_at` None means never.

    What came from another account by a transfer names both (money rule 16).
    """

    TOPIC = "ledger.credits_granted.v2"
    CATEGORY = "credit_account"

    lot_id: str
    kind: str
    priority: int
    amount_nano_usd: int
    expires_at: str | None = None
    reason: str = ""
    payment_id: str | None = None
    limits: dict[str, int] | None = None
    transfer_id: str | None = None
    from_account_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreditsDebited(MoneyEvent):
    """Credits were taken back, not for a call (money rule 15).

    `lots` are what was taken, and `owed_nano_usd` what was not there: it is a receivable from now
    on. `lot_id` is the grant that it concerns, whose rest went first. A transfer names the account
    that was given the same amount in the same append.
    """

    TOPIC = "ledger.credits_debited.v1"
    CATEGORY = "credit_account"

    debit_id: str
    kind: str
    amount_nano_usd: int
    taken_nano_usd: int = 0
    owed_nano_usd: int = 0
    lots: list[LotPart] = field(default_factory=list)
    lot_id: str | None = None
    payment_id: str | None = None
    to_account_id: str | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ReceivablePaid(MoneyEvent):
    """What came to an account that owes paid for it before it could be spent (money rule 15).

    `causation_id` is the event that brought it: a grant, a release or a correction.
    """

    TOPIC = "ledger.receivable_paid.v1"
    CATEGORY = "credit_account"

    amount_nano_usd: int
    lots: list[LotPart] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class LotExpired(MoneyEvent):
    """A lot's unspent rest stopped counting; effective at the lot's own expiry (rule 9).

    Effective before that, the lot was closed: it ended then.
    """

    TOPIC = "ledger.lot_expired.v1"
    CATEGORY = "credit_account"

    lot_id: str
    breakage_nano_usd: int


@dataclass(frozen=True, kw_only=True)
class CallEvent(MoneyEvent):
    """An event in the life of a call's hold; the stream's id is the call's id."""

    CATEGORY = "call"


@dataclass(frozen=True, kw_only=True)
class HoldRequested(CallEvent):
    """What a hold was asked for.

    `alternatives` are other offers and prices to settle it by: provider, model, price.
    `queued_ms` is how long the call waited before, milliseconds, `guards` what guards said of it.
    """

    user_id: str
    key_id: str
    provider: str
    model: str
    amount_nano_usd: int
    estimated_cost_nano_usd: int
    input_tokens_bound: int
    output_tokens_bound: int
    stream_reply: bool
    price: dict[str, str]
    idempotency: dict[str, str] | None = None
    alternatives: list[dict[str, Any]] = field(default_factory=list)
    queued_ms: int = 0
    guards: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str] | None:
        """Hash and digest of the idempotency key in hex, where it was asked for under one."""
        named = self.idempotency
        return (named["key_hash"], named["digest"]) if named else None


@dataclass(frozen=True, kw_only=True)
class HoldPlaced(HoldRequested):
    """Credits are reserved for a call, on named lots, and on every quota that binds it.

    `bound_by` has of each quota that binds it the begin of its window: there it holds one request,
    `held_tokens`, or its amount. Tokens are as many as the bounds allow, or more where an
    alternative allows more. Earlier releases wrote `quotas` with what is held on each.
    """

    TOPIC = "ledger.hold_placed.v1"

    lots: list[LotPart] = field(default_factory=list)
    quotas: list[QuotaPart] = field(default_factory=list)
    bound_by: dict[str, str] = field(default_factory=dict)
    held_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class HoldRefused(CallEvent):
    """A hold under an idempotency key was refused for funds; the key stays refused (P3).

    `key_hash` and `digest` are in base64 without padding. The call's id is what correlates; the
    first version named `provider` and `model` besides.
    """

    TOPIC = "ledger.hold_refused.v2"

    amount_nano_usd: int
    available_nano_usd: int
    key_hash: str
    digest: str
    provider: str = ""
    model: str = ""
    correlation_id: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Hash and digest in hex, as the events of holds have them."""
        return base64_to_hex(self.key_hash), base64_to_hex(self.digest)


@dataclass(frozen=True, kw_only=True)
class HoldExtended(CallEvent):
    """A stream neared its bound and reserved more."""

    TOPIC = "ledger.hold_extended.v1"

    amount_nano_usd: int
    lots: list[LotPart] = field(default_factory=list)
    quotas: list[QuotaPart] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class HoldResolved(CallEvent):
    """The base of the three ends of a hold; figures in nano-USD.

    The hold is spent (`lots`), released (`released_lots`) or, on an expired lot, forfeited
    (`forfeited_lots`, the breakage). `beyond_lots` is what a cost above the hold took from
    available credits; `house_loss_nano_usd` is what nobody could pay. `quotas` are those that the
    hold was reserved on, each with what was used, where one of them is overrun; else what was used
    of them follows from the usage and the figures.
    """

    held_nano_usd: int = 0
    settled_nano_usd: int = 0
    released_nano_usd: int = 0
    breakage_nano_usd: int = 0
    house_loss_nano_usd: int = 0
    lots: list[LotPart] = field(default_factory=list)
    released_lots: list[LotPart] = field(default_factory=list)
    forfeited_lots: list[LotPart] = field(default_factory=list)
    beyond_lots: list[LotPart] = field(default_factory=list)
    quotas: list[QuotaUse] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class HoldSettled(HoldResolved):
    """The call is charged: usage, exact cost, price version, and where the money came from.

    `app` is a keyed hash of the name of the app that called (in older events the name),
    `cached_from` the call whose cached answer was given again, `semantic` how near its text was.
    """

    TOPIC = "ledger.hold_settled.v1"

    usage: dict[str, Any]
    cost_nano_usd: int
    cost_exact_nano_usd: str
    price_version: str
    provider: str
    model: str
    provider_request_id: str | None = None
    app: str = ""
    cached_from: str = ""
    semantic: dict[str, str] = field(default_factory=dict)
    guards: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class HoldVoided(HoldResolved):
    """The call failed before any output; nothing is charged."""

    TOPIC = "ledger.hold_voided.v1"


@dataclass(frozen=True, kw_only=True)
class HoldExpired(HoldResolved):
    """The owner of the call died without an outcome; its estimated cost is house loss."""

    TOPIC = "ledger.hold_expired.v1"


@dataclass(frozen=True, kw_only=True)
class HouseLossBooked(CallEvent):
    """An outcome came after its hold was resolved: nothing charged, the cost is ours."""

    TOPIC = "ledger.house_loss_booked.v1"

    cost_nano_usd: int
    house_loss_nano_usd: int = 0
    usage: dict[str, Any] = field(default_factory=dict)
    cost_exact_nano_usd: str = "0"
    price_version: str = ""
    provider: str = ""
    model: str = ""
    provider_request_id: str | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ChargeCorrected(CallEvent):
    """A settled call costs something else by another price version (money rule 17).

    What was charged too much goes back to the lots that paid (`returned_lots`); what lay on lots
    that expired since (`renewed_lots`), or on none, goes to a new promotional lot, `lot_id`. What
    was charged too little is taken from `lots`, and `owed_nano_usd` was not there.
    """

    TOPIC = "ledger.charge_corrected.v1"

    price_version: str
    cost_nano_usd: int
    lot_id: str
    returned_nano_usd: int = 0
    renewed_nano_usd: int = 0
    taken_nano_usd: int = 0
    owed_nano_usd: int = 0
    lots: list[LotPart] = field(default_factory=list)
    returned_lots: list[LotPart] = field(default_factory=list)
    renewed_lots: list[LotPart] = field(default_factory=list)
    provider: str = ""
    model: str = ""
    reason: str = ""
