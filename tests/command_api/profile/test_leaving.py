"""Who leaves takes along every way in, and every mail that waits."""

from __future__ import annotations

import base64
import hashlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from command_api.composition import place_of_secret, vault_of
from command_api.identity.rotation import rotate
from command_api.identity.secret import open_vault
from command_api.sessions.once import SECOND_STEP
from event_store.beside.inline_state import OF_A_USER
from tests.command_api.identities.test_privy import show, token_of
from tests.command_api.identities.test_sign_in_elsewhere import begin, enter
from tests.command_api.passkeys.test_passkeys import add, ask
from tests.command_api.profile.test_profile import dump
from tests.command_api.second_factor.test_totp import as_if_later, enrolled
from tests.providers.login.test_login import KEY
from tests.support.authenticator import Authenticator
from tests.support.harness import ASK, eventually, running_gateway
from tests.support.login_double import CLIENT, SECRET, LoginDouble, login_double
from tests.support.people import PASSWORD, Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

PUBLIC, ORIGIN = "https://gw.example.com/app", "https://gw.example.com"
FREE = {**ASK, "model": "local/free"}
SUBJECT, PRIVY_SUBJECT = "subject-of-ann-9172", "did:privy:ann-6612"


@pytest.fixture
def double() -> Iterator[LoginDouble]:
    """A provider at which she is somebody."""
    with login_double() as made:
        made.person["sub"] = SUBJECT
        yield made


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, double: LoginDouble
) -> Iterator[RunningGateway]:
    """One with every way in, and with nobody who takes mails."""
    settings = {
        "public_url": PUBLIC,
        "oidc_issuer": double.url,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET,
        "privy_app_id": "app",
        "privy_verification_key": KEY.as_pem(private=False).decode(),
        "smtp_url": "smtp://127.0.0.1:1",
        "response_cache_across_accounts": True,
    }
    with running_gateway(database, tmp_path / "home", upstream, **settings) as made:
        yield made


def verified(gateway: RunningGateway) -> None:
    """As if the address had been verified; no mail arrives here."""
    with gateway.database.connect() as connection:
        connection.execute("UPDATE user_secret SET email_verified = true")


def rows(gateway: RunningGateway, table: str) -> list[Any]:
    """All rows of a table."""
    with gateway.database.connect() as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def test_who_leaves_takes_every_way_in_along(gateway: RunningGateway) -> None:
    """Authenticator, codes, passkeys, links, Privy, challenges, waiting mails (P5)."""
    ann, device = Person(gateway), Authenticator(ORIGIN, counts=7)
    with closing(ann.client):
        key = ann.register()["api_key"]
        headers = {"Authorization": f"Bearer {key}", "x-gatewayz-cache": "shared"}
        told = ann.client.post("/v1/chat/completions", json=FREE, headers=headers)
        assert (told.status_code, told.headers["x-gatewayz-cache-shared"]) == (200, "miss")
        ann.login()
        verified(gateway)
        enter(gateway)
        accounts = [{"type": "email", "address": ann.address, "lv": 1}]
        show(gateway, token_of(sub=PRIVY_SUBJECT, linked_accounts=accounts))
        add(ann, device, "Ann's own phone")
        totp, codes = enrolled(ann)
        as_if_later(gateway)
        token = ann.post("/auth/login", email=ann.address, password=PASSWORD)["second_step_token"]
        begin(gateway)
        ask(ann)
        for table in OF_A_USER:
            assert rows(gateway, table), f"nothing is in {table} to be taken along"
        vault = vault_of(gateway.settings, gateway.database)
        hashes = [
            hashlib.sha256(device.credential_id).digest(),
            vault.identity_hash("oidc", SUBJECT),
            vault.identity_hash("privy", PRIVY_SUBJECT),
            vault.email_hash(ann.address),
            vault.token_hash(f"{SECOND_STEP}\n{token}"),
        ]
        before = dump(gateway.database)
        for each in hashes:
            assert each.hex() in before
        body = {"confirmation": "DELETE_ACCOUNT"}
        assert ann.client.request("DELETE", "/user/account", json=body).status_code == 200
        for table in OF_A_USER:
            left = rows(gateway, table)
            assert not left or table == "once", table
            assert all(row[2] is None for row in left)
        everything = dump(gateway.database)
        public = device.key.public_key().public_numbers().x.to_bytes(32, "big")
        secrets = [
            *(ann.address, PASSWORD, totp.secret, *codes, SUBJECT, PRIVY_SUBJECT, "own phone"),
            base64.b64encode(device.credential_id).decode(),
        ]
        for secret in secrets:
            assert secret not in everything
            assert secret.encode().hex() not in everything
        for raw in (*hashes, device.credential_id, public):
            assert raw.hex() not in everything
        path = "/auth/login/second-step"
        ann.post(path, 401, second_step_token=token, code=totp.now())
        ann.post("/auth/passkeys/login", 401, credential=device.get(ask(ann)))
        again = enter(gateway)
        assert again["user_id"] != ann.tokens["user_id"], "a new account of the same person"


def test_ways_in_survive_a_rotation_of_the_secret(
    gateway: RunningGateway, double: LoginDouble, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Links are hashed anew; passkeys, authenticators and codes need nothing (rule: access)."""
    ann, device = Person(gateway), Authenticator(ORIGIN)
    with closing(ann.client):
        ann.register()
        ann.login()
        verified(gateway)
        enter(gateway)
        add(ann, device)
        _, codes = enrolled(ann)
    gateway.stop()
    eventually(
        lambda: (
            not [each for each in rows(gateway, "process_lease WHERE expires_at > now()") if each]
        )
    )
    place, file = place_of_secret(gateway.settings), tmp_path / "new.key"
    rotate(gateway.database, place, file)
    new = type(place)(file=file, configured=None)
    vault = open_vault(gateway.database, new)
    (link,) = rows(gateway, "linked_identity")
    assert bytes(link[0]) == vault.identity_hash("oidc", SUBJECT)
    settings = {"public_url": PUBLIC, "secret_file": file, "secret_key": None}
    with running_gateway(gateway.database, tmp_path / "next", upstream, **settings) as following:
        ann = Person(following)
        with closing(ann.client):
            ann.post("/auth/passkeys/login", credential=device.get(ask(ann)))
            token = ann.post("/auth/login", email=ann.address, password=PASSWORD)
            shown = {"second_step_token": token["second_step_token"], "code": codes[0]}
            ann.post("/auth/login/second-step", **shown)
