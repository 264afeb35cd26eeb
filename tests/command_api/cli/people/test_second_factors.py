"""Whoever lost every second factor is let in by an operator, who says why."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.command_api.cli.people.test_roles import Shell
from tests.command_api.passkeys.test_passkeys import ORIGIN, add, ask, enter
from tests.command_api.second_factor.test_totp import enrolled
from tests.support.authenticator import Authenticator
from tests.support.harness import RunningGateway, running_gateway
from tests.support.people import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One that knows its address."""
    with running_gateway(database, tmp_path / "home", upstream, public_url=ORIGIN) as made:
        yield made


def test_an_operator_takes_second_factors_away(
    gateway: RunningGateway, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password stays, the passkey does not, the audit has the reason (rule: access)."""
    secret = gateway.settings.identity.secret_key
    assert secret is not None
    monkeypatch.setenv("GATEWAYZ_SECRET_KEY", secret)
    shell = Shell(database, gateway.settings.installation.home)
    ann, device = Person(gateway), Authenticator(ORIGIN)
    with closing(ann.client):
        ann.register()
        ann.login()
        enrolled(ann)
        add(ann, device)
        verb = ("user", "reset-second-factors")
        assert "a reason is needed" in shell.run(*verb, ann.address, "--reason", " ", status=1)
        assert "there is no user" in shell.run(*verb, "no@example.com", "--reason", "x", status=1)
        assert "Missing option" in shell.run(*verb, ann.address, status=1)
        (told,) = shell.told(*verb, ann.address, "--reason", "lost the phone, seen in person")
        assert told == {"user_id": ann.tokens["user_id"], "reset": True}
        ann.login()
        enter(ann, device.get(ask(ann)), 401)
        assert ann.client.get("/auth/second-factor").json()["totp"] is False
        assert ann.client.get("/auth/passkeys").json()["total"] == 0
    (line,) = shell.told("audit", "list", "--action", "user.second_factors_reset")
    assert line["reason"] == "lost the phone, seen in person"
    assert line["actor"] == "operator:cli"
