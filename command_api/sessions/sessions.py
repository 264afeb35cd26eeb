"""Sessions: begun, kept alive, listed, ended. All of it blocks: it runs on a lane."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec
from eventsourcing.persistence import IntegrityError

from command_api.sessions.tokens import Refresh, not_ours
from domain.events.sign_in import SessionBegan, SessionEnded
from domain.identity.roles import role_of
from edge.caller import Caller
from edge.errors import AUTHENTICATION, ApiError
from event_store.ids import new_envelope, new_uuid7, to_iso

if TYPE_CHECKING:
    import psycopg

    from command_api.identity.credentials import Known
    from command_api.identity.vault import Vault
    from command_api.sessions.tokens import Tokens
    from event_store.log.aggregates import Aggregates

SESSIONS_MAX = 50
"""Living sessions of a user; with one more the oldest ends."""
GRACE_S = 10
"""How long the refresh token before the newest still gets the newest: its reply may be lost."""
AGENT_CHARACTERS_MAX = 200
NO_KEY = UUID(int=0)
"""What stands for the first key of a user who has none."""

_ENDED = "This session has ended. Sign in with POST /auth/login."


class Pair(NamedTuple):
    """What a client is given."""

    user_id: str
    session_id: UUID
    access_token: str
    refresh_token: str


class Sessions:
    """One for each process; connections are its caller's."""

    def __init__(self, aggregates: Aggregates, vault: Vault, tokens: Tokens, days: int) -> None:
        """A session that is not used ends after so many days."""
        self._aggregates, self._vault, self._tokens = aggregates, vault, tokens
        self._days = days

    def begin(
        self, connection: psycopg.Connection[Any], known: Known, *, how: str, host: str, agent: str
    ) -> Pair:
        """A session of a user who has shown who they are."""
        session_id, user_id = new_uuid7(), str(known.user_id)
        origin = msgspec.json.encode({"host": host, "agent": agent[:AGENT_CHARACTERS_MAX]})
        row = [
            session_id,
            known.user_id,
            self._vault.encrypt(bytes(known.wrapped_key), origin),
            datetime.now(UTC) + timedelta(days=self._days),
        ]
        began = SessionBegan(
            originator_id=session_id,
            originator_version=1,
            **new_envelope(f"user:{user_id}"),
            user_id=user_id,
            how=how,
        )
        self._aggregates.append(
            [began],
            lambda cursor: cursor.execute(
                "INSERT INTO session (session_id, user_id, sealed_origin, expires_at) "
                "VALUES (%s, %s, %s, %s)",
                row,
            ),
        )
        for old in self._living(connection, known.user_id)[SESSIONS_MAX:]:
            self._end(old, user_id, "revoked")
        return self._pair(user_id, Refresh(session_id, 1))

    def refresh(self, connection: psycopg.Connection[Any], token: str) -> Pair:
        """The next pair. Raises ApiError 401; a token shown again after its time ends all."""
        said = self._tokens.read_refresh(token)
        if said is None:
            message = "This refresh token is not one of ours. Sign in with POST /auth/login."
            raise not_ours(message)
        until = datetime.now(UTC) + timedelta(days=self._days)
        row = connection.execute(
            "UPDATE session SET generation = generation + 1, rotated_at = clock_timestamp(), "
            "expires_at = %s WHERE session_id = %s AND generation = %s AND NOT ended "
            "AND expires_at > clock_timestamp() RETURNING user_id, generation",
            [until, said.session_id, said.generation],
        ).fetchone()
        if row is not None:
            return self._pair(str(row[0]), Refresh(said.session_id, row[1]))
        row = connection.execute(
            "SELECT user_id, generation, ended OR expires_at <= clock_timestamp(), "
            "rotated_at > clock_timestamp() - make_interval(secs => %s) "
            "FROM session WHERE session_id = %s",
            [GRACE_S, said.session_id],
        ).fetchone()
        if row is None or row[2]:
            raise ApiError(401, "session_ended", _ENDED, kind=AUTHENTICATION)
        user_id, generation, _, lately = row
        if lately and said.generation == generation - 1:
            return self._pair(str(user_id), Refresh(said.session_id, generation))
        self._end(said.session_id, str(user_id), "reuse")
        message = (
            "This refresh token was used before, so somebody else may have it: the session has "
            "ended. Sign in with POST /auth/login."
        )
        raise ApiError(401, "refresh_token_reused", message, kind=AUTHENTICATION)

    def caller(self, connection: psycopg.Connection[Any], user_id: str, session: UUID) -> Caller:
        """Who calls with an access token of the session. Raises ApiError 401."""
        row = connection.execute(
            "SELECT u.account_id, r.role, k.key_id::text, k.masked "
            "FROM session s JOIN user_secret u USING (user_id) "
            "LEFT JOIN user_role r USING (user_id) "
            "LEFT JOIN LATERAL (SELECT key_id, masked FROM api_key WHERE user_id = s.user_id "
            "AND project_id IS NULL AND NOT (revoked OR deleted OR replaced) "
            "ORDER BY key_id LIMIT 1) k ON true "
            "WHERE s.session_id = %s AND s.user_id::text = %s AND NOT s.ended "
            "AND s.expires_at > clock_timestamp()",
            [session, user_id],
        ).fetchone()
        if row is None:
            raise ApiError(401, "session_ended", _ENDED, kind=AUTHENTICATION)
        account, role, key_id, masked = row
        return Caller(
            key_id=key_id or str(NO_KEY),
            user_id=user_id,
            account_id=str(account),
            account=account.bytes,
            masked=masked or "",
            envelope=b"",
            role=role_of(role),
            session_id=str(session),
        )

    def listed(
        self, connection: psycopg.Connection[Any], known: Known, current: str
    ) -> list[dict[str, Any]]:
        """The user's living sessions, newest first, with where they came from."""
        rows = connection.execute(
            "SELECT session_id, began_at, rotated_at, expires_at, sealed_origin FROM session "
            "WHERE user_id = %s AND NOT ended AND expires_at > clock_timestamp() "
            "ORDER BY session_id DESC LIMIT %s",
            [known.user_id, SESSIONS_MAX],
        ).fetchall()
        found = []
        for session_id, began, used, expires, sealed in rows:
            origin = self._vault.decrypt(bytes(known.wrapped_key), bytes(sealed))
            line = {
                "session_id": str(session_id),
                "began_at": to_iso(began),
                "used_at": to_iso(used),
                "expires_at": to_iso(expires),
                "current": str(session_id) == current,
            }
            found.append({**line, **msgspec.json.decode(origin)})
        return found

    def end(self, connection: psycopg.Connection[Any], user_id: UUID, session: UUID) -> None:
        """End one of the user's sessions; one that has ended stays so. Raises ApiError 404."""
        if session in self._living(connection, user_id):
            self._end(session, str(user_id), "revoked")
            return
        known = connection.execute(
            "SELECT FROM session WHERE session_id = %s AND user_id = %s", [session, user_id]
        ).fetchone()
        if known is None:
            message = "There is no session of yours with this id: GET /auth/sessions lists them."
            raise ApiError(404, "session_not_found", message)

    def end_all(
        self,
        connection: psycopg.Connection[Any],
        user_id: UUID,
        reason: str,
        keep: str | None = None,
    ) -> int:
        """End all of the user's sessions but one that may be kept; returns how many."""
        ended = [each for each in self._living(connection, user_id) if str(each) != keep]
        for each in ended:
            self._end(each, str(user_id), reason)
        return len(ended)

    @staticmethod
    def _living(connection: psycopg.Connection[Any], user_id: UUID) -> list[UUID]:
        """Newest first."""
        connection.execute(
            "DELETE FROM session WHERE user_id = %s AND expires_at <= clock_timestamp()", [user_id]
        )
        rows = connection.execute(
            "SELECT session_id FROM session WHERE user_id = %s AND NOT ended "
            "ORDER BY session_id DESC",
            [user_id],
        ).fetchall()
        return [each for (each,) in rows]

    def _end(self, session: UUID, user_id: str, reason: str) -> None:
        """By an event, unless one stands already."""
        events = self._aggregates.events_of(session)
        if any(isinstance(each, SessionEnded) for each in events):
            return
        ended = SessionEnded(
            originator_id=session,
            originator_version=len(events) + 1,
            **new_envelope(f"user:{user_id}"),
            user_id=user_id,
            reason=reason,
        )
        try:
            self._aggregates.append([ended])
        except IntegrityError:
            return  # Somebody else ended it at this moment.

    def _pair(self, user_id: str, refresh: Refresh) -> Pair:
        access = self._tokens.access(user_id, refresh.session_id, datetime.now(UTC))
        return Pair(user_id, refresh.session_id, access, self._tokens.refresh(refresh))
