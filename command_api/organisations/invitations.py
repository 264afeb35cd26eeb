"""Invitations: by mail to an address; whoever shows that the address is theirs may accept.

An invitation is no token: what opens it is a verified address, so that a mail that was forwarded,
or read by others, lets nobody in. All methods block.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from command_api.mails.texts import invited
from domain.identity.addresses import check_address
from domain.organisations.organisation import (
    Invitation,
    UnknownInvitationError,
    end_invitation,
    invite,
    join,
)
from domain.organisations.roles import Act
from event_store.beside.organisations import read_memberships
from event_store.ids import new_envelope, new_uuid7, to_iso

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.mails.outbox import Outbox
    from command_api.organisations.store import Store
    from domain.events.base import By
    from domain.organisations.roles import MemberRole

    Counts = Callable[[psycopg.Connection[Any], str, str], None]
    """Counts an invitation of a user to an address; raises ApiError 429 for too many."""

LIVES = timedelta(days=7)
"""How long an invitation can be accepted."""
_OPEN = (
    "SELECT invitation_id, organisation_id, role, sealed_email, expires_at FROM invitation "
    "WHERE {} AND expires_at > clock_timestamp() ORDER BY invitation_id LIMIT 100"
)
_OF_USER = (
    "email_hash = (SELECT email_hash FROM user_secret WHERE user_id = %s AND email_verified "
    "AND wrapped_key IS NOT NULL)"
)
NONE = "there is no such invitation for your verified address"


class Invitations:
    """The commands; one for each process."""

    def __init__(self, store: Store, outbox: Outbox, count: Counts, public_url: str | None) -> None:
        """`count` bounds how many mails one user sends, and one address gets."""
        self._store, self._outbox, self._count = store, outbox, count
        self._public_url = public_url

    def invite(
        self, organisation_id: UUID, by: By, actor: str, email: str, role: MemberRole
    ) -> dict[str, Any]:
        """Invite an address; the mail waits as the invitation is saved. Returns the invitation.

        Raises NotAMemberError, ActForbiddenError, InvalidCommandError, ApiError 429.
        """
        address = check_address(email)
        assert by.user_id is not None, "operators add members without invitations"
        invitation_id, ends = new_uuid7(), datetime.now(UTC) + LIVES
        inviter = UUID(by.user_id)
        with self._store.connect() as connection:
            known = self._store.people.known(connection, inviter)
            name, wrapped = None, b""
            for each in read_memberships(connection, inviter, organisation_id):
                name, wrapped = self._store.name_of(each), bytes(each.wrapped_key or b"")
            if name is not None:
                self._count(connection, by.user_id, address)
        mail = invited(address, name or "", role, self._public_url)
        row = [
            *(invitation_id, organisation_id, str(role)),
            self._store.people.vault.email_hash(address),
            self._store.sealed(wrapped, address) if wrapped else b"",
            *(by.user_id, ends),
        ]

        def keep(cursor: Cursor[DictRow]) -> None:
            cursor.execute(
                "DELETE FROM invitation WHERE organisation_id = %s "
                "AND expires_at <= clock_timestamp()",
                [organisation_id],
            )
            cursor.execute(
                "INSERT INTO invitation (invitation_id, organisation_id, role, email_hash, "
                "sealed_email, invited_by, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                row,
            )
            self._outbox.waiting.keep(cursor, inviter, known.wrapped_key, mail)

        offer = Invitation(role, to_iso(ends))
        self._store.decide(
            organisation_id,
            by,
            lambda state: [invite(state, by, new_envelope(actor), str(invitation_id), offer)],
            keep,
        )
        self._outbox.wake()
        return _shown(invitation_id, organisation_id, role, address, ends)

    def of_organisation(self, organisation_id: UUID, user_id: UUID) -> list[dict[str, Any]]:
        """The open ones. Raises NotAMemberError, ActForbiddenError."""
        with self._store.connect() as connection:
            self._store.membership(connection, organisation_id, user_id, Act.MEMBERS)
            if organisation_id == user_id:
                return []
            wrapped = self._store.key_of(connection, organisation_id)
            rows = connection.execute(
                _OPEN.format("organisation_id = %s").encode(), [organisation_id]
            ).fetchall()
        opened = self._store.people.vault.decrypt
        return [
            _shown(each, of, role, opened(wrapped, bytes(sealed)).decode(), ends)
            for each, of, role, sealed, ends in rows
        ]

    def of_user(self, user_id: UUID) -> list[dict[str, Any]]:
        """The open ones for the user's verified address, with the organisations' names."""
        vault = self._store.people.vault
        with self._store.connect() as connection:
            rows = connection.execute(
                "SELECT i.invitation_id, i.organisation_id, i.role, i.expires_at, o.wrapped_key, "
                "o.name_ciphertext FROM invitation i JOIN organisation o USING (organisation_id) "
                f"WHERE {_OF_USER} AND i.expires_at > clock_timestamp() AND NOT o.closed "
                "ORDER BY i.invitation_id LIMIT 100".encode(),
                [user_id],
            ).fetchall()
        return [
            {
                "id": str(each),
                "organisation_id": str(of),
                "organisation_name": vault.decrypt(bytes(key), bytes.fromhex(name)).decode(),
                "role": role,
                "expires_at": to_iso(ends),
            }
            for each, of, role, ends, key, name in rows
        ]

    def accept(self, invitation_id: UUID, by: By, actor: str) -> UUID:
        """Become a member; returns the organisation's id.

        Raises UnknownInvitationError also for an address that is not verified, AlreadyMemberError,
        InvalidCommandError.
        """
        organisation_id = self._organisation_of(invitation_id, by)
        assert by.user_id is not None
        user_id = by.user_id
        self._store.decide(
            organisation_id,
            by,
            lambda state: [
                join(state, by, new_envelope(actor), user_id, invitation_id=str(invitation_id))
            ],
        )
        return organisation_id

    def decline(self, invitation_id: UUID, by: By, actor: str) -> None:
        """Refuse to become one. Raises UnknownInvitationError."""
        organisation_id = self._organisation_of(invitation_id, by)
        self._end(organisation_id, invitation_id, by, actor, withdrawn=False)

    def withdraw(self, organisation_id: UUID, invitation_id: UUID, by: By, actor: str) -> None:
        """Take it back. Raises NotAMemberError, ActForbiddenError, UnknownInvitationError."""
        self._end(organisation_id, invitation_id, by, actor, withdrawn=True)

    def _end(
        self, organisation_id: UUID, invitation_id: UUID, by: By, actor: str, *, withdrawn: bool
    ) -> None:
        self._store.decide(
            organisation_id,
            by,
            lambda state: [
                end_invitation(
                    state, by, new_envelope(actor), str(invitation_id), withdrawn=withdrawn
                )
            ],
        )

    def _organisation_of(self, invitation_id: UUID, by: By) -> UUID:
        with self._store.connect() as connection:
            row = connection.execute(
                f"SELECT organisation_id FROM invitation WHERE invitation_id = %s AND {_OF_USER} "
                "AND expires_at > clock_timestamp()".encode(),
                [invitation_id, by.user_id],
            ).fetchone()
        if row is None:
            raise UnknownInvitationError(NONE)
        found: UUID = row[0]
        return found


def _shown(
    invitation_id: UUID, organisation_id: UUID, role: str, email: str, ends: datetime
) -> dict[str, Any]:
    return {
        "id": str(invitation_id),
        "organisation_id": str(organisation_id),
        "email": email,
        "role": role,
        "expires_at": to_iso(ends),
    }
