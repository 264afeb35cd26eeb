"""An authenticator is enrolled, asked for, lost and switched off, and nobody gets around it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest

from tests.support.harness import TIMEOUT_S, eventually, running_gateway
from tests.support.people import NEW_PASSWORD, PASSWORD, Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.harness import RunningGateway, ScriptedUpstream


@pytest.fixture
def ann(gateway: RunningGateway) -> Iterator[Person]:
    """Somebody who signed in."""
    person = Person(gateway)
    with closing(person.client):
        person.register()
        person.login()
        yield person


def enrolled(person: Person) -> tuple[pyotp.TOTP, list[str]]:
    """An authenticator, and the recovery codes."""
    secret = person.post("/auth/totp", password=PASSWORD)["secret"]
    totp = pyotp.TOTP(secret)
    codes: list[str] = person.post("/auth/totp/confirm", code=totp.now())["recovery_codes"]
    return totp, codes


def as_if_later(gateway: RunningGateway) -> None:
    """No code was shown lately, and nobody has tried."""
    with gateway.database.connect() as connection:
        connection.execute("UPDATE user_secret SET totp_step = 0")
        connection.execute("DELETE FROM attempt")


def first_step(person: Person) -> str:
    """Shows the password; the token for the second step."""
    answer = person.post("/auth/login", email=person.address, password=PASSWORD)
    assert answer["mfa_required"] is True
    assert "access_token" not in answer
    token: str = answer["second_step_token"]
    return token


def second_step(person: Person, token: str, code: str, status: int = 200) -> dict[str, Any]:
    """Shows a code."""
    path = "/auth/login/second-step"
    return person.post(path, status, second_step_token=token, code=code)


def test_a_code_is_asked_for_once_it_was_shown(ann: Person, gateway: RunningGateway) -> None:
    """Not before; the secret is shown once, the owner is told (rule: access)."""
    made = ann.post("/auth/totp", password=PASSWORD)
    uri = urlsplit(made["otpauth_url"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query)["secret"] == [made["secret"]]
    ann.login()
    assert ann.client.get("/auth/second-factor").json() == {"totp": False, "recovery_codes_left": 0}
    totp = pyotp.TOTP(made["secret"])
    wrong = str((int(totp.now()) + 1) % 1_000_000).zfill(6)
    assert ann.post("/auth/totp/confirm", 401, code=wrong)["code"] == "invalid_second_factor"
    codes = ann.post("/auth/totp/confirm", code=totp.now())["recovery_codes"]
    assert len(set(codes)) == 10
    assert ann.client.get("/auth/second-factor").json() == {"totp": True, "recovery_codes_left": 10}
    eventually(lambda: any("opens your account" in each["subject"] for each in ann.mails()))
    as_if_later(gateway)
    found = second_step(ann, first_step(ann), totp.now())
    ann.client.headers["authorization"] = f"Bearer {found['access_token']}"
    assert ann.profile_status() == 200
    (event,) = _told(gateway, "user.totp_enabled.v1")
    assert totp.secret not in event
    assert "password+totp" in "".join(_told(gateway, "session.began.v1"))


def _told(gateway: RunningGateway, topic: str) -> list[str]:
    with gateway.database.connect() as connection:
        rows = connection.execute(
            "SELECT convert_from(state, 'UTF8') FROM events WHERE topic = %s", [topic]
        ).fetchall()
    return [state for (state,) in rows]


def test_a_code_is_good_once_at_all_gateways(
    ann: Person, gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Of eight who show it at the same instant to two gateways, one gets in (rule: access)."""
    totp, _ = enrolled(ann)
    as_if_later(gateway)
    with running_gateway(gateway.database, tmp_path / "other", upstream) as other:
        tokens = [first_step(ann) for _ in range(5)]
        code = totp.now()

        def show(number: int) -> int:
            url = (gateway, other)[number % 2].url + "/auth/login/second-step"
            body = {"second_step_token": tokens[number % 5], "code": code}
            return httpx.post(url, json=body, timeout=TIMEOUT_S).status_code

        with ThreadPoolExecutor(8) as pool:
            found = sorted(pool.map(show, range(8)))
    assert found == [200] + [401] * 7
    assert second_step(ann, first_step(ann), code, 401)["code"] == "invalid_second_factor"


