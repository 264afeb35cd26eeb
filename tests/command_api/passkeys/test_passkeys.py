"""Passkeys of a software authenticator open an account, and what only looks like one does not."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.second_factor.test_totp import enrolled
from tests.support.authenticator import PRESENT, Authenticator, b64
from tests.support.harness import TIMEOUT_S, eventually, running_gateway
from tests.support.people import PASSWORD, Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

ORIGIN = "https://gw.example.com:8443"


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One that knows its address."""
    url = f"{ORIGIN}/app"
    with running_gateway(database, tmp_path / "home", upstream, public_url=url) as made:
        yield made


@pytest.fixture
def ann(gateway: RunningGateway) -> Iterator[Person]:
    """Somebody who signed in."""
    person = Person(gateway)
    with closing(person.client):
        person.register()
        person.login()
        yield person


def options_of(person: Person) -> dict[str, Any]:
    """What the browser is asked."""
    return person.post("/auth/passkeys/register/options", password=PASSWORD)


def add(person: Person, device: Authenticator, name: str = "Phone") -> str:
    """Makes a passkey on a device."""
    credential = device.create(options_of(person))
    added = person.post("/auth/passkeys/register", credential=credential, name=name)
    passkey_id: str = added["passkey_id"]
    return passkey_id


def ask(person: Person) -> dict[str, Any]:
    """What the browser is asked who wants to sign in."""
    return person.post("/auth/passkeys/login/options")


def enter(person: Person, credential: dict[str, Any], status: int = 200) -> dict[str, Any]:
    """Shows an assertion."""
    answer = person.post("/auth/passkeys/login", status, credential=credential)
    if status == 401:
        assert answer["code"] == "invalid_passkey"
    return answer


def test_a_passkey_signs_in_without_a_name_and_without_a_second_step(
    ann: Person, gateway: RunningGateway
) -> None:
    """It is both factors; the owner is told of it (rule: access)."""
    device = Authenticator(ORIGIN)
    options = options_of(ann)
    assert (options["rp"]["id"], options["user"]["name"]) == ("gw.example.com", ann.address)
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    add(ann, device)
    enrolled(ann)
    asked = ask(ann)
    assert asked.get("allowCredentials", []) == []
    found = enter(ann, device.get(asked))
    with httpx.Client(base_url=gateway.url, timeout=TIMEOUT_S) as client:
        client.headers["authorization"] = f"Bearer {found['access_token']}"
        assert client.get("/user/profile").json()["email"] == ann.address
    eventually(lambda: any("A passkey opens" in each.get_content() for each in ann.mails()))
    with gateway.database.connect() as connection:
        rows = connection.execute("SELECT sealed::text FROM passkey").fetchall()
    assert "Phone" not in str(rows)
    assert device.credential_id.hex() not in str(rows)


def test_passkeys_are_listed_renamed_and_removed(ann: Person, gateway: RunningGateway) -> None:
    """One's own alone (rule: access)."""
    device = Authenticator(ORIGIN)
    first = add(ann, device)
    add(ann, Authenticator(ORIGIN), "Key")
    known = [each["id"] for each in options_of(ann)["excludeCredentials"]]
    assert b64(device.credential_id) in known
    bob = Person(gateway, "bob@example.com")
    with closing(bob.client):
        bob.register(username="bob")
        bob.login()
        assert bob.client.get("/auth/passkeys").json()["passkeys"] == []
        for method, body in (("PUT", {"name": "Mine"}), ("DELETE", {})):
            found = bob.client.request(method, f"/auth/passkeys/{first}", json=body)
            assert (found.status_code, found.json()["code"]) == (404, "passkey_not_found")
    assert (
        ann.client.put(f"/auth/passkeys/{first}", json={"name": " Old phone "}).status_code == 200
    )
    listed = ann.client.get("/auth/passkeys").json()["passkeys"]
    assert [each["name"] for each in listed] == ["Old phone", "Key"]
    assert ann.client.delete(f"/auth/passkeys/{first}").status_code == 200
    assert ann.client.delete(f"/auth/passkeys/{first}").status_code == 404
    assert ann.client.delete("/auth/passkeys/no-id").status_code == 404
    enter(ann, device.get(ask(ann)), 401)


