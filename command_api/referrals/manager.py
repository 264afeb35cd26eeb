"""The process manager of referrals: bonuses when a purchase is paid, and back when it is refunded.

The decision is an event of the referral; grants and debits follow from it under keys of their own,
so that whoever dies in between, the next try does what is left, and nothing twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.mails import texts
from command_api.managers.manager import Done
from command_api.money.debits import Debit, append_debit
from command_api.money.grants import Grant, append_grant
from command_api.referrals.fingerprints import Fingerprints
from domain.errors import DomainError
from domain.events.ledger import CreditsDebited
from domain.events.money.payments import PaymentCompleted
from domain.ledger.lots import DebitKind, GrantKind
from domain.pricing.money import shown_usd
from domain.referrals.referral import ReferralState, replay, stream_of
from domain.referrals.rewarding import (
    REWARD,
    Purchase,
    Refund,
    Sides,
    bonus_key,
    react,
    reward,
    take_back,
)
from event_store.beside.referrals.reading import referral_of
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Cursor

    from command_api.identity.people import People
    from command_api.mails.to_users import Addressed, MailsToUsers
    from command_api.managers.manager import Taken
    from command_api.referrals.store import Store
    from domain.events.base import Event
    from domain.events.offers.referrals import ReferralCompleted
    from domain.referrals.referral import ReferralCode
    from domain.referrals.terms import ReferralTerms
    from domain.wishes import Wish
    from event_store.append.committer import Committer
    from providers.mail.port import Mail
    from providers.payments.port import PaymentProvider

    Decide = Callable[[ReferralCode], Sequence[Event]]

ACTOR = "system:referrals"
TRIES_MAX = 5
"""How often it is decided anew because somebody else was quicker."""


class Pair(NamedTuple):
    """Who came by whose code, and the account of who brought them."""

    referee: UUID
    referrer: UUID
    referrer_account_id: UUID

    @property
    def stream(self) -> UUID:
        """Where their referral stands."""
        return stream_of(self.referrer)


class ReferralManager:
    """One for each host of managers."""

    name = "referrals"
    hears: Sequence[type[Event]] = (PaymentCompleted, CreditsDebited)
    from_the_beginning = False
    only = ""

    def __init__(
        self,
        store: Store,
        people: People,
        committer: Committer,
        provider: PaymentProvider | None,
        mails: MailsToUsers,
        terms: ReferralTerms,
    ) -> None:
        """The people are open, the append is started."""
        self._store, self._people, self._committer = store, people, committer
        self._mails, self._terms = mails, terms
        self._fingerprints = Fingerprints(people, provider)

    def react(self, event: Event) -> Sequence[Wish]:
        """What follows from a payment or a refund."""
        return react(event, self._terms)

    async def fulfil(self, taken: Taken) -> Done:
        """Do it; raises what the ledger, the database and the payment provider raise."""
        pair = await asyncio.to_thread(self._pair, UUID(taken.details["account_id"]))
        if pair is None:
            return Done()
        done = self._reward if taken.kind == REWARD else self._take_back
        return await done(taken, pair)

    async def _reward(self, taken: Taken, pair: Pair) -> Done:
        bought = Purchase(*(taken.details[name] for name in Purchase._fields))
        referee = str(pair.referee)
        state = await asyncio.to_thread(self._state, pair)
        if state.referrals[referee].state is ReferralState.PENDING:
            sides = await self._sides(bought, pair)

            def decide(now: ReferralCode) -> list[Event]:
                told = reward(now, referee, bought, sides, self._terms, new_envelope(ACTOR))
                return [] if told is None else [told]

            state = await self._tell(pair, decide)
        completed = state.referrals[referee].completed
        if completed is None or completed.payment_id != bought.payment_id:
            return Done()
        await self._grant(completed)
        amount = shown_usd(completed.bonus_nano_usd)
        return await self._told(
            pair,
            lambda address: texts.referral_bonus(address, amount, brought=True),
            lambda address: texts.referral_bonus(address, amount, brought=False),
        )

    async def _take_back(self, taken: Taken, pair: Pair) -> Done:
        given = Refund(*(taken.details[name] for name in Refund._fields))
        referee = str(pair.referee)
        purchased = await asyncio.to_thread(self._purchased, given.payment_id)

        def decide(now: ReferralCode) -> Sequence[Event]:
            stamps = new_envelope(ACTOR), new_envelope(ACTOR)
            return take_back(now, referee, given, purchased, self._terms, stamps)

        known = (await self._tell(pair, decide)).referrals[referee]
        completed = known.completed
        if completed is None or known.taken_back_by != given.debit_id:
            return Done()
        await self._grant(completed)  # Whoever decided the bonus may have died before it.
        for account_id, lot_id in _sides_of(completed):
            debit = Debit(
                account_id=account_id,
                debit_key=bonus_key(referee),
                amount=completed.bonus_nano_usd,
                reason="referral bonus taken back: the purchase was refunded",
                kind=DebitKind.ADMIN_DEBIT,
                lot_id=lot_id,
            )
            await append_debit(self._committer, debit, actor=ACTOR)
        amount = shown_usd(completed.bonus_nano_usd)

        def told(address: str) -> Mail:
            return texts.referral_taken_back(address, amount)

        return await self._told(pair, told, told)

    async def _grant(self, completed: ReferralCompleted) -> None:
        """Both bonuses; those that are granted already stay. One that cannot be holds up none."""
        refused: DomainError | None = None
        for account_id, _ in _sides_of(completed):
            grant = Grant(
                account_id=account_id,
                amount=completed.bonus_nano_usd,
                kind=GrantKind.BONUS,
                reason="referral bonus",
                idempotency_key=bonus_key(completed.referee_user_id),
            )
            try:
                await append_grant(self._committer, grant, actor=ACTOR)
            except DomainError as error:
                refused = error
        if refused is not None:
            raise refused

    async def _tell(self, pair: Pair, decide: Decide) -> ReferralCode:
        """Append what is decided, and give the state after it."""
        for _ in range(TRIES_MAX):
            state = await asyncio.to_thread(self._state, pair)
            events = decide(state)
            if not events:
                return state
            try:
                await asyncio.to_thread(self._people.events.append, events)
            except IntegrityError:
                continue
            return await asyncio.to_thread(self._state, pair)
        message = f"the referrals of user {pair.referrer} are being changed by others"
        raise LedgerUnavailableError(message)

    async def _told(
        self, pair: Pair, to_referrer: Callable[[str], Mail], to_referee: Callable[[str], Mail]
    ) -> Done:
        def made() -> list[Addressed]:
            with self._people.connect() as connection:
                return [
                    *self._mails.to(connection, pair.referrer, to_referrer),
                    *self._mails.to(connection, pair.referee, to_referee),
                ]

        mails = await asyncio.to_thread(made)

        def write(cursor: Cursor[Any]) -> None:
            self._mails.keep(cursor, mails)

        return Done(writes=write)

    async def _sides(self, bought: Purchase, pair: Pair) -> Sides:
        fingerprint = await self._fingerprints.of_payment(UUID(bought.payment_id))
        known = await self._fingerprints.of_user(pair.referrer) if fingerprint else frozenset()

        def people() -> tuple[str, str]:
            with self._people.connect() as connection:
                referrer = self._store.person(connection, pair.referrer)
                return referrer, self._store.person(connection, pair.referee)

        both = await asyncio.to_thread(people)
        return Sides(str(pair.referrer_account_id), *both, known, fingerprint)

    def _pair(self, account_id: UUID) -> Pair | None:
        """Whose own account it is, if they came by a code; None for an organisation's."""
        with self._people.connect() as connection:
            row = connection.execute(
                "SELECT user_id FROM user_secret WHERE account_id = %s", [account_id]
            ).fetchone()
            found = None if row is None else referral_of(connection, row[0])
            if found is None:
                return None
            (of_referrer,) = connection.execute(
                "SELECT account_id FROM user_secret WHERE user_id = %s", [found.referrer]
            ).fetchall()
        return Pair(found.referee, found.referrer, of_referrer[0])

    def _purchased(self, payment_id: str) -> int:
        """What a payment bought, nano-USD."""
        with self._people.connect() as connection:
            row = connection.execute(
                "SELECT credits_nano_usd FROM payment WHERE payment_id::text = %s", [payment_id]
            ).fetchone()
        return int(row[0]) if row else 0

    def _state(self, pair: Pair) -> ReferralCode:
        state = replay(self._people.events.events_of(pair.stream))
        assert state is not None
        return state


def _sides_of(completed: ReferralCompleted) -> tuple[tuple[UUID, UUID], tuple[UUID, UUID]]:
    """Account and lot of each."""
    return (
        (UUID(completed.referrer_account_id), UUID(completed.referrer_lot_id)),
        (UUID(completed.referee_account_id), UUID(completed.referee_lot_id)),
    )
