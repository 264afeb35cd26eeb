"""Users say who they are, change it, and leave without a trace that can be read."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from command_api.composition import place_of_secret
from command_api.identity.rotation import rotate
from command_api.identity.secret import open_vault
from command_api.identity.users import Users
from tests.support.harness import eventually
from tests.support.people import PASSWORD, Person

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

SECRETS = ("ann@example.com", "new@example.com", "ann-the-great", "Ann Example", "dark-theme")


@pytest.fixture
def ann(gateway: RunningGateway) -> Iterator[Person]:
    """Somebody who signed in."""
    person = Person(gateway)
    with closing(person.client):
        person.register(username="ann-the-great")
        person.login()
        yield person


def _put(person: Person, status: int = 200, **body: Any) -> dict[str, Any]:
    found = person.client.put("/user/profile", json=body)
    assert found.status_code == status, found.text
    answer: dict[str, Any] = found.json()
    return answer


def _leave(person: Person, **body: Any) -> httpx.Response:
    return person.client.request("DELETE", "/user/account", json=body)


def test_a_profile_has_the_members_that_clients_know(ann: Person) -> None:
    """Under their names, with what is not there yet as null (rule: contract)."""
    found = ann.client.get("/user/profile").json()
    for name in (
        *("user_id", "api_key", "credits", "username", "email", "auth_method"),
        *("subscription_status", "tier", "tier_display_name", "trial_expires_at"),
        *("subscription_end_date", "is_active", "registration_date", "created_at", "updated_at"),
    ):
        assert name in found
    assert (found["email"], found["username"]) == ("ann@example.com", "ann-the-great")
    assert (found["subscription_status"], found["email_verified"]) == ("inactive", False)
    assert found["api_key"].startswith("gw_live_...")
    ann.post("/auth/verify-email", token=ann.token("Verify"))
    found = ann.client.get("/user/profile").json()
    assert (found["subscription_status"], found["credits"]) == ("trial", 10)
    assert found["trial_expires_at"]


def test_what_is_given_changes_and_the_rest_stays(ann: Person) -> None:
    """Twice as once; nothing given is refused (rule: contract)."""
    for _ in range(2):
        _put(ann, name="Ann Example", preferences={"theme": "dark-theme"})
    found = _put(ann, settings={"a": [1, None, {"b": "c"}]})
    assert found["name"] == "Ann Example"
    assert found["preferences"] == {"theme": "dark-theme"}
    assert found["settings"] == {"a": [1, None, {"b": "c"}]}
    assert _put(ann, 400)["code"] == "invalid_value"
    assert _put(ann, 400, settings={"a": "x" * 20_000})["code"] == "invalid_value"
    assert _put(ann, 400, name=5)["code"] == "invalid_type"
    assert _put(ann, 400, email="no address")["code"] == "invalid_value"


def test_a_new_address_is_verified_anew_and_signs_in(ann: Person, gateway: RunningGateway) -> None:
    """The old one opens nothing any more; another user's is refused (rule: access)."""
    with closing(Person(gateway, "bob@example.com").client) as client:
        client.post("/create", json={"email": "bob@example.com"})
    ann.post("/auth/verify-email", token=ann.token("Verify"))
    assert _put(ann, 400, email="BOB@example.com")["code"] == "already_registered"
    found = _put(ann, email="new@example.com")
    assert (found["email"], found["email_verified"]) == ("new@example.com", False)
    ann.login(401)
    ann.address = "new@example.com"
    ann.login()
    ann.post("/auth/verify-email", token=ann.token("Verify"))
    assert ann.client.get("/user/profile").json()["email_verified"] is True


def test_who_leaves_is_read_nowhere_any_more(ann: Person, gateway: RunningGateway) -> None:
    """Not in the log, not in a table; keys and sessions open nothing, the books are right (P5)."""
    user = gateway.users()
    user.delete_key(user.create_key(ann.address, "gone before")[0])
    _, key = user.create_key(ann.address, "spare")
    user.close()
    _invite(gateway, ann.address, "new@example.com")
    _put(ann, name="Ann Example", preferences={"theme": "dark-theme"})
    _put(ann, email="new@example.com")
    ann.post("/auth/verify-email", token=ann.token("Verify"))
    body = {"model": "simulator/echo", "messages": [{"role": "user", "content": "Hi"}]}
    shown = {"authorization": f"Bearer {key}"}
    assert ann.client.post("/v1/chat/completions", json=body, headers=shown).status_code == 200
    wrapped = _one(gateway.database, "SELECT wrapped_key FROM user_secret ORDER BY user_id LIMIT 1")
    assert _leave(ann).status_code == 400
    assert _leave(ann, confirmation="yes").status_code == 400
    found = _leave(ann, confirmation="DELETE_ACCOUNT")
    assert found.status_code == 200, found.text
    assert ann.profile_status() == 401
    eventually(
        lambda: ann.client.post("/v1/chat/completions", json=body, headers=shown).status_code == 401
    )
    ann.login(401)
    assert _one(gateway.database, "SELECT count(*) FROM invitation") == 0
    everything = dump(gateway.database)
    for secret in (*SECRETS, PASSWORD):
        assert secret not in everything
        assert secret.encode().hex() not in everything
    assert bytes(wrapped).hex() not in everything
    assert gateway.verified().settled_nano_usd > 0
    again = Person(gateway)
    with closing(again.client):
        again.register(username="ann-the-great")


def test_addresses_survive_a_rotation_of_the_secret(gateway: RunningGateway) -> None:
    """The last address of a user, and the name, are found under the new secret (rule: access)."""
    ann = Person(gateway)
    with closing(ann.client):
        ann.register(username="ann-the-great")
        ann.login()
        _put(ann, email="new@example.com")
    gateway.stop()
    eventually(
        lambda: (
            not _one(
                gateway.database,
                "SELECT count(*) FROM process_lease WHERE expires_at > clock_timestamp()",
            )
        )
    )
    place, file = place_of_secret(gateway.settings), gateway.settings.installation.home / "new.key"
    rotate(gateway.database, place, file)
    new = type(place)(file=file, configured=None)
    vault = open_vault(gateway.database, new)
    users = Users(gateway.database, vault, actor="test")
    try:
        assert users.find_user("New@Example.com")
    finally:
        users.close()
    hashed = _one(gateway.database, "SELECT username_hash FROM user_secret")
    assert bytes(hashed) == vault.username_hash("Ann-the-Great")


def _invite(gateway: RunningGateway, *addresses: str) -> None:
    """Somebody else's organisation invites these addresses."""
    with gateway.client(gateway.user(0)) as client:
        made = client.post("/organisations", json={"name": "Example"}).json()
        path = f"/organisations/{made['id']}/invitations"
        for address in addresses:
            assert client.post(path, json={"email": address}).status_code == 200


def _one(database: Database, sql: str) -> Any:
    with database.connect() as connection:
        row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]


def dump(database: Database) -> str:
    """All rows of all tables as text, and all that the log says."""
    found = ""
    with database.connect_as_owner() as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' "
            "AND table_type = 'BASE TABLE'"
        ).fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(f'SELECT t::text FROM "{table}" t'):
                found += row
        for (state,) in connection.execute("SELECT convert_from(state, 'UTF8') FROM events"):
            found += state
    return found