@pytest.mark.parametrize(
    "client",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "https://gw.example.com"},
        {"origin": "http://gw.example.com:8443"},
        {"challenge": "x" * 43},
        {"challenge": ""},
        {"challenge": "ä"},
        {"type": "webauthn.get"},
    ],
)
def test_a_passkey_of_elsewhere_is_not_registered(ann: Person, client: dict[str, Any]) -> None:
    """Nor one for another question (rule: access)."""
    credential = Authenticator(ORIGIN).create(options_of(ann), **client)
    refused = ann.post("/auth/passkeys/register", 400, credential=credential)
    assert refused["code"] == "invalid_passkey"
    assert ann.client.get("/auth/passkeys").json()["total"] == 0


def test_a_registration_is_good_once_and_for_who_asked(
    ann: Person, gateway: RunningGateway
) -> None:
    """Not twice, not for another user, not under another RP id, not unverified (rule: access)."""
    device = Authenticator(ORIGIN)
    credential = device.create(options_of(ann))
    ann.post("/auth/passkeys/register", credential=credential)
    ann.post("/auth/passkeys/register", 400, credential=credential)
    again = device.create(options_of(ann))
    assert ann.post("/auth/passkeys/register", 400, credential=again)["code"] == "passkey_known"
    bob = Person(gateway, "bob@example.com")
    with closing(bob.client):
        bob.register(username="bob")
        bob.login()
        for made in (
            Authenticator(ORIGIN).create(options_of(ann)),
            Authenticator(ORIGIN, rp_id="example.com").create(options_of(bob)),
            Authenticator(ORIGIN, flags=PRESENT).create(options_of(bob)),
            Authenticator(ORIGIN, credential_id=device.credential_id).create(options_of(bob)),
        ):
            bob.post("/auth/passkeys/register", 400, credential=made)
        assert bob.client.get("/auth/passkeys").json()["total"] == 0


@pytest.mark.parametrize(
    "client",
    [
        {"origin": "https://evil.example.com"},
        {"challenge": "x" * 43},
        {"challenge": ""},
        {"type": "webauthn.create"},
    ],
)
def test_an_answer_to_another_question_opens_nothing(ann: Person, client: dict[str, Any]) -> None:
    """Another origin, challenge or ceremony (rule: access)."""
    device = Authenticator(ORIGIN)
    add(ann, device)
    enter(ann, device.get(ask(ann), **client), 401)
    enter(ann, device.get(ask(ann)))


def test_an_answer_is_good_once(ann: Person, gateway: RunningGateway) -> None:
    """Shown again, or by eight at once, it opens one session; late, none (rule: access)."""
    device = Authenticator(ORIGIN)
    add(ann, device)
    credential = device.get(ask(ann))

    def show(_: int) -> int:
        url, body = gateway.url + "/auth/passkeys/login", {"credential": credential}
        return httpx.post(url, json=body, timeout=TIMEOUT_S).status_code

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(show, range(8)))
    assert found == [200] + [401] * 7
    late = device.get(ask(ann))
    with gateway.database.connect() as connection:
        connection.execute("UPDATE once SET expires_at = clock_timestamp()")
    enter(ann, late, 401)
    enter(ann, device.get(options_of(ann)), 401)


def test_a_counter_that_goes_back_is_a_copy(ann: Person) -> None:
    """An authenticator that counts never counts backwards (rule: access)."""
    device = Authenticator(ORIGIN, counts=5)
    add(ann, device)
    enter(ann, device.get(ask(ann)))
    device.counts = 3
    enter(ann, device.get(ask(ann)), 401)
    device.counts = 5
    enter(ann, device.get(ask(ann)), 401)
    enter(ann, device.get(ask(ann)))


def test_copies_that_show_one_count_at_once_open_one_session(
    ann: Person, gateway: RunningGateway
) -> None:
    """All have read the counter before one of them moves it (rule: access)."""
    device = Authenticator(ORIGIN, counts=5)
    add(ann, device)
    shown = []
    for _ in range(4):
        device.counts = 5
        shown.append(device.get(ask(ann)))

    def show(credential: dict[str, Any]) -> int:
        url, body = gateway.url + "/auth/passkeys/login", {"credential": credential}
        return httpx.post(url, json=body, timeout=TIMEOUT_S).status_code

    def all_wait() -> bool:
        with gateway.database.connect_as_owner() as looking:
            row = looking.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
        return row is not None and row[0] == len(shown)

    with ThreadPoolExecutor(4) as pool:
        with gateway.database.connect() as connection, connection.transaction():
            connection.execute("SELECT FROM passkey FOR UPDATE")
            found = [pool.submit(show, each) for each in shown]
            eventually(all_wait)
        assert sorted(each.result() for each in found) == [200] + [401] * 3


