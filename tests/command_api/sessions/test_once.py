"""What is good once, is: for one purpose, for its time, and so many at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from command_api.identity.vault import Vault
from command_api.sessions.once import (
    LOGIN_CODE,
    OF_NOBODY_MAX,
    OF_USER_MAX,
    SECOND_STEP,
    STATE,
    Once,
)
from edge.errors import ApiError
from event_store.ids import new_uuid7
from tests.support.history import SECRET

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ONCE = Once(Vault(SECRET))


def test_a_token_is_spent_by_one_of_many(database: Database) -> None:
    """And says what was said with it, for its purpose alone (rule: access)."""
    with database.connect() as connection:
        token = ONCE.give(connection, STATE, path="/a")
        assert ONCE.spend(connection, token, LOGIN_CODE) is None
        found = ONCE.look(connection, token, STATE)
        assert found is not None
        assert found.said == {"path": "/a"}

    def spend(_: int) -> bool:
        with database.connect() as connection:
            return ONCE.spend(connection, token, STATE) is not None

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(spend, range(8))) == [False] * 7 + [True]


def test_of_many_tokens_of_a_user_the_oldest_end(database: Database) -> None:
    """Those of others and of other purposes stay; all of a user's can be ended (rule: bounded)."""
    ann, bob = new_uuid7(), new_uuid7()
    with database.connect() as connection:
        other = ONCE.give(connection, SECOND_STEP, bob)
        code = ONCE.give(connection, LOGIN_CODE, ann)
        tokens = [ONCE.give(connection, SECOND_STEP, ann) for _ in range(OF_USER_MAX + 1)]
        good = [ONCE.look(connection, each, SECOND_STEP) is not None for each in tokens]
        assert good == [False] + [True] * OF_USER_MAX
        assert ONCE.look(connection, other, SECOND_STEP)
        assert ONCE.look(connection, code, LOGIN_CODE)


def test_a_token_of_another_secret_or_time_stands_for_nothing(database: Database) -> None:
    """Nor does one whose note cannot be read (rule: refuse clearly)."""
    with database.connect() as connection:
        token = ONCE.give(connection, STATE)
        assert (
            Once(Vault(b"another secret, as long as the first")).look(connection, token, STATE)
            is None
        )
        connection.execute("UPDATE once SET sealed_note = 'x'")
        assert ONCE.look(connection, token, STATE) is None
        late = ONCE.give(connection, STATE)
        connection.execute("UPDATE once SET expires_at = clock_timestamp()")
        assert ONCE.spend(connection, late, STATE) is None


def test_what_others_gave_is_shown_once(database: Database) -> None:
    """While it holds; what is over goes by itself (rule: bounded)."""
    with database.connect() as connection:
        assert ONCE.first(connection, "token", time.time() + 60)
        assert not ONCE.first(connection, "token", time.time() + 60)
        assert ONCE.first(connection, "over", time.time() - 1)
        ONCE.give(connection, STATE)
        row = connection.execute("SELECT count(*) FROM once").fetchone()
        assert row == (2,)


def test_so_many_may_begin_at_once(database: Database) -> None:
    """Beyond that it is said; users go on (rule: bounded)."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO once SELECT sha256(n::text::bytea), 'state', NULL, 'x', 'infinity' "
            "FROM generate_series(1, %s) n",
            [OF_NOBODY_MAX],
        )
        with pytest.raises(ApiError) as refused:
            ONCE.give(connection, STATE)
        assert (refused.value.status, refused.value.code) == (503, "login_busy")
        ONCE.give(connection, SECOND_STEP, new_uuid7())
        connection.execute("UPDATE once SET expires_at = clock_timestamp() WHERE purpose = 'state'")
        ONCE.give(connection, SECOND_STEP, new_uuid7())
        ONCE.give(connection, STATE)
