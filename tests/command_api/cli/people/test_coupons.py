"""Coupons from a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from projections.hosting.verify import verify
from tests.command_api.cli.people.test_roles import Shell

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

ANN, UNTIL = "ann@example.com", ("--until", "2090-01-01")


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """With a user."""
    made = Shell(database, tmp_path)
    made.run("user", "create", "--email", ANN)
    return made


def test_an_operator_keeps_coupons(shell: Shell, database: Database) -> None:
    """Made, listed, changed, ended and begun again, as admins do over HTTP (rule: contract)."""
    (made,) = shell.told("coupon", "create", "hello-1", "--value", "5", "--max-uses", "9", *UNTIL)
    assert (made["code"], made["value_usd"], made["scope"]) == ("HELLO-1", "5.000000000", "global")
    (own,) = shell.told("coupon", "create", "ANNS", "--value", "1", "--user", ANN, *UNTIL)
    assert (own["scope"], own["max_uses"]) == ("user_specific", 1)
    assert own["assigned_to_user_id"]
    assert [each["code"] for each in shell.told("coupon", "list")] == ["ANNS", "HELLO-1"]
    assert "HELLO-1  5.000000000 USD  0 of 9 used" in shell.run("coupon", "list")
    of = made["coupon_id"]
    (changed,) = shell.told("coupon", "change", of, "--max-uses", "3", "--description", "more")
    assert (changed["max_uses"], changed["description"]) == (3, "more")
    (ended,) = shell.told("coupon", "deactivate", of)
    assert ended["is_active"] is False
    assert "inactive" in shell.run("coupon", "list")
    assert shell.told("coupon", "change", of, "--activate")[0]["is_active"] is True
    assert shell.told("coupon", "show", of)[0]["max_uses"] == 3
    (log,) = shell.told("audit", "list", "--action", "coupon.deactivated")
    assert log["actor"] == "operator:cli"
    assert verify(database).differences == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "a", "--value", "5", *UNTIL), "3 to 50 characters"),
        (("create", "СОDE", "--value", "5", *UNTIL), "3 to 50 characters"),
        (("create", "CODE", "--value", "0", *UNTIL), "more than 0"),
        (("create", "CODE", "--value", "1000.5", *UNTIL), "at most 1000"),
        (("create", "CODE", "--value", "5", "--until", "2020-01-01"), "valid_until"),
        (("create", "CODE", "--value", "5", "--max-uses", "0", *UNTIL), "max_uses"),
        (("create", "CODE", "--value", "5", "--user", "bob@example.com", *UNTIL), "no user"),
        (("show", "00000000-0000-7000-8000-000000000007"), "no coupon"),
        (("deactivate", "00000000-0000-7000-8000-000000000007"), "no coupon"),
        (
            ("change", "00000000-0000-7000-8000-000000000007", "--until", "soon"),
            "no day or instant",
        ),
    ],
)
def test_what_cannot_be_is_said(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    """In one line (rule: refuse clearly)."""
    assert said in shell.run("coupon", *arguments, status=1)
