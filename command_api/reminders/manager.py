"""The process manager of reminders: each of its wishes is a timer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from command_api.mails import texts
from command_api.managers.manager import Done
from domain.events.ledger import CreditsGranted
from domain.pricing.money import shown_usd
from domain.reminders.lots import TRIAL_ENDED, TRIAL_ENDING, react

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from psycopg import Cursor

    from command_api.identity.people import People
    from command_api.mails.to_users import Addressed, MailsToUsers
    from command_api.managers.manager import Taken
    from domain.events.base import Event
    from domain.reminders.lots import ReminderTerms
    from domain.wishes import Wish
    from providers.mail.port import Mail


class Left(NamedTuple):
    """Whose lot it is, what is left of it in nano-USD, and whether it has ended."""

    user_id: UUID
    nano_usd: int
    over: bool


class ReminderManager:
    """One for each host of managers."""

    name = "reminders"
    hears: Sequence[type[Event]] = (CreditsGranted,)
    from_the_beginning = False
    only = ""

    def __init__(
        self, people: People, mails: MailsToUsers, terms: ReminderTerms, public_url: str | None
    ) -> None:
        """The people are open."""
        self._people, self._mails = people, mails
        self._terms, self._public_url = terms, public_url

    def react(self, event: Event) -> Sequence[Wish]:
        """The timers of a lot that has an end."""
        return react(event, self._terms)

    async def fulfil(self, taken: Taken) -> Done:
        """Keep the mail with the wish's end; none where it says nothing any more."""
        mails = await asyncio.to_thread(self._made, taken)

        def write(cursor: Cursor[Any]) -> None:
            self._mails.keep(cursor, mails)

        return Done(writes=write)

    def _made(self, taken: Taken) -> list[Addressed]:
        with self._people.connect() as connection:
            left = _left(connection, taken)
            if left is None or (taken.kind != TRIAL_ENDED and (left.over or not left.nano_usd)):
                return []
            return self._mails.to(connection, left.user_id, lambda to: self._text(taken, left, to))

    def _text(self, taken: Taken, left: Left, address: str) -> Mail:
        day = str(taken.details["expires_at"])[: len("2027-01-01")]
        if taken.kind == TRIAL_ENDED:
            return texts.trial_ended(address, self._public_url)
        if taken.kind == TRIAL_ENDING:
            return texts.trial_ending(address, day, self._public_url)
        return texts.credits_ending(address, shown_usd(left.nano_usd), day)


def _left(connection: psycopg.Connection[Any], taken: Taken) -> Left | None:
    """What a user's own lot has; None for an organisation's, and for who has left."""
    row = connection.execute(
        "SELECT u.user_id, coalesce(l.available + l.held, 0), "
        "coalesce(l.expires_at <= booking_clock(), true) "
        "FROM user_secret u LEFT JOIN credit_lot l ON l.lot_id = %s "
        "WHERE u.account_id = %s AND u.wrapped_key IS NOT NULL",
        [UUID(taken.details["lot_id"]), UUID(taken.details["account_id"])],
    ).fetchone()
    return None if row is None else Left(*row)
