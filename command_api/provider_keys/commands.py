"""Provider keys stored, changed and removed. All methods block, and run on the lane of people."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.identity.vault import open_own_key, seal_own_key
from domain.errors import DomainError
from domain.organisations.projects import UnknownProjectError
from domain.organisations.roles import Act, NotAMemberError, check_act
from domain.provider_keys.keys import (
    Changes,
    Mark,
    Owner,
    ProviderKeyTakenError,
    UnknownProviderKeyError,
    change_key,
    remove_key,
    replay_provider_key,
    store_key,
)
from domain.provider_keys.secrets import OwnKey, check_secret, hint_of
from event_store.beside.organisations import read_memberships, read_project
from event_store.beside.provider_keys.reading import (
    Kept,
    read_data_key,
    read_provider_key,
    read_provider_keys,
    read_sealed,
    write_sealed,
)
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import constraint_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.people import People
    from domain.events.base import By, Event
    from domain.provider_keys.keys import NewKey, ProviderKey
    from event_store.beside.provider_keys.reading import StoredProviderKey

    Beside = Callable[[Cursor[DictRow]], object]

TRIES_MAX = 5
"""How often a command is decided anew because somebody else was quicker."""
FINGERPRINT_BYTES = 16
TAKEN = "provider_key_scope_idx"


class ProviderKeyChangedError(DomainError):
    """Others change it at this moment."""

    code = "provider_key_changed"


class Sealed(NamedTuple):
    """A secret as it is kept, and what is known of it without it."""

    body: bytes
    mark: Mark


class ProviderKeys:
    """The commands; one for each process."""

    def __init__(self, people: People, *, organisation_max: int) -> None:
        """An organisation has at most so many."""
        self._people, self._most = people, organisation_max

    def listed(self, user_id: UUID, project_id: UUID | None) -> list[StoredProviderKey]:
        """The keys of a project, or of the user for the API keys of none.

        Raises UnknownProjectError, NotAMemberError, ActForbiddenError.
        """
        with self._people.connect() as connection:
            owner = self._owner(connection, user_id, project_id, Act.READ)
            return read_provider_keys(connection, UUID(owner.scope_id))

    def found(self, user_id: UUID, key_id: UUID, act: Act = Act.READ) -> StoredProviderKey:
        """A key for somebody who may act on it.

        Raises UnknownProviderKeyError, also for others' keys, and ActForbiddenError.
        """
        with self._people.connect() as connection:
            return self._found(connection, user_id, key_id, act)

    def opened(self, user_id: UUID, key_id: UUID) -> OwnKey:
        """A key with its secret, for a check. Raises as `found`; the secret may be empty."""
        with self._people.connect() as connection:
            found = self._found(connection, user_id, key_id, Act.PROVIDER_KEYS)
            wrapped = read_data_key(connection, found.organisation_id) or b""
            sealed = read_sealed(connection, key_id) or b""
        secret = open_own_key(self._people.vault, wrapped, found.provider, sealed)
        return OwnKey(
            str(key_id), found.provider, secret=secret, hint=found.hint, fallback=found.fallback
        )

    def store(
        self, user_id: UUID, project_id: UUID | None, new: NewKey, secret: str, by: By, actor: str
    ) -> StoredProviderKey:
        """Store a key, sealed. Raises as `listed`, ProviderKeyTakenError and
        TooManyProviderKeysError, and InvalidCommandError for a secret or label that cannot be.
        """
        secret = check_secret(secret)
        with self._people.connect() as connection:
            owner = self._owner(connection, user_id, project_id, Act.PROVIDER_KEYS)
            sealed = self._sealed(connection, owner, new.provider, secret)
        key_id = new_uuid7()
        made = store_key(key_id, owner, new, sealed.mark, by, new_envelope(actor))

        try:
            self._people.events.append([made], self._keeping(key_id, owner, sealed))
        except IntegrityError as error:
            if constraint_of(error) != TAKEN:
                raise
            message = f"there is a key for {new.provider} already: change or remove it"
            raise ProviderKeyTakenError(message) from None
        return self.found(user_id, key_id)

    def change(
        self, user_id: UUID, key_id: UUID, changes: Changes, secret: str | None, actor: str, by: By
    ) -> StoredProviderKey:
        """Change a key, or put another in its place. Raises as `found`, and InvalidCommandError."""
        sealed: Sealed | None = None
        checked = None if secret is None else check_secret(secret)
        with self._people.connect() as connection:
            found = self._found(connection, user_id, key_id, Act.PROVIDER_KEYS)
            owner = _owner_of(found)
            if checked is not None:
                sealed = self._sealed(connection, owner, found.provider, checked)
                changes = changes._replace(mark=sealed.mark)

        def decide(state: ProviderKey | None) -> Sequence[Event]:
            return change_key(state, changes, by, (new_envelope(actor), new_envelope(actor)))

        beside = None if sealed is None else self._keeping(key_id, owner, sealed)
        self._append(key_id, decide, beside)
        return self.found(user_id, key_id)

    def remove(self, user_id: UUID, key_id: UUID, actor: str, by: By) -> StoredProviderKey:
        """Remove a key, and delete what is sealed of it. Raises as `found`."""
        found = self.found(user_id, key_id, Act.PROVIDER_KEYS)
        self._append(key_id, lambda state: [remove_key(state, by, new_envelope(actor))])
        return found

    def _append(
        self,
        key_id: UUID,
        decide: Callable[[ProviderKey | None], Sequence[Event]],
        beside: Beside | None = None,
    ) -> None:
        """Save what is decided, decided anew when somebody was quicker."""
        events_of = self._people.events.events_of
        for _ in range(TRIES_MAX):
            events = decide(replay_provider_key(events_of(key_id)))
            if not events:
                return
            try:
                self._people.events.append(events, beside)
            except IntegrityError:
                continue
            return
        message = "the provider key is being changed by others at this moment: try again"
        raise ProviderKeyChangedError(message)

    def _owner(
        self, connection: psycopg.Connection[Any], user_id: UUID, project_id: UUID | None, act: Act
    ) -> Owner:
        organisation_id = user_id
        if project_id is not None:
            known = read_project(connection, project_id)
            if known is None or known.archived:
                message = "there is no such project, or it was archived"
                raise UnknownProjectError(message)
            organisation_id = known.organisation_id
        memberships = read_memberships(connection, user_id, organisation_id)
        check_act(memberships[0].role if memberships else None, act)
        account = memberships[0].account_id
        project = None if project_id is None else str(project_id)
        return Owner(str(account), str(organisation_id), project)

    def _found(
        self, connection: psycopg.Connection[Any], user_id: UUID, key_id: UUID, act: Act
    ) -> StoredProviderKey:
        found = read_provider_key(connection, key_id)
        try:
            if found is not None:
                memberships = read_memberships(connection, user_id, found.organisation_id)
                check_act(memberships[0].role if memberships else None, act)
                return found
        except NotAMemberError:
            pass
        message = "there is no such provider key"
        raise UnknownProviderKeyError(message)

    def _sealed(
        self, connection: psycopg.Connection[Any], owner: Owner, provider: str, secret: str
    ) -> Sealed:
        wrapped = read_data_key(connection, UUID(owner.organisation_id))
        if wrapped is None:
            message = "whose key it would be is gone"
            raise NotAMemberError(message)
        vault = self._people.vault
        fingerprint = vault.own_hash(wrapped, secret)[:FINGERPRINT_BYTES].hex()
        body = seal_own_key(vault, wrapped, provider, secret)
        return Sealed(body, Mark(hint_of(secret), fingerprint))

    def _keeping(self, key_id: UUID, owner: Owner, sealed: Sealed) -> Beside:
        project = None if owner.project_id is None else UUID(owner.project_id)
        kept = Kept(UUID(owner.organisation_id), project, self._most)
        return lambda cursor: write_sealed(cursor, key_id, kept, sealed.body)


def _owner_of(found: StoredProviderKey) -> Owner:
    project = None if found.project_id is None else str(found.project_id)
    return Owner(str(found.account_id), str(found.organisation_id), project)
