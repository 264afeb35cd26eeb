"""People register, verify, sign in, lose their password, and are not deceived."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from argon2 import PasswordHasher

from domain.identity.key_format import is_key
from domain.ledger.lots import TRIAL_NANO_USD
from tests.support.harness import TIMEOUT_S, eventually, running_gateway
from tests.support.people import NEW_PASSWORD, PASSWORD, Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream


@pytest.fixture
def meet(gateway: RunningGateway) -> Iterator[Callable[..., Person]]:
    """Makes people at the gateway."""
    with ExitStack() as people:

        def make(address: str = "ann@example.com") -> Person:
            person = Person(gateway, address)
            people.callback(person.client.close)
            return person

        yield make


def rows(database: Database, sql: str, *values: object) -> list[Any]:
    """What a query finds."""
    with database.connect() as connection:
        return connection.execute(sql, list(values)).fetchall()


def test_a_person_registers_verifies_and_calls(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """The key works at once, the trial begins with the mailed token, once (money rule 10)."""
    person = meet()
    made = person.register(environment_tag="test")
    assert is_key(made["api_key"])
    assert made["api_key"].startswith("gw_test_")
    assert (made["credits"], made["email"], made["username"]) == (0, "ann@example.com", "ann")
    token = person.token("Verify")
    for _ in range(2):
        status = 200 if _ == 0 else 400
        person.post("/auth/verify-email", status, token=token)
    with httpx.Client(base_url=gateway.url, timeout=20) as client:
        client.headers["authorization"] = f"Bearer {made['api_key']}"
        balance = client.get("/user/balance").json()
        assert balance["available_nano_usd"] == TRIAL_NANO_USD
        body = {"model": "simulator/echo", "messages": [{"role": "user", "content": "Hi"}]}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
    gateway.verified()


def test_an_address_and_a_name_are_given_once(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """Also written otherwise, and by many at the same instant (rule: contract)."""
    person = meet()
    with ThreadPoolExecutor(6) as pool:
        bodies = [
            {"email": each, "username": f"u{number}"}
            for number, each in enumerate(
                ["ann@example.com", "ANN@example.com", " ann@EXAMPLE.com", "ａnn@example.com"]
            )
        ]
        answers = list(pool.map(lambda body: person.client.post("/create", json=body), bodies))
    assert sorted(each.status_code for each in answers) == [200, 400, 400, 400]
    refused = next(each for each in answers if each.status_code == 400).json()
    assert refused["code"] == "already_registered"
    first = next(each for each in answers if each.status_code == 200).json()
    name = first["username"].upper()
    taken = person.post("/auth/register", 400, email="bob@example.com", username=name)
    assert "is taken" in taken["detail"]
    assert len(rows(gateway.database, "SELECT FROM user_secret")) == 1


def test_an_address_is_given_once_by_two_gateways_too(
    gateway: RunningGateway, tmp_path: Path, upstream: ScriptedUpstream, meet: Callable[..., Person]
) -> None:
    """Asked at the same instant, five times (rule: contract)."""
    first = meet().client
    with (
        running_gateway(gateway.database, tmp_path / "two", upstream) as other,
        httpx.Client(base_url=other.url, timeout=TIMEOUT_S) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        # The framework builds its routes at the first request, which two threads cannot do at once.
        assert [each.get("/nowhere").status_code for each in (first, second)] == [404, 404]
        for number in range(5):
            body = {"email": f"both{number}@example.com", "username": f"both{number}"}
            asked = [
                pool.submit(each.post, "/auth/register", json=body) for each in (first, second)
            ]
            assert sorted(each.result().status_code for each in asked) == [200, 400]


REFUSED: tuple[dict[str, Any], ...] = (
    {"email": "no address"},
    {"email": "аnn@example.com"},
    {"email": "a@example.com", "password": "short"},
    {"email": "a@example.com", "password": "password1"},
    {"email": "a@example.com", "environment_tag": "prod"},
    {"email": "a@example.com", "auth_method": "magic"},
    {"email": "a@example.com", "username": ""},
    {"email": 5},
    {},
    {"email": "a" * 1_000 + "@example.com"},
)


def test_a_registration_that_cannot_be_says_why(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """400 with what to do, and nothing is kept (rule: refuse clearly)."""
    person = meet()
    for body in REFUSED:
        found = person.client.post("/auth/register", json=body)
        assert found.status_code == 400, (body, found.text)
        expected = {"invalid_value", "invalid_type"} if body else {"missing_required_parameter"}
        assert found.json()["code"] in expected, (body, found.text)
    assert rows(gateway.database, "SELECT FROM user_secret") == []


def test_nothing_personal_stands_in_the_clear(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """Address, name and password are in no table and no event (P5)."""
    person = meet()
    person.register(username="ann-the-great")
    person.login()
    person.token("Verify")
    found = ""
    for (table,) in rows(
        gateway.database,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' "
        "AND table_type = 'BASE TABLE'",
    ):
        if table.startswith(("_yoyo", "yoyo")):
            continue
        for (row,) in rows(gateway.database, f'SELECT t::text FROM "{table}" t'):
            found += row
    states = rows(gateway.database, "SELECT convert_from(state, 'UTF8') FROM events")
    found += "".join(state for (state,) in states)
    for secret in ("ann@example.com", "ann-the-great", PASSWORD, "argon2", "127.0.0.1"):
        assert secret not in found
        assert secret.encode().hex() not in found


def test_a_session_opens_the_account_and_no_call(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """Access tokens are for people; calls need a key (rule: access)."""
    person = meet()
    person.register()
    answer = person.login()
    assert answer["expires_in"] == 900
    assert person.profile_status() == 200
    body = {"model": "simulator/echo", "messages": [{"role": "user", "content": "Hi"}]}
    assert person.client.post("/v1/chat/completions", json=body).status_code == 401
    (line,) = person.client.get("/auth/sessions").json()["sessions"]
    assert (line["current"], line["host"]) == (True, "127.0.0.1")
    assert person.client.post("/auth/logout").status_code == 200
    assert person.profile_status() == 401
    assert person.post("/auth/refresh", 401, refresh_token=answer["refresh_token"])["code"] == (
        "session_ended"
    )


def test_wrong_password_and_unknown_address_are_answered_alike(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """In text and status; both cost a hash (rule: access)."""
    person = meet()
    person.register()
    known = person.login(401, "not the password")
    unknown = meet("nobody@example.com").login(401, "not the password")
    assert known == unknown
    keyless = meet("none@example.com")
    keyless.post("/auth/register", email="none@example.com")
    assert keyless.login(401, "any password") == known


def test_a_refresh_token_is_good_once(gateway: RunningGateway, meet: Callable[..., Person]) -> None:
    """The next one comes with it; shown again later, it ends the session (rule: access)."""
    person = meet()
    person.register()
    first = person.login()["refresh_token"]
    second = person.post("/auth/refresh", refresh_token=first)["refresh_token"]
    assert second != first
    again = person.post("/auth/refresh", refresh_token=first)["refresh_token"]
    assert again == second, "a reply that was lost can be had again"
    with gateway.database.connect() as connection:
        connection.execute("UPDATE session SET rotated_at = rotated_at - interval '11 seconds'")
    stolen = person.post("/auth/refresh", 401, refresh_token=first)
    assert stolen["code"] == "refresh_token_reused"
    assert person.post("/auth/refresh", 401, refresh_token=second)["code"] == "session_ended"
    assert person.profile_status() == 401
    ((reason,),) = rows(
        gateway.database,
        "SELECT convert_from(state, 'UTF8')::json ->> 'reason' FROM events "
        "WHERE topic = 'session.ended.v1'",
    )
    assert reason == "reuse"


def test_two_who_refresh_at_once_get_the_same_token(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """A page with two tabs is no thief (rule: access)."""
    person = meet()
    person.register()
    token = person.login()["refresh_token"]
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda _: person.post("/auth/refresh", refresh_token=token)["refresh_token"],
                range(4),
            )
        )
    assert len(set(found)) == 1


def test_what_is_no_refresh_token_opens_nothing(meet: Callable[..., Person]) -> None:
    """It is refused, whatever it is (rule: refuse clearly)."""
    person = meet()
    for token in ("", "x", "gwr_", "gwr_" + "A" * 70, "gwr_é", "x" * 500):
        found = person.client.post("/auth/refresh", json={"refresh_token": token})
        assert found.status_code in {400, 401}, token


def test_a_lost_password_is_set_anew_and_all_sessions_end(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """By a token that is good once; the owner is told (rule: access)."""
    person = meet()
    person.register()
    person.login()
    asked = person.client.post("/auth/password-reset", params={"email": "ANN@example.com"})
    nobody = person.client.post("/auth/password-reset", params={"email": "no@example.com"})
    assert asked.json()["message"] == nobody.json()["message"]
    token = person.token("new password")
    weak = person.post("/auth/reset-password", 400, token=token, password="password1")
    assert "lists" in weak["detail"]
    person.post("/auth/reset-password", token=token, password=NEW_PASSWORD)
    assert person.profile_status() == 401
    person.login(401)
    person.login(password=NEW_PASSWORD)
    person.post("/auth/reset-password", 400, token=token, password="yet another one")
    eventually(lambda: any("was changed" in each["subject"] for each in person.mails()))


def test_a_mailed_token_ends_and_serves_one_purpose(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """One to verify an address sets no password; one that is over does nothing (rule: access)."""
    person = meet()
    person.register()
    token = person.token("Verify")
    person.post("/auth/reset-password", 400, token=token, password=NEW_PASSWORD)
    late = rows(
        gateway.database,
        "DELETE FROM mail_token RETURNING token_hash, user_id, purpose",
    )
    with gateway.database.connect() as connection:
        connection.execute("INSERT INTO mail_token VALUES (%s, %s, %s, clock_timestamp())", late[0])
    person.post("/auth/verify-email", 400, token=token)


def test_a_changed_password_keeps_the_session_that_changed_it(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """All others end (rule: access)."""
    person, elsewhere = meet(), meet()
    person.register()
    elsewhere.login()
    person.login()
    wrong = {"current_password": "not it at all", "new_password": NEW_PASSWORD}
    person.post("/auth/change-password", 401, **wrong)
    person.post("/auth/change-password", current_password=PASSWORD, new_password=NEW_PASSWORD)
    assert person.profile_status() == 200
    assert elsewhere.profile_status() == 401
    elsewhere.login(password=NEW_PASSWORD)


def test_guessing_is_stopped_and_locks_nobody_out(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """The pair of origin and address waits; others who know the password do not (rule: bounded)."""
    person, other = meet(), meet("bob@example.com")
    person.register()
    other.register(username="bob")
    for _ in range(10):
        person.login(401, "a wrong password")
    found = person.client.post("/auth/login", json={"email": person.address, "password": PASSWORD})
    assert found.status_code == 429
    assert found.json()["code"] == "too_many_attempts"
    assert 0 < int(found.headers["retry-after"]) <= 900
    other.login()


def test_an_address_that_is_under_attack_stays_open_to_its_owner(
    gateway: RunningGateway,
    meet: Callable[..., Person],
) -> None:
    """From where the owner signed in before, the count of all others does not matter (P12)."""
    person = meet()
    person.register()
    person.login()
    with gateway.database.connect() as connection:
        connection.execute("UPDATE attempt SET count = 10000")
        # Only the counts of this origin are small: the attack comes from elsewhere.
        names = rows(gateway.database, "SELECT name FROM attempt")
        assert names
    vault_names = _names(gateway, "127.0.0.1", person.address)
    with gateway.database.connect() as connection:
        connection.execute("UPDATE attempt SET count = 0 WHERE name = ANY(%s)", [vault_names])
    person.login()
    with gateway.database.connect() as connection:
        connection.execute("DELETE FROM known_origin")
    person.login(429)


def _names(gateway: RunningGateway, origin: str, address: str) -> list[str]:
    """What the counts of an origin, and of its pair with an address, are called."""
    vault = gateway.users()._vault
    return [
        vault.pseudonym("attempt", "origin", origin),
        vault.pseudonym("attempt", "pair", origin, address),
        vault.pseudonym("attempt", "register", origin),
    ]


def test_registrations_of_one_origin_are_limited(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """Ten in an hour by default (rule: bounded)."""
    person = meet()
    statuses = [
        person.client.post("/create", json={"email": f"u{n}@example.com"}).status_code
        for n in range(11)
    ]
    assert statuses == [200] * 10 + [429]


def test_a_password_is_hashed_anew_when_the_parameters_grow(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """At the next sign-in, unseen (rule: access)."""
    person = meet()
    made = person.register()
    users = gateway.users()
    vault = users._vault
    ((wrapped,),) = rows(gateway.database, "SELECT wrapped_key FROM user_secret")
    weak = vault.encrypt(bytes(wrapped), PasswordHasher(1, 1_024, 1).hash(PASSWORD).encode())
    with gateway.database.connect() as connection:
        connection.execute(
            "UPDATE user_secret SET sealed_password = %s WHERE user_id::text = %s",
            [weak, made["user_id"]],
        )
    users.close()
    person.login()
    ((sealed,),) = rows(gateway.database, "SELECT sealed_password FROM user_secret")
    assert "m=19456,t=2,p=1" in vault.decrypt(bytes(wrapped), bytes(sealed)).decode()
    person.login()


BAD_BODIES = (
    ("/auth/login", b"{"),
    ("/auth/login", b"[" * 10_000),
    ("/auth/login", b'{"email": "a@example.com", "password": "' + b"x" * 70_000 + b'"}'),
    ("/auth/register", b"\xff"),
    ("/auth/reset-password", b'{"token": "\\u0000", "password": "correct horse"}'),
    ("/auth/refresh", b'{"refresh_token": null}'),
    ("/auth/verify-email", b"null"),
)
BAD_TOKENS = ("a.b.c", "..", "eyJhbGciOiJub25lIn0.e30.", "é.é.é", "a.b." + "c" * 9_000)


def test_a_body_or_token_that_cannot_be_used_is_refused(meet: Callable[..., Person]) -> None:
    """400, 401 or 413, never 500; a token without a signature opens nothing (rule: bounded)."""
    person = meet()
    for path, raw in BAD_BODIES:
        found = person.client.post(path, content=raw)
        assert found.status_code in {400, 413}, found.text
    for token in BAD_TOKENS:
        shown = {b"authorization": f"Bearer {token}".encode()}
        assert person.client.get("/user/balance", headers=shown).status_code == 401


def test_who_signed_in_keeps_keys_of_their_own_alone(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """Makes, changes and deletes them; another user's are not there (rule: access)."""
    ann, bob = meet(), meet("bob@example.com")
    ann.register()
    theirs = bob.register(username="bob")["key_id"]
    ann.login()
    made = ann.post("/user/api-keys", key_name="laptop")
    assert is_key(made["api_key"])
    keys = ann.client.get("/user/api-keys").json()["keys"]
    mine = next(each["id"] for each in keys if each["key_name"] == "laptop")
    changed = ann.client.put(f"/user/api-keys/{mine}", json={"key_name": "desk"})
    assert changed.status_code == 200, changed.text
    for path, method, body in (
        (theirs, "PUT", {"key_name": "mine now"}),
        (theirs, "PUT", {"action": "rotate"}),
        (theirs, "DELETE", {"confirmation": "DELETE_KEY"}),
    ):
        found = ann.client.request(method, f"/user/api-keys/{path}", json=body)
        assert found.status_code == 404, found.text
    gone = ann.client.request(
        "DELETE", f"/user/api-keys/{mine}", json={"confirmation": "DELETE_KEY"}
    )
    assert gone.status_code == 200, gone.text
    assert rows(gateway.database, "SELECT count(*) FROM api_key WHERE NOT deleted") == [(2,)]


def test_who_signed_in_reads_what_a_key_reads(
    gateway: RunningGateway, meet: Callable[..., Person]
) -> None:
    """All routes of one's own account, also for somebody whose keys are gone (rule: access)."""
    ann = meet()
    made = ann.register()
    ann.login()
    users = gateway.users()
    for _ in range(2):
        for path in (
            *("/user/balance", "/user/credit-transactions", "/user/profile", "/user/api-keys"),
            *("/user/api-keys/usage", "/user/rate-limits", "/user/limit", "/audit"),
        ):
            found = ann.client.get(path)
            assert found.status_code == 200, (path, found.text)
        users.revoke_key(made["key_id"], "test")
    users.close()
