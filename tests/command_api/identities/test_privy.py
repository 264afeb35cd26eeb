"""`POST /auth`: Privy's clients sign in as they always did, but the token is verified."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from joserfc.jwk import ECKey

from domain.identity.key_format import is_key
from domain.ledger.lots import TRIAL_NANO_USD
from tests.command_api.second_factor.test_totp import as_if_later, enrolled
from tests.providers.login.test_login import KEY, privy_token
from tests.support.harness import TIMEOUT_S, running_gateway
from tests.support.people import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

ACCOUNTS = [{"type": "email", "address": "ann@example.com", "lv": 1}]
USER = {
    "id": "did:privy:somebody-else",
    "created_at": 1,
    "linked_accounts": [{"type": "email", "email": "boss@example.com"}],
    "mfa_methods": [],
    "has_accepted_terms": True,
    "is_guest": False,
}


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One that knows Privy's key."""
    key = KEY.as_pem(private=False).decode().replace("\n", "\\n")
    settings = {"privy_app_id": "app", "privy_verification_key": key}
    with running_gateway(database, tmp_path / "home", upstream, **settings) as made:
        yield made


_numbers = iter(range(10_000))


def token_of(**claims: Any) -> str:
    """A token that was not shown before."""
    return privy_token(sid=f"s{next(_numbers)}", **claims)


def show(gateway: RunningGateway, token: str, status: int = 200, **more: Any) -> dict[str, Any]:
    """Sign in with a token."""
    body = {"user": USER, "token": token, "is_new_user": True, **more}
    found = httpx.post(f"{gateway.url}/auth", json=body, timeout=TIMEOUT_S)
    assert found.status_code == status, found.text
    answer: dict[str, Any] = found.json()
    return answer


def test_a_privy_user_is_registered_once_and_found_by_the_tokens_subject(
    gateway: RunningGateway,
) -> None:
    """With the members that clients know; the body's word counts for nothing (money rule 10)."""
    first = show(gateway, token_of(linked_accounts=ACCOUNTS))
    assert first.keys() == {
        *("success", "message", "user_id", "api_key", "auth_method", "privy_user_id"),
        *("is_new_user", "display_name", "email", "credits", "timestamp"),
    }
    assert is_key(first["api_key"])
    assert (first["privy_user_id"], first["email"]) == ("did:privy:1", "ann@example.com")
    assert (first["is_new_user"], first["credits"]) == (True, 10)
    again = show(gateway, token_of())
    assert (again["user_id"], again["is_new_user"]) == (first["user_id"], False)
    assert again["api_key"] == first["api_key"]
    other = show(gateway, token_of(sub="did:privy:2"), email="bob@example.com")
    assert other["user_id"] != first["user_id"]
    with gateway.database.connect() as connection:
        everything = str(connection.execute("SELECT t::text FROM linked_identity t").fetchall())
        granted = connection.execute("SELECT granted FROM credit_account").fetchall()
    assert b"did:privy:1".hex() not in everything
    assert granted == [(TRIAL_NANO_USD,)]
    gateway.verified()


def test_an_address_of_the_body_is_not_verified_and_links_to_nobody(
    gateway: RunningGateway,
) -> None:
    """A new user has it, without a trial; an account that stands is not opened (rule: access)."""
    ann = Person(gateway)
    with closing(ann.client):
        ann.register()
        ann.post("/auth/verify-email", token=ann.token("Verify"))
        refused = show(gateway, token_of(), 403, email="ann@example.com")
        assert refused["code"] == "identity_not_linked"
        assert show(gateway, token_of(), 400)["code"] == "address_missing"
        made = show(gateway, token_of(), email="new@example.com")
        assert (made["is_new_user"], made["credits"]) == (True, 0)
        linked = show(gateway, token_of(sub="did:privy:7", linked_accounts=ACCOUNTS))
        assert (linked["email"], linked["is_new_user"]) == ("ann@example.com", False)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "x" * 16_000,
        privy_token(ECKey.generate_key("P-256")),
        privy_token(aud="other"),
        privy_token(iss="evil.io"),
        privy_token(exp=1),
    ],
    ids=["empty", "x", "dots", "long", "forged", "other app", "other issuer", "expired"],
)
def test_a_token_that_does_not_hold_makes_nobody(gateway: RunningGateway, token: str) -> None:
    """401, and nothing is kept (rule: access)."""
    assert show(gateway, token, 401, email="ann@example.com")["code"] == "login_refused"
    with gateway.database.connect() as connection:
        assert connection.execute("SELECT FROM user_secret").fetchall() == []


def test_a_token_is_good_once(gateway: RunningGateway) -> None:
    """Of eight who show it at once one gets in (rule: access)."""
    token = token_of(linked_accounts=ACCOUNTS)
    body = {"user": USER, "token": token}

    def send(_: int) -> int:
        return httpx.post(f"{gateway.url}/auth", json=body, timeout=TIMEOUT_S).status_code

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(send, range(8)))
    assert found == [200] + [401] * 7
    assert show(gateway, token, 401)["code"] == "login_refused"


def test_a_second_step_stands_before_the_key(gateway: RunningGateway) -> None:
    """A token of Privy's is one factor (rule: access)."""
    ann = Person(gateway)
    with closing(ann.client):
        ann.register()
        ann.post("/auth/verify-email", token=ann.token("Verify"))
        ann.login()
        totp, _ = enrolled(ann)
        as_if_later(gateway)
        found = show(gateway, token_of(linked_accounts=ACCOUNTS))
        assert found["mfa_required"] is True
        assert not {"api_key", "access_token", "email"} & found.keys()
        path, token = "/auth/login/second-step", found["second_step_token"]
        assert "access_token" in ann.post(path, second_step_token=token, code=totp.now())


def test_without_a_key_nothing_is_believed(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """501 with the settings to set, whatever the token (rule: refuse clearly)."""
    for settings in ({}, {"privy_app_id": "app"}):
        home = tmp_path / f"home{len(settings)}"
        with running_gateway(database, home, upstream, **settings) as gateway:
            found = show(gateway, token_of(), 501)
            assert found["code"] == "privy_not_set_up"
            assert "GATEWAYZ_PRIVY_VERIFICATION_KEY" in found["detail"]


def test_a_body_that_cannot_be_is_refused(gateway: RunningGateway) -> None:
    """400 or 413 (rule: bounded)."""
    for raw in (
        b"",
        b"[]",
        b'{"token": 5}',
        b'{"user": {}}',
        b'{"token": "' + b"x" * 17_000 + b'"}',
    ):
        found = httpx.post(f"{gateway.url}/auth", content=raw, timeout=TIMEOUT_S)
        assert found.status_code == 400, raw[:40]
    raw = b'{"token": "' + b"x" * 70_000 + b'"}'
    assert httpx.post(f"{gateway.url}/auth", content=raw, timeout=TIMEOUT_S).status_code == 413
