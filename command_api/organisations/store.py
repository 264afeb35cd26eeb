"""What the commands share: reading, deciding anew when somebody was quicker, names.

All methods block, and are called on the lane of people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import IntegrityError

from domain.errors import DomainError, InvalidCommandError
from domain.organisations.organisation import replay_organisation
from domain.organisations.roles import Act, NotAMemberError, check_act
from event_store.beside.organisations import read_memberships, read_owners
from event_store.log.aggregates import constraint_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.people import People
    from domain.events.base import By, Event
    from domain.organisations.organisation import Organisation
    from event_store.beside.organisations import Membership

    Beside = Callable[[Cursor[DictRow]], object]
    Decide = Callable[[Organisation | None], Sequence[Event]]

TRIES_MAX = 5
"""How often a command is decided anew because somebody else was quicker."""


class PersonalOrganisationError(DomainError):
    """It is a user's own, and has nobody else in it."""

    code = "personal_organisation"


class ChangedMeanwhileError(DomainError):
    """Others change the organisation at this moment."""

    code = "organisation_changed"


class Store:
    """One for each process."""

    def __init__(self, people: People) -> None:
        """Through the connections of people."""
        self.people = people

    def connect(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """A connection for a block."""
        return self.people.connect()

    def membership(
        self,
        connection: psycopg.Connection[Any],
        organisation_id: UUID,
        user_id: UUID | None,
        act: Act,
    ) -> Membership:
        """What a user is in an organisation; an operator (None) may what its owner may.

        Raises NotAMemberError, ActForbiddenError.
        """
        if user_id is None:
            found = read_owners(connection, organisation_id)
        else:
            found = read_memberships(connection, user_id, organisation_id)
        check_act(found[0].role if found else None, act)
        return found[0]

    def state(self, organisation_id: UUID) -> Organisation | None:
        """An organisation's state, from its stream."""
        return replay_organisation(self.people.events.events_of(organisation_id))

    def decide(
        self, organisation_id: UUID, by: By, decide: Decide, beside: Beside | None = None
    ) -> Sequence[Event]:
        """What a decider makes of an organisation, appended; nothing where it decides nothing.

        Raises PersonalOrganisationError, ChangedMeanwhileError, and what the decider raises.
        """
        if by.user_id == str(organisation_id):
            message = "this is your personal organisation, which is yours alone: make another one"
            raise PersonalOrganisationError(message)
        for _ in range(TRIES_MAX):
            events = decide(self.state(organisation_id))
            if not events:
                return events
            try:
                self.people.events.append(events, beside)
            except IntegrityError as error:
                _check_not_taken(error)
                continue
            return events
        message = "the organisation is being changed by others at this moment: try again"
        raise ChangedMeanwhileError(message)

    def name_of(self, membership: Membership) -> str | None:
        """The organisation's name; None for a personal one."""
        if membership.personal or membership.wrapped_key is None:
            return None
        sealed = bytes.fromhex(membership.name_ciphertext)
        return self.people.vault.decrypt(bytes(membership.wrapped_key), sealed).decode()

    def sealed(self, wrapped_key: bytes, text: str) -> bytes:
        """Sealed with an organisation's data key."""
        return self.people.vault.encrypt(bytes(wrapped_key), text.encode())

    def key_of(self, connection: psycopg.Connection[Any], organisation_id: UUID) -> bytes:
        """An organisation's wrapped data key. Raises NotAMemberError for one that was closed."""
        row = connection.execute(
            "SELECT wrapped_key FROM organisation WHERE organisation_id = %s AND NOT closed",
            [organisation_id],
        ).fetchone()
        if row is None:
            message = "there is no organisation with this id, or it was closed"
            raise NotAMemberError(message)
        return bytes(row[0])


def _check_not_taken(error: IntegrityError) -> None:
    """Raise InvalidCommandError where it was no race, but a row that is there already."""
    taken = constraint_of(error)
    if taken == "invitation_address_idx":
        message = "this address is invited already: withdraw that invitation first"
        raise InvalidCommandError(message) from None
