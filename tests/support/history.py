"""A history with every kind of event, as real callers write them, for tests of the read side."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import msgspec

from command_api.books.commands import Closer, close_books
from command_api.catalog.log import CatalogLog
from command_api.identity.users import Users
from command_api.identity.vault import Vault
from command_api.roles.commands import Actor, give_role
from domain.events.access import AdminRead
from domain.events.limits import RateLimitsCleared, RateLimitsRefused, RateLimitsSet
from domain.events.money.returns import PayoutTold
from domain.events.profile import EmailChanged, ProfileChanged, UserDeleted
from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.events.second_factors import (
    IdentityLinked,
    IdentityUnlinked,
    PasskeyAdded,
    PasskeyRemoved,
    RecoveryCodesMade,
    SecondFactorsReset,
    TotpDisabled,
    TotpEnabled,
)
from domain.events.sign_in import EmailVerified, PasswordSet, SessionBegan, SessionEnded
from domain.identity.permissions import Role
from domain.ledger.lots import DebitKind, GrantKind
from domain.payments.fiat import Fiat
from domain.payments.payment import (
    Observation,
    Order,
    Status,
    Way,
    known_payment,
    observe_payment,
    open_payment,
    replay_payment,
    start_payment,
)
from domain.payments.returned import Phase, ReturnKind
from domain.payments.returns import (
    FEE,
    TAX,
    CostSeen,
    PayoutSeen,
    ReturnSeen,
    observe_cost,
    observe_return,
    tell_payout,
)
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage
from event_store.append.committer import Committer
from event_store.append.entries import Entry, EntryKind
from event_store.ids import new_envelope, new_uuid7, now_iso, to_iso
from event_store.log.aggregates import Aggregates
from providers.inference.adapters.http1.limits import ClientLimits
from providers.inference.registry.loading import load_registry
from providers.inference.registry.offers import price_version
from tests.support import entries
from tests.support.approvals import tell_approvals
from tests.support.batches import tell_batches
from tests.support.billing import tell_subscriptions
from tests.support.coupons import tell_coupons
from tests.support.organisations import tell_organisations
from tests.support.plans import tell_plans
from tests.support.provider_keys import tell_provider_keys
from tests.support.referrals import tell_referrals
from tests.support.upkeep import tell_upkeep

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.events.base import Event, Stamp
    from domain.payments.payment import Payment
    from event_store.postgres.database import Database

MODELS = (("openrouter", "org/large"), ("openrouter", "org/small"), ("simulator", "echo"))
APPS = ("", "", "https://example.org", "https://chat.example.com")
SECRET = b"a secret of tests, 32 bytes long"
HOLD = 1_000
TERMS = {
    "input_per_million": "0.005",
    "cached_input_per_million": "0.0004",
    "output_per_million": "0.008",
}
EFFECTIVE_AT = "2026-01-01T00:00:00.000000Z"


class History:
    """Users with keys, and calls that end in every way there is."""

    def __init__(self, database: Database, *, users: int = 5, seed: int = 7) -> None:
        """Register the users and give them credits."""
        self.database, self._random = database, random.Random(seed)
        known = Users(database, Vault(SECRET), actor="test")
        try:
            made = [known.create_user(f"user-{new_uuid7()}@example.com") for _ in range(users)]
            known.revoke_key(known.create_key(made[0].user_id, "spare")[0], "test")
            known.rotate_key(known.create_key(made[0].user_id, "rotated")[0], timedelta(hours=1))
            changed = known.create_key(made[0].user_id, "changed")[0]
            known.change_key(changed, {"name": "deleted"}, {})
            known.delete_key(changed)
            tell_people(known)
        finally:
            known.close()
        self.callers = [(UUID(each.account_id), UUID(each.key_id)) for each in made]
        self.append(
            *(
                entries.grant(account, 10**12, lot=lot, kind=kind, expires_at=expires)
                for account, _ in self.callers
                for kind, expires, lot in (
                    (GrantKind.TRIAL, to_iso(datetime.now(UTC) + timedelta(days=3)), None),
                    (GrantKind.PURCHASE, None, bought_lot(account)),
                )
            )
        )

        self.adjust()
        tell_catalog(database)
        tell_books(database)
        tell_roles(database, [UUID(each.user_id) for each in made[:2]])
        tell_refusals(database, made[0].key_id)
        tell_quotas(database, self.callers[0][0])
        tell_organisations(database, made[0].user_id, made[-1].user_id)
        tell_coupons(database, made[0].user_id, made[0].account_id)
        tell_plans(database, made[0].user_id, made[0].account_id)
        tell_upkeep(database)
        tell_batches(database, made[0].user_id, made[0].account_id, made[0].key_id)
        tell_provider_keys(database, made[0].user_id, made[0].account_id)
        tell_approvals(database, made[0].account_id)
        tell_payments(database, UUID(made[0].user_id), self.callers[0][0])
        tell_referrals(database, made)
        tell_subscriptions(database, UUID(made[0].user_id), self.callers[0][0])

    def adjust(self) -> None:
        """Credits that move, are taken back and owed, and a charge that is corrected twice."""
        giver, debtor, key, chance = new_uuid7(), new_uuid7(), new_uuid7(), random.Random(7)
        place, ends = call(debtor, key, chance)
        while ends[0].kind != EntryKind.SETTLE or ends[0].amount >= HOLD:
            place, ends = call(debtor, key, chance)
        self.append(*(entries.grant(account, 10**12) for account in (giver, debtor)))
        self.append(place)
        self.append(*ends)
        self.append(
            entries.correct(UUID(bytes=place.stream), debtor, ends[0].amount + 50, version="2"),
            entries.correct(UUID(bytes=place.stream), debtor, 30, version="3"),
            entries.debit(debtor, 3 * 10**12, kind=DebitKind.REFUND),
            entries.transfer(giver, debtor, 500),
            entries.grant(debtor, 3 * 10**12),
        )

    def append(self, *batch: Entry) -> list[int]:
        """Append through a committer of this moment; returns the codes."""

        async def run() -> list[int]:
            committer = Committer(
                self.database.application,
                owner_id=new_uuid7(),
                hold_ttl_s=600,
                append_timeout_s=20.0,
            )
            await committer.start()
            try:
                answers = await asyncio.gather(*map(committer.append, batch))
            finally:
                with suppress(Exception):
                    await committer.stop()
            return [each.code for each in answers]

        return asyncio.run(run())

    def calls(self, count: int) -> None:
        """Hold that many calls, then end them; in two appends."""
        held, ended = [], []
        for _ in range(count):
            account, key = self._random.choice(self.callers)
            place, end = call(account, key, self._random)
            held.append(place)
            ended += end
        self.append(*held)
        self.append(*ended)


def tell_people(known: Users) -> None:
    """What somebody does from registration to leaving, as events alone."""
    user = UUID(known.create_user(f"gone-{new_uuid7()}@example.com").user_id)
    stamp, session = partial(new_envelope, f"user:{user}"), new_uuid7()
    stream: dict[str, Any] = {"originator_id": user}
    with known._database.connect() as connection:
        connection.execute("UPDATE user_secret SET sealed_totp = '' WHERE user_id = %s", [user])
    known.aggregates.append(
        [
            EmailVerified(**stream, originator_version=2, **stamp()),
            EmailChanged(
                **stream, originator_version=3, **stamp(), email_ciphertext=new_uuid7().hex
            ),
            PasswordSet(**stream, originator_version=4, **stamp(), how="change"),
            ProfileChanged(**stream, originator_version=5, **stamp(), members=["name"]),
            SessionBegan(
                originator_id=session,
                originator_version=1,
                **stamp(),
                user_id=str(user),
                how="password",
            ),
            SessionEnded(
                originator_id=session,
                originator_version=2,
                **stamp(),
                user_id=str(user),
                reason="signed_out",
            ),
            RecoveryCodesMade(**stream, originator_version=6, **stamp(), count=10),
            PasskeyAdded(**stream, originator_version=7, **stamp(), passkey_id=str(session)),
            PasskeyRemoved(**stream, originator_version=8, **stamp(), passkey_id=str(session)),
            IdentityLinked(**stream, originator_version=9, **stamp(), provider="github"),
            IdentityUnlinked(**stream, originator_version=10, **stamp(), provider="github"),
            TotpEnabled(**stream, originator_version=11, **stamp()),
            TotpDisabled(**stream, originator_version=12, **stamp(), how="totp"),
            SecondFactorsReset(**stream, originator_version=13, **stamp(), reason="lost"),
            UserDeleted(**stream, originator_version=14, **stamp()),
        ]
    )


def tell_payments(database: Database, user: UUID, account: UUID) -> None:
    """A payment that was declined first, and one that was begun alone."""
    order = Order(str(account), str(user), Way.CHECKOUT, Fiat(1_000, "usd"), "1", 10**10)
    payment_id = new_uuid7()
    events: list[Event] = []

    def add(*more: Event) -> Payment:
        events.extend(more)
        return known_payment(replay_payment(events))

    stamp = partial(new_envelope, "system:stripe")
    state = add(start_payment(payment_id, order, new_envelope(f"user:{user}")))
    state = add(*open_payment(state, stamp(), session_id="cs_1"))
    failed = Observation(
        Status.REQUIRES_PAYMENT_METHOD, 1, intent_id="pi_1", failure="card_declined"
    )
    state = add(*observe_payment(state, failed, stamp()))
    paid = Observation(Status.COMPLETED, 2, order.price, "pi_1")
    state = add(*observe_payment(state, paid, stamp(), lot_id=str(bought_lot(account))))
    state = tell_returns(state, add, stamp)
    aggregates = Aggregates(database)
    try:
        aggregates.append(events)
        aggregates.append([start_payment(new_uuid7(), order, new_envelope("test"))])
        for is_paid in (True, False):
            seen = PayoutSeen(f"po_{account}", Fiat(500, "usd"), is_paid, 9)
            stream = uuid5(account, "payout")
            known = [each for each in aggregates.events_of(stream) if isinstance(each, PayoutTold)]
            aggregates.append(tell_payout(known, stream, seen, {"usd": "1"}, stamp()))
    finally:
        aggregates.close()


def tell_returns(
    state: Payment, add: Callable[..., Payment], stamp: Callable[[], Stamp]
) -> Payment:
    """Refunds, one of which failed, disputes that were won and lost, a fee and a tax."""
    refund, dispute = ReturnKind.REFUND, ReturnKind.DISPUTE
    for kind, name, minor, phase in (
        (refund, f"re_1_{state.id}", 300, Phase.OUT),
        (refund, f"re_2_{state.id}", 100, Phase.OUT),
        (refund, f"re_1_{state.id}", 300, Phase.BACK),
        (dispute, f"du_1_{state.id}", 500, Phase.OPENED),
        (dispute, f"du_1_{state.id}", 500, Phase.OUT),
        (dispute, f"du_1_{state.id}", 500, Phase.BACK),
        (dispute, f"du_2_{state.id}", 500, Phase.LOST),
    ):
        seen = ReturnSeen(kind, name, Fiat(minor, "usd"), phase, 3, reason="for tests")
        state = add(*observe_return(state, seen, stamp()))
    for sort, source in ((FEE, f"txn_1_{state.id}"), (TAX, f"cs_{state.id}")):
        cost = CostSeen(sort, source, Fiat(59, "usd"))
        state = add(*observe_cost(state, cost, stamp()))
    return state


def bought_lot(account: UUID) -> UUID:
    """The lot that an account bought in a history."""
    return uuid5(account, "bought")


def tell_roles(database: Database, users: list[UUID]) -> None:
    """An admin, what was looked at, and a change of a role with a reason and without."""
    admin, other = users[0], users[-1]
    operator = Actor("operator:cli")
    give_role(database, admin, Role.ADMIN, actor=operator, reason="runs the house")
    by_admin = Actor(f"api_key:{new_uuid7()}", str(admin), "origin-0011")
    if other != admin:
        give_role(database, other, Role.DEVELOPER, actor=by_admin, reason="")
    aggregates = Aggregates(database)
    for looked_at in (str(other), None):
        note = AdminRead(
            originator_id=new_uuid7(),
            originator_version=1,
            **new_envelope(by_admin.name),
            by_user_id=str(admin),
            route="/audit",
            user_id=looked_at,
            origin=by_admin.origin,
        )
        aggregates.append([note])
    aggregates.close()


def tell_quotas(database: Database, account: UUID) -> None:
    """A quota that is set and removed again."""
    aggregates, stream = Aggregates(database), dict[str, Any](originator_id=new_uuid7())
    try:
        aggregates.append(
            [
                QuotaSet(
                    **stream,
                    originator_version=1,
                    **new_envelope("test"),
                    account_id=str(account),
                    scope_kind="account",
                    scope_id=str(account),
                    unit="requests",
                    window="total",
                    limit=5,
                ),
                QuotaRemoved(
                    **stream,
                    originator_version=2,
                    **new_envelope("test"),
                    account_id=str(account),
                ),
            ]
        )
    finally:
        aggregates.close()


def tell_books(database: Database) -> None:
    """A month long ago that is closed."""
    close_books(database, "2020-01", closer=Closer("operator:cli"), reason="long over")


def tell_refusals(database: Database, key_id: str) -> None:
    """A key was beyond its rate limits in an hour."""
    aggregates = Aggregates(database)
    try:
        refused = RateLimitsRefused(
            originator_id=new_uuid7(),
            originator_version=1,
            **new_envelope("gateway"),
            scope="key",
            scope_id=key_id,
            starts_at=EFFECTIVE_AT,
            count=5,
            reasons={"Burst limit exceeded": 2, "Minute request limit exceeded": 3},
        )
        aggregates.append([refused])
        target: dict[str, Any] = {"scope": "key", "scope_id": key_id, "set_by": "operator"}
        stream: dict[str, Any] = {"originator_id": new_uuid7()}
        aggregates.append(
            [
                RateLimitsSet(
                    **stream,
                    originator_version=1,
                    **new_envelope("test"),
                    **target,
                    limits={"requests_per_minute": 5},
                ),
                RateLimitsCleared(**stream, originator_version=2, **new_envelope("test"), **target),
            ]
        )
    finally:
        aggregates.close()


def tell_catalog(database: Database) -> None:
    """A catalog whose second list has one model less."""
    registry = load_registry(
        environment={}, providers_file=None, effective_at=now_iso(), limits=ClientLimits()
    )
    simulator = registry.providers["simulator"]
    log = CatalogLog(database, confirm_s=0)

    async def publish() -> None:
        await log.publish(simulator)
        del simulator.models["paint"]
        await log.publish(simulator)

    asyncio.run(publish())
    log.close()


def call(account: UUID, key: UUID, chance: random.Random) -> tuple[Entry, list[Entry]]:
    """The hold of one call, and what ends it: mostly a charge."""
    provider, model = chance.choice(MODELS)
    price = price_version(
        provider, model, PriceTerms.parse(TERMS), source="test", effective_at=EFFECTIVE_AT
    )
    call_id = new_uuid7()
    hold_id = str(new_uuid7())
    envelope: dict[str, Any] = {"actor": f"api_key:{key}", "account_id": str(account)}
    fields = {
        **envelope,
        "id": hold_id,
        "user_id": "-",
        "key_id": str(key),
        "provider": provider,
        "model": model,
        "amount_nano_usd": HOLD,
        "estimated_cost_nano_usd": 100,
        "input_tokens_bound": 10,
        "output_tokens_bound": 100,
        "stream_reply": False,
        "price": {
            "version": price.version,
            "source": price.source,
            "effective_at": price.effective_at,
            **price.terms.as_strings(),
        },
    }
    state = entries.state(**fields)
    place = Entry(EntryKind.HOLD, call_id.bytes, account.bytes, HOLD, state, 100)
    kind = chance.choices(("settle", "void", "beyond"), (8, 1, 1))[0]
    attempt: dict[str, Any] = {
        "provider": provider,
        "model": model,
        "status": 200,
        "started_at": now_iso(),
        "duration_ms": chance.randrange(5, 9_000),
    }
    if kind == "void":
        attempt |= {"status": chance.choice((429, 500)), "error": "upstream said no"}
        fields = {**envelope, "causation_id": hold_id, "attempts": [attempt], "reason": "failed"}
        return place, [
            Entry(EntryKind.VOID, call_id.bytes, account.bytes, 0, entries.state(**fields))
        ]
    if chance.random() < 0.5:
        attempt["first_output_ms"] = attempt["duration_ms"] // 2
    usage = Usage(
        input_tokens=chance.randrange(1, 50),
        output_tokens=chance.randrange(2, 90) + (0 if kind == "settle" else HOLD),
        cached_input_tokens=1,
        reasoning_tokens=2,
    )
    cost = price.cost(usage)
    fields = {
        **envelope,
        "causation_id": hold_id,
        "usage": usage.as_dict(),
        "cost_nano_usd": cost.nano_usd,
        "cost_exact_nano_usd": cost.exact_nano_usd,
        "price_version": price.version,
        "provider": provider,
        "model": model,
        "attempts": [attempt],
        "reason": "completed",
    }
    app = chance.choice(APPS)
    if app:
        fields["app"] = app
    end = Entry(
        EntryKind.SETTLE, call_id.bytes, account.bytes, cost.nano_usd, entries.state(**fields)
    )
    return place, [end]


def insert_raw(database: Database, topic: str, fields: dict[str, Any]) -> int:
    """Put an event of any type into the log, as a newer writer would; returns its position."""
    with database.connect() as connection:
        row = connection.execute(
            "INSERT INTO events (originator_id, originator_version, topic, state) "
            "VALUES (%s, 1, %s, %s) RETURNING notification_id",
            [new_uuid7(), topic, msgspec.json.encode(fields)],
        ).fetchone()
    assert row is not None
    return int(row[0])
