"""What the commands do to the database: all of it blocks, and runs on a lane."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from eventsourcing.persistence import IntegrityError

from command_api.mails import texts
from command_api.passkeys.party import bad_passkey, bad_registration
from command_api.sessions.once import NEW_PASSKEY, PASSKEY
from command_api.sessions.sessions import Pair
from domain.events.second_factors import PasskeyAdded, PasskeyRemoved
from domain.identity.second_factors import PASSKEYS_MAX
from edge.errors import ApiError, bad_request
from event_store.ids import new_envelope, new_uuid7, to_iso

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.credentials import Known
    from command_api.passkeys.party import New, Party
    from command_api.sessions.reception import Reception, Whence

_INSERT = (
    "INSERT INTO passkey (credential_hash, passkey_id, user_id, sealed, sign_count) VALUES "
    "(%s, %s, (SELECT user_id FROM user_secret WHERE user_id = %s AND wrapped_key IS NOT NULL), "
    "%s, %s)"
)


class Kept(NamedTuple):
    """What is sealed of a passkey."""

    credential_id: str
    public_key: str
    name: str


class Store:
    """One for each process; several threads may use it at once."""

    def __init__(self, reception: Reception, party: Party) -> None:
        """Nothing is connected yet."""
        self._reception, self._people, self._party = reception, reception.people, party

    def options(self, user_id: UUID) -> dict[str, Any]:
        """What a browser needs to make one; raises ApiError 400 or 401."""
        with self._people.connect() as connection:
            known, address = self._reception.known(connection, user_id)
            kept = self._kept(connection, known)
            self._room(len(kept))
            challenge = self._reception.once.give(connection, NEW_PASSKEY, user_id)
        ids = [base64.b64decode(each.credential_id) for _, each, _, _ in kept]
        return self._party.registration(challenge, user_id, address, ids)

    def add(self, user_id: UUID, credential: dict[str, Any], name: str) -> str:
        """Keep a new one; returns its id. Raises ApiError 400 or 401."""
        challenge = self._party.challenge_of(credential)
        with self._people.connect() as connection:
            note = self._reception.once.spend(connection, challenge, NEW_PASSKEY)
            known, address = self._reception.known(connection, user_id)
            kept = self._kept(connection, known)
        if note is None or note.user_id != user_id:
            raise bad_registration()
        new = self._party.registered(credential, challenge)
        self._room(len(kept))
        passkey_id, sealed = new_uuid7(), self._sealed(known, new, name)
        mail = texts.way_in_changed(address, f"A passkey opens your account now: {name}.")
        waiting, wrapped = self._reception.outbox.waiting, bytes(known.wrapped_key)

        def write(cursor: Cursor[DictRow]) -> None:
            digest = _digest(new.credential_id)
            cursor.execute(_INSERT, [digest, passkey_id, user_id, sealed, new.sign_count])
            waiting.keep(cursor, user_id, wrapped, mail)

        try:
            self._people.tell(
                user_id,
                lambda version: [
                    PasskeyAdded(
                        originator_id=user_id,
                        originator_version=version,
                        **new_envelope(f"user:{user_id}"),
                        passkey_id=str(passkey_id),
                    )
                ],
                also=write,
            )
        except IntegrityError:
            message = "This passkey is known here already."
            raise bad_request("passkey_known", message, "credential") from None
        self._reception.outbox.wake()
        return str(passkey_id)

    def challenge(self) -> dict[str, Any]:
        """What a browser needs to show one."""
        with self._people.connect() as connection:
            challenge = self._reception.once.give(connection, PASSKEY)
        return self._party.assertion(challenge)

    def sign_in(self, credential: dict[str, Any], whence: Whence) -> Pair:
        """A session; raises ApiError 401. A passkey is both factors: it verifies its user."""
        shown, digest = self._party.shown(credential), b""
        with self._people.connect() as connection:
            note = self._reception.once.spend(connection, shown.challenge, PASSKEY)
            digest = _digest(shown.credential_id)
            row = connection.execute(
                "SELECT user_id, sealed, sign_count FROM passkey WHERE credential_hash = %s",
                [digest],
            ).fetchone()
            if note is None or row is None or shown.user_handle not in {None, row[0].bytes}:
                raise bad_passkey()
            known = self._people.credentials.by_id(connection, row[0])
            if known is None:
                raise bad_passkey()
            kept = self._opened(known, row[1])
            key = base64.b64decode(kept.public_key)
            count = self._party.asserted(credential, shown.challenge, key, row[2])
            # The counter only grows, also where two show an answer at the same instant.
            moved = connection.execute(
                "UPDATE passkey SET sign_count = %s, used_at = clock_timestamp() "
                "WHERE credential_hash = %s AND (sign_count < %s OR (sign_count = 0 AND %s = 0)) "
                "RETURNING true",
                [count, digest, count, count],
            ).fetchone()
            if moved is None:
                raise bad_passkey()
            pair = self._reception.admit(connection, known, "passkey", whence, whole=True)
        assert isinstance(pair, Pair)
        return pair

    def listed(self, user_id: UUID) -> list[dict[str, Any]]:
        """The user's passkeys, oldest first."""
        with self._people.connect() as connection:
            known = self._people.known(connection, user_id)
            return [
                {
                    "passkey_id": str(passkey_id),
                    "name": kept.name,
                    "made_at": to_iso(made),
                    "used_at": to_iso(used) if used else None,
                }
                for passkey_id, kept, made, used in self._kept(connection, known)
            ]

    def rename(self, user_id: UUID, passkey_id: UUID, name: str) -> None:
        """Call it otherwise; raises ApiError 404."""
        with self._people.connect() as connection:
            known = self._people.known(connection, user_id)
            kept = self._mine(connection, known, passkey_id)
            text = msgspec.json.encode(kept._replace(name=name)).decode()
            connection.execute(
                "UPDATE passkey SET sealed = %s WHERE passkey_id = %s AND user_id = %s",
                [self._people.credentials.sealed(known, text), passkey_id, user_id],
            )

    def remove(self, user_id: UUID, passkey_id: UUID) -> None:
        """It opens nothing any more; raises ApiError 404."""
        with self._people.connect() as connection:
            known, address = self._reception.known(connection, user_id)
            kept = self._mine(connection, known, passkey_id)
        mail = texts.way_in_changed(address, f"A passkey opens nothing any more: {kept.name}.")
        waiting, wrapped = self._reception.outbox.waiting, bytes(known.wrapped_key)
        self._people.tell(
            user_id,
            lambda version: [
                PasskeyRemoved(
                    originator_id=user_id,
                    originator_version=version,
                    **new_envelope(f"user:{user_id}"),
                    passkey_id=str(passkey_id),
                )
            ],
            also=lambda cursor: waiting.keep(cursor, user_id, wrapped, mail),
        )
        self._reception.outbox.wake()

    def _mine(self, connection: psycopg.Connection[Any], known: Known, passkey_id: UUID) -> Kept:
        for each, kept, _, _ in self._kept(connection, known):
            if each == passkey_id:
                return kept
        raise no_passkey()

    def _kept(
        self, connection: psycopg.Connection[Any], known: Known
    ) -> list[tuple[UUID, Kept, Any, Any]]:
        rows = connection.execute(
            "SELECT passkey_id, sealed, made_at, used_at FROM passkey WHERE user_id = %s "
            "ORDER BY passkey_id",
            [known.user_id],
        ).fetchall()
        return [(each, self._opened(known, sealed), *times) for each, sealed, *times in rows]

    def _sealed(self, known: Known, new: New, name: str) -> bytes:
        kept = Kept(
            base64.b64encode(new.credential_id).decode(),
            base64.b64encode(new.public_key).decode(),
            name,
        )
        return self._people.credentials.sealed(known, msgspec.json.encode(kept).decode())

    def _opened(self, known: Known, sealed: bytes) -> Kept:
        text = self._people.credentials.opened(known, sealed)
        return Kept(*msgspec.json.decode(text, type=tuple[str, str, str]))

    @staticmethod
    def _room(kept: int) -> None:
        if kept >= PASSKEYS_MAX:
            message = f"An account has at most {PASSKEYS_MAX} passkeys: remove one first."
            raise bad_request("too_many_passkeys", message)


def _digest(credential_id: bytes) -> bytes:
    """Credential ids are random, of 16 bytes at least (WebAuthn, 4): a digest tells nothing."""
    return hashlib.sha256(credential_id).digest()


def no_passkey() -> ApiError:
    """A 404."""
    message = "There is no passkey of yours with this id: GET /auth/passkeys lists them."
    return ApiError(404, "passkey_not_found", message)