def test_a_clock_may_be_a_step_off_and_no_more(ann: Person, gateway: RunningGateway) -> None:
    """Codes of thirty seconds before and ahead count, those further away do not (rule: bounded)."""
    totp, _ = enrolled(ann)
    for off_s, status in ((-90, 401), (90, 401), (-25, 200), (25, 200)):
        as_if_later(gateway)
        second_step(ann, first_step(ann), totp.at(int(time.time()) + off_s), status)


def test_a_code_before_the_last_one_is_over(ann: Person, gateway: RunningGateway) -> None:
    """Also when it was never shown itself (rule: access)."""
    totp, _ = enrolled(ann)
    as_if_later(gateway)
    now = int(time.time())
    second_step(ann, first_step(ann), totp.at(now + 29))
    second_step(ann, first_step(ann), totp.at(now - 1), 401)


def test_a_second_step_ends_with_its_use_and_its_password(
    ann: Person, gateway: RunningGateway
) -> None:
    """It is good once, for minutes, and not for another password (rule: access)."""
    _, codes = enrolled(ann)
    as_if_later(gateway)
    token = first_step(ann)
    second_step(ann, token, codes[0])
    assert second_step(ann, token, codes[1], 401)["code"] == "second_step_over"
    token = first_step(ann)
    with gateway.database.connect_as_owner() as connection:
        connection.execute("UPDATE once SET expires_at = clock_timestamp()")
    assert second_step(ann, token, codes[1], 401)["code"] == "second_step_over"
    token = first_step(ann)
    ann.post("/auth/change-password", current_password=PASSWORD, new_password=NEW_PASSWORD)
    assert second_step(ann, token, codes[1], 401)["code"] == "second_step_over"
    assert second_step(ann, "x" * 43, codes[1], 401)["code"] == "second_step_over"


def test_recovery_codes_are_good_once_and_can_be_made_anew(
    ann: Person, gateway: RunningGateway
) -> None:
    """However they are written; new ones end the old ones (rule: access)."""
    totp, codes = enrolled(ann)
    as_if_later(gateway)
    second_step(ann, first_step(ann), codes[0].upper().replace("-", " "))
    second_step(ann, first_step(ann), codes[0], 401)
    assert ann.client.get("/auth/second-factor").json()["recovery_codes_left"] == 9
    assert ann.post("/auth/totp/recovery-codes", 401)["code"] == "invalid_second_factor"
    fresh = ann.post("/auth/totp/recovery-codes", code=totp.now())["recovery_codes"]
    assert not set(fresh) & set(codes)
    second_step(ann, first_step(ann), codes[1], 401)
    second_step(ann, first_step(ann), fresh[0])


@pytest.mark.parametrize("how", ["password", "totp", "recovery_code"])
def test_it_is_switched_off_by_who_can_show_something(
    ann: Person, gateway: RunningGateway, how: str
) -> None:
    """A session alone does not suffice (rule: access)."""
    totp, codes = enrolled(ann)
    as_if_later(gateway)
    proof = {
        "password": {"password": PASSWORD},
        "totp": {"code": totp.now()},
        "recovery_code": {"code": codes[3]},
    }[how]
    for wrong in ({}, {"password": "not it at all"}, {"code": "aaaa-aaaa-aaaa-aaaa"}):
        found = ann.client.request("DELETE", "/auth/totp", json=wrong)
        assert (found.status_code, found.json()["code"]) == (401, "invalid_second_factor")
    assert ann.client.request("DELETE", "/auth/totp", json=proof).status_code == 200
    assert ann.client.request("DELETE", "/auth/totp", json=proof).status_code in {400, 401}
    ann.login()
    assert how in "".join(_told(gateway, "user.totp_disabled.v1"))
    enrolled(ann)


