"""Organisations and their members: made, named, handed over, left and closed. All methods block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.identity.key_orders import Maker
from command_api.organisations.store import Store
from domain.errors import InvalidCommandError
from domain.events.organisations import OrganisationCreated
from domain.identity.api_keys import replay_api_key, revoke_api_key
from domain.organisations import members as deciders
from domain.organisations.organisation import allowed, close, join, rename
from domain.organisations.projects import check_name
from domain.organisations.roles import ACTS, Act, MemberRole
from event_store.beside.organisations import read_members, read_memberships
from event_store.ids import new_envelope, new_uuid7, to_iso

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from command_api.identity.people import People
    from domain.events.base import By, Event
    from domain.organisations.organisation import Organisation
    from event_store.beside.organisations import Membership

OWNED_MAX = 20
"""Most organisations that one user owns."""
KEYS_SHOWN_MAX = 1_000
_KEYS_OF_MEMBER = (
    "SELECT DISTINCT key_id FROM api_key WHERE organisation_id = %s AND user_id = %s "
    "AND NOT (revoked OR deleted)"
)
_KEYS = (
    "SELECT key_id::text, user_id::text, project_id::text, name, masked, environment, "
    "active AND NOT revoked, expires_at FROM api_key WHERE organisation_id = %s "
    "AND NOT replaced AND NOT deleted ORDER BY key_id LIMIT %s"
)
_KEY_MEMBERS = (
    *("id", "user_id", "project_id", "key_name", "api_key", "environment_tag", "is_active"),
    "expiration_date",
)


class Organisations:
    """The commands; one for each process."""

    def __init__(self, people: People) -> None:
        """Through the connections of people."""
        self.store = Store(people)
        self._people = people

    def listed(self, user_id: UUID) -> list[dict[str, Any]]:
        """The organisations of a user, the personal one first."""
        with self.store.connect() as connection:
            return [self._shown(each) for each in read_memberships(connection, user_id)]

    def shown(self, organisation_id: UUID, user_id: UUID) -> dict[str, Any]:
        """One of them. Raises NotAMemberError."""
        with self.store.connect() as connection:
            return self._shown(
                self.store.membership(connection, organisation_id, user_id, Act.READ)
            )

    def create(self, name: str, by: By, actor: str, owner: UUID) -> UUID:
        """A new organisation with an account and nothing in it; returns its id.

        Raises InvalidCommandError for a name that cannot be, and for one owner's too many.
        """
        vault = self._people.vault
        name = check_name(name, "an organisation")
        organisation_id, wrapped = new_uuid7(), vault.new_data_key()
        with self.store.connect() as connection:
            held = read_memberships(connection, owner)
        owned = [each for each in held if each.role is MemberRole.OWNER and not each.personal]
        if len(owned) >= OWNED_MAX:
            message = f"one user owns at most {OWNED_MAX} organisations: hand one over, or close it"
            raise InvalidCommandError(message)
        created = OrganisationCreated(
            originator_id=organisation_id,
            originator_version=1,
            **new_envelope(actor),
            **by.told(),
            account_id=str(new_uuid7()),
            user_id=str(owner),
            name_ciphertext=vault.encrypt(wrapped, name.encode()).hex(),
        )
        self._people.events.append(
            [created],
            lambda cursor: cursor.execute(
                "UPDATE organisation SET wrapped_key = %s WHERE organisation_id = %s",
                [wrapped, organisation_id],
            ),
        )
        return organisation_id

    def rename(self, organisation_id: UUID, by: By, actor: str, name: str) -> None:
        """Give it another name. Raises NotAMemberError, ActForbiddenError, InvalidCommandError."""
        name = check_name(name, "an organisation")

        def decide(state: Organisation | None) -> Sequence[Event]:
            allowed(state, by, Act.RENAME)
            with self.store.connect() as connection:
                wrapped = self.store.key_of(connection, organisation_id)
            sealed = self.store.sealed(wrapped, name).hex()
            return [rename(state, by, new_envelope(actor), sealed)]

        self.store.decide(organisation_id, by, decide)

    def close(self, organisation_id: UUID, by: By, actor: str) -> None:
        """Close it for ever: its keys open nothing, its data key is destroyed.

        Raises NotAMemberError, ActForbiddenError.
        """
        self.store.decide(
            organisation_id, by, lambda state: [close(state, by, new_envelope(actor))]
        )

    def members(self, organisation_id: UUID, user_id: UUID | None) -> list[dict[str, Any]]:
        """The members with their addresses, for a member or (None) an operator.

        Raises NotAMemberError.
        """
        with self.store.connect() as connection:
            if user_id is not None:
                self.store.membership(connection, organisation_id, user_id, Act.READ)
            found = read_members(connection, organisation_id)
            if not found and user_id is not None:  # The personal one, which has no rows.
                return [self._member(connection, user_id, MemberRole.OWNER, None)]
            return [
                self._member(connection, each.user_id, each.role, to_iso(each.joined_at))
                for each in found
            ]

    def add(self, organisation_id: UUID, by: By, actor: str, user_id: UUID, role: str) -> None:
        """Make a user a member without an invitation, as an operator.

        Raises AlreadyMemberError, UnknownInvitationError where it was closed, InvalidCommandError.
        """
        named = MemberRole(role)
        self.store.decide(
            organisation_id,
            by,
            lambda state: [join(state, by, new_envelope(actor), str(user_id), role=named)],
        )

    def change_role(
        self, organisation_id: UUID, by: By, actor: str, user_id: UUID, role: MemberRole
    ) -> bool:
        """Give a member a role; says whether it is another one.

        Raises NotAMemberError, ActForbiddenError, UnknownMemberError, LastOwnerError.
        """
        return bool(
            self.store.decide(
                organisation_id,
                by,
                lambda state: deciders.change_member_role(
                    state, by, new_envelope(actor), str(user_id), role
                ),
            )
        )

    def hand_over(self, organisation_id: UUID, by: By, actor: str, user_id: UUID) -> None:
        """Make another member the owner. Raises as `change_role`."""
        self.store.decide(
            organisation_id,
            by,
            lambda state: deciders.hand_over(
                state, by, (new_envelope(actor), new_envelope(actor)), str(user_id)
            ),
        )

    def leave(self, organisation_id: UUID, by: By, actor: str, user_id: UUID) -> None:
        """Take a member out, and revoke the keys they made here: both or neither.

        Raises as `change_role`.
        """
        self.store.decide(
            organisation_id,
            by,
            lambda state: [
                deciders.leave(state, by, new_envelope(actor), str(user_id)),
                *self._revoked(organisation_id, user_id, actor),
            ],
        )

    def leave_all(self, user_id: UUID, by: By, actor: str) -> list[Event]:
        """What a user's leaving of the house means here: to be appended with it.

        Raises LastOwnerError for who must hand an organisation over, or close it, first.
        """
        with self.store.connect() as connection:
            found = [each for each in read_memberships(connection, user_id) if not each.personal]
        events: list[Event] = []
        for each in found:
            state = self.store.state(each.organisation_id)
            events.append(
                deciders.leave(state, by, new_envelope(actor), str(user_id), deleted=True)
            )
        return events

    def keys(self, organisation_id: UUID, user_id: UUID) -> list[dict[str, Any]]:
        """The keys of all members' making. Raises NotAMemberError, ActForbiddenError."""
        with self.store.connect() as connection:
            self.store.membership(connection, organisation_id, user_id, Act.ALL_KEYS)
            rows = connection.execute(_KEYS, [organisation_id, KEYS_SHOWN_MAX]).fetchall()
        return [
            dict(zip(_KEY_MEMBERS, (*row[:-1], row[-1] and to_iso(row[-1])), strict=True))
            for row in rows
        ]

    def check_key(self, organisation_id: UUID, user_id: UUID, key_id: UUID) -> bool:
        """Whether a key is of this organisation. Raises NotAMemberError, ActForbiddenError."""
        with self.store.connect() as connection:
            self.store.membership(connection, organisation_id, user_id, Act.ALL_KEYS)
            row = connection.execute(
                "SELECT FROM api_key WHERE key_id = %s AND organisation_id = %s AND NOT deleted",
                [key_id, organisation_id],
            ).fetchone()
        return row is not None

    def revoke_key(self, key_id: UUID, actor: str) -> None:
        """Revoke a key, whoever made it. Raises UnknownKeyError, KeyChangedError."""
        self._people.users.keys.revoke(key_id, Maker(actor), "revoked for the organisation")

    def _revoked(self, organisation_id: UUID, user_id: UUID, actor: str) -> list[Event]:
        with self.store.connect() as connection:
            rows = connection.execute(_KEYS_OF_MEMBER, [organisation_id, user_id]).fetchall()
        reason = "its maker left the organisation"
        events: list[Event] = []
        for (key_id,) in rows:
            state = replay_api_key(self._people.events.events_of(key_id))
            events += revoke_api_key(state, new_envelope(actor), reason=reason)
        return events

    def _member(
        self,
        connection: psycopg.Connection[Any],
        user_id: UUID,
        role: MemberRole,
        joined_at: str | None,
    ) -> dict[str, Any]:
        credentials = self._people.credentials
        known = credentials.by_id(connection, user_id)
        return {
            "user_id": str(user_id),
            "email": None if known is None else credentials.address_of(connection, known),
            "role": role,
            "joined_at": joined_at,
        }

    def _shown(self, membership: Membership) -> dict[str, Any]:
        return {
            "id": str(membership.organisation_id),
            "name": self.store.name_of(membership),
            "personal": membership.personal,
            "role": membership.role,
            "may": sorted(each.name.lower() for each in ACTS[membership.role]),
            "account_id": str(membership.account_id),
        }
