"""What the commands do to the database: all of it blocks, and runs on a lane."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyotp
from eventsourcing.persistence import IntegrityError

from command_api.mails import texts
from command_api.sessions.once import SECOND_STEP
from command_api.sessions.sessions import Pair
from domain.events.second_factors import RecoveryCodesMade, TotpDisabled, TotpEnabled
from domain.identity.second_factors import (
    RECOVERY_BYTES,
    RECOVERY_CODES,
    CodeKind,
    read_code,
    recovery_code,
    step_of,
    steps_at,
)
from edge.errors import AUTHENTICATION, ApiError, bad_request
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.credentials import Known
    from command_api.sessions.reception import Reception, Whence
    from domain.events.base import Event

ISSUER = "Gatewayz"
ON = "From now on a code of your authenticator is asked for when you sign in."
OFF = "No code of an authenticator is asked for any more when you sign in."


class Store:
    """One for each process; several threads may use it at once."""

    def __init__(self, reception: Reception) -> None:
        """Nothing is connected yet."""
        self._reception, self._people = reception, reception.people

    def shown(self, user_id: UUID) -> dict[str, Any]:
        """What opens the account beside the password."""
        with self._people.connect() as connection:
            known = self._people.known(connection, user_id)
            row = connection.execute(
                "SELECT count(*) FROM recovery_code WHERE user_id = %s", [user_id]
            ).fetchone()
        left = int(row[0]) if row else 0
        return {"totp": known.totp_on, "recovery_codes_left": left}

    def counted(self, user_id: UUID, host: str) -> Known:
        """Who wants to prove something, one attempt more; raises ApiError 401 or 429."""
        with self._people.connect() as connection:
            known = self._people.known(connection, user_id)
            self._reception.attempts.second_step(connection, host, user_id)
        return known

    def proven(self, known: Known, host: str) -> None:
        """What was shown was right."""
        with self._people.connect() as connection:
            self._reception.attempts.proven(connection, host, known.user_id)

    def enrol(self, known: Known) -> tuple[str, str]:
        """A new secret that counts once it is confirmed, and its URI; raises ApiError 400."""
        secret = pyotp.random_base32()
        sealed = self._people.credentials.sealed(known, secret)
        with self._people.connect() as connection:
            address = self._people.credentials.address_of(connection, known)
            row = connection.execute(
                "UPDATE user_secret SET sealed_totp = %s, totp_step = 0 "
                "WHERE user_id = %s AND NOT totp_on AND wrapped_key IS NOT NULL RETURNING true",
                [sealed, known.user_id],
            ).fetchone()
        if row is None:
            raise _on_already()
        return secret, pyotp.TOTP(secret).provisioning_uri(name=address, issuer_name=ISSUER)

    def confirm(self, known: Known, code: str) -> list[str]:
        """The secret counts; returns the recovery codes. Raises ApiError 400 or 401."""
        if known.totp_on:
            raise _on_already()
        kind, text = read_code(code)
        step = self._step(known, text) if kind is CodeKind.TOTP else None
        if step is None:
            raise wrong_code()
        codes = [recovery_code(secrets.token_bytes(RECOVERY_BYTES)) for _ in range(RECOVERY_CODES)]
        keep, told = self._keeping(known, codes), self._telling(known, ON)

        def write(cursor: Cursor[DictRow]) -> None:
            # Null is refused: of two who confirm at once, or another secret meanwhile, one stands.
            cursor.execute(
                "UPDATE user_secret SET totp_step = CASE WHEN sealed_totp = %s AND totp_step < %s "
                "THEN %s::bigint END WHERE user_id = %s",
                [known.sealed_totp, step, step, known.user_id],
            )
            keep(cursor)
            told(cursor)

        self._tell(known, lambda: [_event(known, TotpEnabled), _made(known)], write)
        return codes

    def new_codes(self, known: Known) -> list[str]:
        """Other recovery codes; the earlier ones are good no more. Raises ApiError 400."""
        if not known.totp_on:
            raise _off()
        codes = [recovery_code(secrets.token_bytes(RECOVERY_BYTES)) for _ in range(RECOVERY_CODES)]
        self._tell(known, lambda: [_made(known)], self._keeping(known, codes))
        return codes

    def disable(self, known: Known, how: str) -> None:
        """No second step any more; raises ApiError 400 where there is none."""
        if not known.totp_on:
            raise _off()
        self._tell(known, lambda: [_event(known, TotpDisabled, how=how)], self._telling(known, OFF))

    def used(self, known: Known, code: str) -> CodeKind | None:
        """Use up a code: of all who show it, also in other processes, one is right."""
        with self._people.connect() as connection:
            return self._use(connection, known, code)

    def second_step(self, token: str, code: str, whence: Whence) -> Pair:
        """A session for a code; raises ApiError 401 or 429."""
        reception = self._reception
        with self._people.connect() as connection:
            note = reception.once.look(connection, token, SECOND_STEP)
            if note is None or note.user_id is None:
                raise _over()
            known = self._people.known(connection, note.user_id)
            reception.attempts.second_step(connection, whence.host, known.user_id)
            # A code is used up even if the token is spent by somebody else at this moment.
            kind = self._use(connection, known, code)
            if kind is None:
                raise wrong_code()
            if reception.once.spend(connection, token, SECOND_STEP) is None:
                raise _over()
            how = f"{note.said['how']}+{kind}"
            pair = reception.admit(connection, known, how, whence, whole=True)
        assert isinstance(pair, Pair)
        return pair

    def _use(self, connection: psycopg.Connection[Any], known: Known, code: str) -> CodeKind | None:
        kind, text = read_code(code)
        if not known.totp_on:
            return None
        if kind is CodeKind.TOTP:
            step = self._step(known, text)
            row = connection.execute(
                "UPDATE user_secret SET totp_step = %s "
                "WHERE user_id = %s AND totp_on AND sealed_totp = %s AND totp_step < %s "
                "RETURNING true",
                [step, known.user_id, known.sealed_totp, step],
            ).fetchone()
        else:
            row = connection.execute(
                "DELETE FROM recovery_code WHERE user_id = %s AND code_hash = %s RETURNING true",
                [known.user_id, self._hash(known, text)],
            ).fetchone()
        return None if row is None else kind

    def _step(self, known: Known, code: str) -> int | None:
        """The step of a code, by the clock of this machine; None for a wrong one."""
        if known.sealed_totp is None:
            raise _off()
        totp = pyotp.TOTP(self._people.credentials.opened(known, known.sealed_totp))
        now_s = int(datetime.now(UTC).timestamp())
        return step_of(code, {step: totp.generate_otp(step) for step in steps_at(now_s)})

    def _keeping(self, known: Known, codes: list[str]) -> Callable[[Cursor[DictRow]], object]:
        hashes = [self._hash(known, read_code(each)[1]) for each in codes]

        def keep(cursor: Cursor[DictRow]) -> None:
            cursor.execute("DELETE FROM recovery_code WHERE user_id = %s", [known.user_id])
            cursor.execute(
                "INSERT INTO recovery_code SELECT %s, unnest(%s::bytea[])",
                [known.user_id, hashes],
            )

        return keep

    def _telling(self, known: Known, what: str) -> Callable[[Cursor[DictRow]], object]:
        with self._people.connect() as connection:
            address = self._people.credentials.address_of(connection, known)
        mail, waiting = texts.way_in_changed(address, what), self._reception.outbox.waiting
        wrapped = bytes(known.wrapped_key)
        return lambda cursor: waiting.keep(cursor, known.user_id, wrapped, mail)

    def _tell(
        self,
        known: Known,
        make: Callable[[], list[Callable[[int], Event]]],
        also: Callable[[Cursor[DictRow]], object],
    ) -> None:
        try:
            self._people.tell(
                known.user_id,
                lambda version: [each(version + place) for place, each in enumerate(make())],
                also=also,
            )
        except IntegrityError:
            message = "Somebody changed the second step at this moment: look at it, and try again."
            raise bad_request("second_factor_changed", message) from None
        self._reception.outbox.wake()

    def _hash(self, known: Known, code: str) -> bytes:
        return self._people.vault.own_hash(bytes(known.wrapped_key), f"recovery {code}")


def _event(known: Known, kind: type[Event], **members: Any) -> Callable[[int], Event]:
    return lambda version: kind(
        originator_id=known.user_id,
        originator_version=version,
        **new_envelope(f"user:{known.user_id}"),
        **members,
    )


def _made(known: Known) -> Callable[[int], Event]:
    return _event(known, RecoveryCodesMade, count=RECOVERY_CODES)


def wrong_code() -> ApiError:
    """A 401 for a code that is wrong, over, or was shown before."""
    message = "This code is wrong, over, or was used before: show the next one."
    return ApiError(401, "invalid_second_factor", message, kind=AUTHENTICATION)


def _over() -> ApiError:
    message = "This second step is over: sign in anew with POST /auth/login."
    return ApiError(401, "second_step_over", message, kind=AUTHENTICATION)


def _on_already() -> ApiError:
    return bad_request("totp_on", "An authenticator is enrolled already: disable it first.")


def _off() -> ApiError:
    return bad_request("totp_off", "No authenticator is enrolled: begin with POST /auth/totp.")