def test_a_session_alone_enrols_nothing_and_a_key_does_not_either(
    ann: Person, gateway: RunningGateway
) -> None:
    """Or a thief would lock the owner out (rule: access)."""
    assert ann.post("/auth/totp", 401)["code"] == "invalid_second_factor"
    assert ann.post("/auth/totp", 401, password="not it at all")["code"] == "invalid_second_factor"
    assert ann.post("/auth/totp/confirm", 400, code="123456")["code"] == "totp_off"
    made = ann.post("/user/api-keys", key_name="thief")
    with httpx.Client(base_url=gateway.url, timeout=TIMEOUT_S) as client:
        client.headers["authorization"] = f"Bearer {made['api_key']}"
        for method, path in (
            *(("POST", "/auth/totp"), ("POST", "/auth/totp/confirm"), ("DELETE", "/auth/totp")),
            ("POST", "/auth/totp/recovery-codes"),
        ):
            found = client.request(method, path, json={"password": PASSWORD, "code": "123456"})
            assert (found.status_code, found.json()["code"]) == (400, "no_session")
    enrolled(ann)
    assert ann.post("/auth/totp", 400, password=PASSWORD)["code"] == "totp_on"


def test_two_who_confirm_at_once_leave_one_set_of_recovery_codes(
    ann: Person, gateway: RunningGateway
) -> None:
    """Whoever was shown codes can use them (rule: access)."""
    totp = pyotp.TOTP(ann.post("/auth/totp", password=PASSWORD)["secret"])
    code = totp.now()
    token = ann.client.headers["authorization"]

    def confirm(_: int) -> httpx.Response:
        url, body = gateway.url + "/auth/totp/confirm", {"code": code}
        return httpx.post(url, json=body, headers={"authorization": token}, timeout=TIMEOUT_S)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(confirm, range(4)))
    (won,) = (each for each in found if each.status_code == 200)
    assert {each.status_code for each in found} <= {200, 400}
    assert len(_told(gateway, "user.totp_enabled.v1")) == 1
    second_step(ann, first_step(ann), won.json()["recovery_codes"][0])


def test_guessing_codes_is_stopped_and_locks_no_owner_out(
    ann: Person, gateway: RunningGateway
) -> None:
    """Ten from one origin, thirty from all where the owner was never (rule: bounded)."""
    _, codes = enrolled(ann)
    as_if_later(gateway)
    token = first_step(ann)
    for _ in range(10):
        second_step(ann, token, "000000", 401)
    found = second_step(ann, token, codes[0], 429)
    assert found["code"] == "too_many_attempts"
    vault = gateway.users()._vault
    user = ann.tokens["user_id"]
    here = vault.pseudonym("attempt", "codes", "127.0.0.1", user)
    with gateway.database.connect() as connection:
        connection.execute("UPDATE attempt SET count = 10000")
        connection.execute("DELETE FROM attempt WHERE name = %s", [here])
    second_step(ann, token, codes[0])
    with gateway.database.connect() as connection:
        connection.execute("DELETE FROM known_origin")
        connection.execute("DELETE FROM attempt WHERE name = %s", [here])
        connection.execute("UPDATE attempt SET count = 10000")
        connection.execute(
            "DELETE FROM attempt WHERE name <> %s", [vault.pseudonym("attempt", "codes-user", user)]
        )
    second_step(ann, first_step(ann), codes[1], 429)


def test_what_is_shown_rightly_does_not_count(ann: Person, gateway: RunningGateway) -> None:
    """Who does much in an hour is no guesser (rule: access)."""
    enrolled(ann)
    for _ in range(12):
        ann.post("/auth/totp/recovery-codes", password=PASSWORD)


def test_an_address_is_one_however_it_is_written(ann: Person) -> None:
    """Capitals are no further guesses (rule: bounded)."""
    for number in range(10):
        address = ann.address.upper() if number % 2 else ann.address
        ann.post("/auth/login", 401, email=address, password="not it at all")
    ann.post("/auth/login", 429, email="aNN@example.com", password=PASSWORD)


BAD = ("", "12345", "1" * 65, "abc\ndef", "١٢٣٤٥٦", "nul\x00")


def test_what_is_no_code_is_refused(ann: Person) -> None:
    """400, whatever it is (rule: refuse clearly)."""
    enrolled(ann)
    for code in BAD:
        found = ann.client.post(
            "/auth/login/second-step", json={"second_step_token": "x", "code": code}
        )
        assert found.status_code in {400, 401}, code
        found = ann.client.request("DELETE", "/auth/totp", json={"code": code})
        assert found.status_code in {400, 401}, code
