"""Commands on keys: one at a time for a user, by what the log says, and nothing in the clear."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from cryptography.fernet import InvalidToken

from command_api.identity.key_orders import Maker, NewKey
from command_api.identity.rotation import rotate
from command_api.identity.secret import Place, open_vault
from command_api.identity.users import Users
from command_api.identity.vault import Vault
from domain.errors import DomainError, InvalidCommandError
from domain.events.identity import ApiKeyChanged
from domain.identity.api_keys import (
    BeyondOwnLimitsError,
    KeyChangedError,
    LastKeyError,
    NameTakenError,
    TooManyKeysError,
    UnknownKeyError,
)
from domain.identity.key_format import Environment
from event_store.log.aggregates import Aggregates
from projections.hosting.verify import verify
from tests.support.history import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database

OPERATOR = Maker("test")
NONE = timedelta()
THREADS = 8


class People:
    """A user with a first key, and the commands."""

    def __init__(self, database: Database) -> None:
        """Registered just now."""
        self.database = database
        self.known = Users(database, Vault(SECRET), actor="test", keys_max=10)
        self.keys = self.known.keys
        self.user: NewUser = self.known.create_user("ann@example.com")
        self.user_id, self.account_id = UUID(self.user.user_id), UUID(self.user.account_id)
        self.first = UUID(self.user.key_id)

    def create(self, name: str, maker: Maker = OPERATOR, **more: Any) -> UUID:
        """Another key."""
        new = NewKey(name=name, **more)
        return UUID(self.keys.create(self.user_id, self.account_id, new, maker).key_id)

    def at_once(self, *commands: Callable[[], object]) -> list[type[DomainError] | None]:
        """What becomes of commands that come at the same time: their errors."""

        def run(command: Callable[[], object]) -> type[DomainError] | None:
            try:
                command()
            except DomainError as error:
                return type(error)
            return None

        with ThreadPoolExecutor(len(commands)) as threads:
            return list(threads.map(run, commands))

    def select(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows."""
        with self.database.connect_as_owner() as connection:
            return connection.execute(query, values).fetchall()


@pytest.fixture
def people(database: Database) -> Iterator[People]:
    """Whose keys, at the end, are those of the log."""
    made = People(database)
    yield made
    made.known.close()
    assert verify(database).differences == []


def test_of_two_keys_of_one_name_there_is_one(people: People) -> None:
    """At any concurrency; names of deleted keys are free again (rule: two commands)."""
    errors = people.at_once(*[lambda: people.create("same")] * THREADS)
    assert sorted(map(str, errors)) == sorted(map(str, [None, *[NameTakenError] * (THREADS - 1)]))
    ((key_id,),) = people.select("SELECT key_id FROM api_key WHERE name = 'same'")
    people.keys.delete(key_id, OPERATOR)
    people.create("same")
    numbered = NewKey(name="same", numbered=True)
    made = people.keys.create(people.user_id, people.account_id, numbered, OPERATOR)
    assert made.name == "same 2"


def test_nobody_gets_more_keys_than_the_most(people: People) -> None:
    """At any concurrency (rule: bounded)."""
    commands = [lambda name=f"key {n}": people.create(name) for n in range(14)]
    errors = people.at_once(*commands)
    assert errors.count(TooManyKeysError) == 5
    assert errors.count(None) == 9
    with pytest.raises(TooManyKeysError, match="at most 10 keys"):
        people.create("one more")


def test_the_last_way_in_stays_open_when_all_are_closed_at_once(people: People) -> None:
    """One of the commands is refused, whichever comes last (rule: two commands)."""
    others = [people.create(f"key {n}") for n in range(3)]
    made = [people.first, *others]
    errors = people.at_once(
        *(lambda each=each: people.keys.delete(each, OPERATOR) for each in made[:2]),
        *(
            lambda each=each: people.keys.change(each, OPERATOR, {"is_active": False}, {})
            for each in made[2:]
        ),
    )
    assert errors.count(LastKeyError) == 1
    assert errors.count(None) == 3


