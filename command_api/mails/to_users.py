"""Mails that are written for a user beside something else, by whoever has no lane of people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import psycopg

    from command_api.identity.people import People
    from command_api.mails.waiting import Waiting
    from providers.mail.port import Mail

    Text = Callable[[str], Mail]
    """A mail to an address."""

PREFERENCE = "email_notifications"
"""The member of a user's preferences that, where it is false, wants none of these mails."""


class Addressed(NamedTuple):
    """A mail, with what is needed to keep it."""

    user_id: UUID
    wrapped_key: bytes
    mail: Mail


class MailsToUsers:
    """Makes mails that users may have declined."""

    def __init__(self, people: People, waiting: Waiting) -> None:
        """The people are open."""
        self._people, self._waiting = people, waiting

    def to(self, connection: psycopg.Connection[Any], user_id: UUID, text: Text) -> list[Addressed]:
        """The mail to a user; none to who has left, or wants none."""
        credentials = self._people.credentials
        known = credentials.by_id(connection, user_id)
        if known is None:
            return []
        if known.sealed_profile is not None:
            kept = msgspec.json.decode(credentials.opened(known, known.sealed_profile))
            preferences = kept.get("preferences")
            if isinstance(preferences, dict) and preferences.get(PREFERENCE) is False:
                return []
        address = credentials.address_of(connection, known)
        return [Addressed(user_id, bytes(known.wrapped_key), text(address))]

    def keep(self, cursor: psycopg.Cursor[Any], mails: list[Addressed]) -> None:
        """Keep them until they are handed over, in the transaction of the cursor."""
        for each in mails:
            self._waiting.keep(cursor, *each)