def test_another_users_passkey_opens_that_users_account(
    ann: Person, gateway: RunningGateway
) -> None:
    """A handle, a key or an id of somebody else's do not mix (rule: access)."""
    device, theirs = Authenticator(ORIGIN), Authenticator(ORIGIN)
    add(ann, device)
    bob = Person(gateway, "bob@example.com")
    with closing(bob.client):
        bob.register(username="bob")
        bob.login()
        add(bob, theirs)
    mixed = copy.copy(theirs)
    mixed.user_handle = device.user_handle
    enter(ann, mixed.get(ask(ann)), 401)
    forged = copy.copy(device)
    forged.key = theirs.key
    enter(ann, forged.get(ask(ann)), 401)
    unknown = Authenticator(ORIGIN, rp_id="gw.example.com", user_handle=device.user_handle)
    enter(ann, unknown.get(ask(ann)), 401)
    unverified = copy.copy(device)
    unverified.flags = PRESENT
    enter(ann, unverified.get(ask(ann)), 401)
    nameless = device.get(ask(ann))
    del nameless["response"]["userHandle"]
    assert enter(ann, nameless)["user_id"] == ann.tokens["user_id"]


ODD: tuple[Any, ...] = ("", "AA", "é", "A" * 40_000, 5, {}, [])


def test_what_no_browser_sends_is_refused(ann: Person, gateway: RunningGateway) -> None:
    """400 or 401, never 500 (rule: bounded)."""
    device = Authenticator(ORIGIN)
    add(ann, device)
    for member in ("clientDataJSON", "authenticatorData", "signature", "userHandle"):
        with gateway.database.connect() as connection:
            connection.execute("DELETE FROM attempt")
        for value in ODD:
            credential = device.get(ask(ann))
            credential["response"][member] = value
            enter(ann, credential, 401)
    bodies: tuple[dict[str, Any], ...] = ({}, {"credential": None}, {"credential": "x"})
    for body in bodies:
        assert ann.client.post("/auth/passkeys/login", json=body).status_code == 400
    odd: tuple[dict[str, Any], ...] = ({}, {"id": "x"}, {"response": {"attestationObject": "oA"}})
    for credential in odd:
        refused = ann.post("/auth/passkeys/register", 400, credential=credential)
        assert refused["code"] == "invalid_passkey"


def test_only_who_shows_more_than_a_session_adds_one(ann: Person) -> None:
    """A stolen session opens no lasting way; nor does a key; there are so many (rule: access)."""
    path = "/auth/passkeys/register/options"
    assert ann.post(path, 401)["code"] == "invalid_second_factor"
    key = ann.post("/user/api-keys", key_name="thief")["api_key"]
    shown = {"authorization": f"Bearer {key}"}
    found = ann.client.post(path, json={"password": PASSWORD}, headers=shown)
    assert found.json()["code"] == "no_session"
    credential = Authenticator(ORIGIN).create(options_of(ann))
    for name in ("", "a\nb", "x" * 65):
        ann.post("/auth/passkeys/register", 400, credential=credential, name=name)
    last = options_of(ann)
    for number in range(20):
        add(ann, Authenticator(ORIGIN), f"Key {number}")
        with ann.gateway.database.connect() as connection:
            connection.execute("DELETE FROM attempt")
    refused = ann.client.post(path, json={"password": PASSWORD})
    assert (refused.status_code, refused.json()["code"]) == (400, "too_many_passkeys")
    ann.post("/auth/passkeys/register", 400, credential=Authenticator(ORIGIN).create(last))


def test_a_gateway_without_an_address_says_so(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """501 with the setting to set; a header is not believed instead (rule: refuse clearly)."""
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        person = Person(gateway)
        with closing(person.client):
            person.register()
            person.login()
            for path in ("/auth/passkeys/login/options", "/auth/passkeys/register/options"):
                found = person.client.post(path, json={}, headers={"host": "gw.example.com"})
                assert (found.status_code, found.json()["code"]) == (501, "passkeys_not_set_up")
                assert "GATEWAYZ_PUBLIC_URL" in found.json()["detail"]