def test_changes_at_once_are_all_in_the_log(people: People) -> None:
    """Each from what the one before it left (rule: two commands, rule: observable)."""
    names = [f"name {n}" for n in range(THREADS)]
    errors = people.at_once(
        *(
            lambda each=each: people.keys.change(people.first, OPERATOR, {"name": each}, {})
            for each in names
        )
    )
    assert errors == [None] * THREADS
    log = Aggregates(people.database)
    changes = [e for e in log.events_of(people.first) if isinstance(e, ApiKeyChanged)]
    log.close()
    told = ["primary", *(each.after["name"] for each in changes)]
    assert [each.before["name"] for each in changes] == told[:-1]
    assert sorted(told[1:]) == names
    assert not people.keys.change(people.first, OPERATOR, {"name": told[-1]}, {})


def test_lists_are_changed_one_by_one(people: People) -> None:
    """A list that is not given stays, an empty one is lifted (rule: access)."""
    key = people.create("key", limits={"scopes": ["read:usage"], "models": ["m"]})

    def limits() -> Any:
        return people.select("SELECT limits FROM api_key WHERE key_id = %s", key)[0][0]

    assert limits() == {"scopes": ["read:usage"], "models": ["m"]}
    people.keys.change(key, OPERATOR, {}, {"models": [], "ip_allowlist": ["10.0.0.0/8"]})
    assert limits() == {"scopes": ["read:usage"], "ip_allowlist": ["10.0.0.0/8"]}
    people.keys.change(key, OPERATOR, {}, {"scopes": [], "ip_allowlist": []})
    assert limits() is None


def test_what_is_deleted_is_not_there(people: People) -> None:
    """For whatever command, and for ever (rule: refuse clearly)."""
    key = people.create("key")
    people.keys.delete(key, OPERATOR)
    for command in (
        lambda: people.keys.change(key, OPERATOR, {"is_active": True}, {}),
        lambda: people.keys.rotate(key, OPERATOR, NONE),
        lambda: people.keys.delete(key, OPERATOR),
        lambda: people.keys.revoke(key, OPERATOR, ""),
        lambda: people.known.find_key(str(key)),
        lambda: people.create("x", Maker("api_key", key)),
    ):
        with pytest.raises(UnknownKeyError):
            command()
    with pytest.raises(UnknownKeyError):
        people.keys.rotate(UUID(int=0), OPERATOR, NONE)


def test_a_key_past_its_end_is_not_rotated(people: People) -> None:
    """Nor with all the others (rule: access)."""
    key = people.create("key")
    past = "2020-01-01T00:00:00.000000Z"
    people.keys.change(key, OPERATOR, {"expires_at": past}, {})
    with pytest.raises(InvalidCommandError, match="ended at 2020"):
        people.keys.rotate(key, OPERATOR, NONE)
    assert people.keys.rotate_others(people.user_id, Maker("x", people.first), NONE) == []


def test_a_key_gives_nobody_more_than_it_has(people: People) -> None:
    """Neither a new key, nor another, nor itself; it writes no wider key anew (rule: access)."""
    own = {"scopes": ["read:usage", "write:api_keys"], "models": ["m"]}
    maker = Maker("api_key", people.create("small", limits=own))
    assert maker.key is not None
    within = {"scopes": ["read:usage"], "models": ["m"]}
    made = people.create("within", maker, limits=within)
    wider: list[dict[str, list[str]]] = [{}, {"scopes": own["scopes"]}]
    for more in (*wider, {**within, "models": ["m", "n"]}):
        with pytest.raises(BeyondOwnLimitsError):
            people.create("more", maker, limits=more)
    for key in (maker.key, made):
        lifted: list[dict[str, list[str]]] = [{"scopes": []}, {"models": []}]
        for each in (*lifted, {"scopes": ["write:chat"]}):
            with pytest.raises(BeyondOwnLimitsError):
                people.keys.change(key, maker, {}, each)
    for command in (
        lambda: people.keys.rotate(people.first, maker, NONE),
        lambda: people.keys.rotate_others(people.user_id, maker, NONE),
    ):
        with pytest.raises(BeyondOwnLimitsError):
            command()
    assert people.keys.rotate(made, maker, NONE).key_id == str(made)
    assert people.keys.rotate(maker.key, maker, NONE).key_id == str(maker.key)
    assert people.keys.change(people.first, maker, {}, {"ip_allowlist": ["10.0.0.0/8"]})


