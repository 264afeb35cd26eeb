"""How often one may try: counted for all processes together, by keyed hashes of who tries.

A lock must not become a way to lock somebody out. Who guesses is stopped by where he guesses from,
and by the pair of that and the address; the count of an address alone stops only origins that the
user has never signed in from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.identity.addresses import comparable
from edge.errors import RATE_LIMIT, ApiError

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from command_api.identity.vault import Vault

DAY_S, HOUR_S, QUARTER_S = 86_400, 3_600, 900
KEPT_S = DAY_S
KNOWN_DAYS = 90
"""How long an origin is remembered that a user signed in from."""

_COUNT = """
INSERT INTO attempt AS a (name, since, count) VALUES (%(name)s, clock_timestamp(), 1)
ON CONFLICT (name) DO UPDATE SET
  count = CASE WHEN a.since < clock_timestamp() - make_interval(secs => %(window_s)s)
    THEN 1 ELSE least(a.count + 1, 1000000000) END,
  since = CASE WHEN a.since < clock_timestamp() - make_interval(secs => %(window_s)s)
    THEN clock_timestamp() ELSE a.since END
RETURNING count,
  ceil(extract(epoch FROM since + make_interval(secs => %(window_s)s) - clock_timestamp()))::int
"""
_TIDY = (
    "DELETE FROM attempt WHERE name IN (SELECT name FROM attempt "
    "WHERE since < clock_timestamp() - make_interval(secs => %s) LIMIT 100)"
)


class Limit(NamedTuple):
    """So many in a time."""

    what: str
    most: int
    window_s: int


PAIR = Limit("pair", 10, QUARTER_S)
ORIGIN = Limit("origin", 100, QUARTER_S)
ACCOUNT = Limit("account", 50, QUARTER_S)
RESETS_OF_ORIGIN = Limit("resets", 20, HOUR_S)
RESETS_OF_ADDRESS = Limit("resets-address", 3, HOUR_S)
INVITATIONS_OF_USER = Limit("invitations", 50, HOUR_S)
INVITATIONS_OF_ADDRESS = Limit("invitations-address", 3, HOUR_S)
COUPONS_OF_USER = Limit("coupons-user", 20, HOUR_S)
COUPONS_OF_ORIGIN = Limit("coupons", 200, HOUR_S)
"""Codes of coupons that were not good: of the shortest there are 54,872, of the usual far more."""
GIFTS_OF_USER = Limit("gifts", 20, DAY_S)
"""More than people give, and an end to what a stolen session could."""
TOKENS_OF_ORIGIN = Limit("tokens", 60, QUARTER_S)
CODES_OF_PAIR = Limit("codes", 10, HOUR_S)
CODES_OF_USER = Limit("codes-user", 30, DAY_S)
"""Of a million codes three are good: whoever has the password may not go through them."""


class Attempts:
    """Counts on a connection of its caller's; one for each process."""

    def __init__(self, vault: Vault) -> None:
        """Names are hashed with the installation's secret (P5)."""
        self._vault = vault

    def count(self, connection: psycopg.Connection[Any], limit: Limit, *who: str) -> None:
        """One more attempt; raises ApiError 429 beyond the limit."""
        wait_s = self._over(connection, limit, *who)
        if wait_s:
            raise _too_many(wait_s)

    def within(self, connection: psycopg.Connection[Any], limit: Limit, *who: str) -> bool:
        """One more attempt, for those who must not be told: whether it is within the limit."""
        return not self._over(connection, limit, *who)

    def invitation(self, connection: psycopg.Connection[Any], user: str, email: str) -> None:
        """One more invitation of a user to an address; raises ApiError 429."""
        self.count(connection, INVITATIONS_OF_USER, user)
        self.count(connection, INVITATIONS_OF_ADDRESS, email)

    def gift(self, connection: psycopg.Connection[Any], user: str) -> None:
        """One more gift of a user; raises ApiError 429."""
        self.count(connection, GIFTS_OF_USER, user)

    def coupon(self, connection: psycopg.Connection[Any], origin: str, user: str) -> None:
        """One more code of a coupon shown by a user; raises ApiError 429."""
        self.count(connection, COUPONS_OF_ORIGIN, origin)
        self.count(connection, COUPONS_OF_USER, user)

    def coupon_good(self, connection: psycopg.Connection[Any], origin: str, user: str) -> None:
        """It was good: it does not count against who has many of them."""
        names = [self._name(COUPONS_OF_ORIGIN, origin), self._name(COUPONS_OF_USER, user)]
        connection.execute(
            "UPDATE attempt SET count = greatest(count - 1, 0) WHERE name = ANY(%s)", [names]
        )

    def sign_in(
        self, connection: psycopg.Connection[Any], origin: str, email: str, user_id: UUID | None
    ) -> None:
        """One more attempt to sign in; raises ApiError 429. Unknown addresses count as known.

        However an address is written, it is one: else each writing would be another ten guesses.
        """
        address = comparable(email)
        connection.execute(_TIDY, [KEPT_S])
        self.count(connection, ORIGIN, origin)
        self.count(connection, PAIR, origin, address)
        wait_s = self._over(connection, ACCOUNT, address)
        if wait_s and not self._known(connection, origin, user_id):
            raise _too_many(wait_s)

    def second_step(self, connection: psycopg.Connection[Any], origin: str, user_id: UUID) -> None:
        """One more code of somebody who has shown the first factor; raises ApiError 429."""
        self.count(connection, CODES_OF_PAIR, origin, str(user_id))
        wait_s = self._over(connection, CODES_OF_USER, str(user_id))
        if wait_s and not self._known(connection, origin, user_id):
            raise _too_many(wait_s)

    def proven(self, connection: psycopg.Connection[Any], origin: str, user_id: UUID) -> None:
        """What was shown was right: it does not count against who does much in an hour."""
        user = str(user_id)
        connection.execute(
            "DELETE FROM attempt WHERE name = %s", [self._name(CODES_OF_PAIR, origin, user)]
        )
        connection.execute(
            "UPDATE attempt SET count = greatest(count - 1, 0) WHERE name = %s",
            [self._name(CODES_OF_USER, user)],
        )

    def succeeded(
        self, connection: psycopg.Connection[Any], origin: str, email: str, user_id: UUID
    ) -> None:
        """The attempt was good: its pair is forgotten, its origin is known from now on."""
        address = comparable(email)
        pairs = [
            self._name(PAIR, origin, address),
            self._name(CODES_OF_PAIR, origin, str(user_id)),
        ]
        connection.execute("DELETE FROM attempt WHERE name = ANY(%s)", [pairs])
        names = [
            self._name(ORIGIN, origin),
            self._name(ACCOUNT, address),
            self._name(CODES_OF_USER, str(user_id)),
        ]
        connection.execute(
            "UPDATE attempt SET count = greatest(count - 1, 0) WHERE name = ANY(%s)", [names]
        )
        connection.execute(
            "INSERT INTO known_origin (user_id, origin) VALUES (%s, %s) "
            "ON CONFLICT (user_id, origin) DO UPDATE SET seen_at = clock_timestamp()",
            [user_id, self._vault.pseudonym("origin", origin)],
        )
        connection.execute(
            "DELETE FROM known_origin WHERE user_id = %s "
            "AND seen_at < clock_timestamp() - make_interval(days => %s)",
            [user_id, KNOWN_DAYS],
        )

    def _known(
        self, connection: psycopg.Connection[Any], origin: str, user_id: UUID | None
    ) -> bool:
        found = connection.execute(
            "SELECT FROM known_origin WHERE user_id = %s AND origin = %s "
            "AND seen_at > clock_timestamp() - make_interval(days => %s)",
            [user_id, self._vault.pseudonym("origin", origin), KNOWN_DAYS],
        ).fetchone()
        return found is not None

    def _over(self, connection: psycopg.Connection[Any], limit: Limit, *who: str) -> int:
        """Counts; the seconds to wait where that is one too many, else 0."""
        row = connection.execute(
            _COUNT, {"name": self._name(limit, *who), "window_s": limit.window_s}
        ).fetchone()
        count, left_s = row or (0, 0)
        return max(left_s, 1) if count > limit.most else 0

    def _name(self, limit: Limit, *who: str) -> str:
        return self._vault.pseudonym("attempt", limit.what, *who)


def _too_many(wait_s: int) -> ApiError:
    message = f"Too many attempts: try again in {wait_s} s."
    after = {"retry-after": str(wait_s)}
    return ApiError(429, "too_many_attempts", message, kind=RATE_LIMIT, headers=after)