@pytest.mark.parametrize("closed", ["revoked", "inactive", "limited", "ended"])
def test_a_key_that_was_closed_meanwhile_changes_nothing(people: People, closed: str) -> None:
    """What let its request in may be a second old: one just revoked makes no key (rule: access)."""
    key, other = people.create("leaked"), people.create("other")
    maker = Maker("api_key", key)
    if closed == "revoked":
        people.keys.revoke(key, OPERATOR, "leaked")
    elif closed == "inactive":
        people.keys.change(key, OPERATOR, {"is_active": False}, {})
    elif closed == "ended":
        people.keys.change(key, OPERATOR, {"expires_at": "2020-01-01T00:00:00.000000Z"}, {})
    else:
        people.keys.change(key, OPERATOR, {}, {"scopes": ["read:usage"]})
    for command in (
        lambda: people.create("more", maker),
        lambda: people.keys.change(other, maker, {"name": "x"}, {}),
        lambda: people.keys.rotate(other, maker, NONE),
        lambda: people.keys.rotate_others(people.user_id, maker, NONE),
        lambda: people.keys.delete(other, maker),
    ):
        with pytest.raises(KeyChangedError, match="may not do this any more"):
            command()


def test_all_others_are_rotated_together(people: People) -> None:
    """Of one environment, where it is named; not who asks, not what is closed (rule: access)."""
    maker = Maker("api_key", people.first)
    live, test = people.create("a"), people.create("b", environment=Environment.TEST)
    off = people.create("c")
    people.keys.change(off, OPERATOR, {"is_active": False}, {})
    rotated = people.keys.rotate_others(people.user_id, maker, NONE)
    assert [UUID(each.key_id) for each in rotated] == [live, test]
    only = people.keys.rotate_others(people.user_id, maker, NONE, "test")
    assert [(UUID(each.key_id), each.name) for each in only] == [(test, "b")]
    assert only[0].api_key.startswith("gw_test_")
    assert len(people.keys.rotate_others(people.user_id, OPERATOR, NONE)) == 3


def test_whole_keys_are_kept_encrypted_alone(people: People, tmp_path: Path) -> None:
    """The newest writing, sealed anew with the secret; no table has one in the clear (P5)."""
    made = people.keys.rotate(people.first, OPERATOR, NONE)
    other = people.create("other")
    ends = datetime.now(UTC) + timedelta(days=1)
    people.create("third", expires_at=ends, limits={"models": ["m"]})

    def sealed(key_id: object) -> list[bytes]:
        query = "SELECT sealed FROM sealed_api_key WHERE key_id = %s"
        return [bytes(row[0]) for row in people.select(query, key_id)]

    assert [Vault(SECRET).unseal_key(each) for each in sealed(people.first)] == [made.api_key]
    tables = people.select(
        "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
    )
    for (table,) in tables:
        for (row,) in people.select(f"SELECT t::text FROM {table} t"):
            assert made.api_key not in row
            assert made.api_key.encode().hex() not in row
    people.keys.revoke(other, OPERATOR, "")
    assert sealed(other) == []
    place = Place(file=tmp_path / "secret", configured=SECRET.decode())
    open_vault(people.database, place)
    done = rotate(people.database, place, tmp_path / "next")
    assert (done.keys, done.unreadable) == (2, 0)
    new = Vault((tmp_path / "next").read_bytes().strip())
    assert new.unseal_key(sealed(people.first)[0]) == made.api_key
    with pytest.raises(InvalidToken):
        Vault(SECRET).unseal_key(sealed(people.first)[0])
    people.select("UPDATE sealed_api_key SET sealed = 'garbage' RETURNING 1")
    again = Place(file=tmp_path / "next")
    assert rotate(people.database, again, tmp_path / "third").unreadable == 2
