"""The audit over HTTP: one's own, anyone's for admins, whole as CSV and JSON."""

from __future__ import annotations

import csv
import io
import time
import tracemalloc
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.roles.commands import Actor, give_role
from domain.events.access import AdminRead
from domain.identity.permissions import Permission, Role
from edge.caller import Caller
from edge.spreadsheets import FORMULA, cell, csv_of
from event_store.ids import new_uuid7
from event_store.log.reading import read_after
from query_api.audit import exports

if TYPE_CHECKING:
    import httpx

    from command_api.identity.users import NewUser
    from tests.support.harness import RunningGateway

LINES = 100_000
PEAK_BYTES_MAX = 24_000_000
"""A tenth of what that many lines take at once."""


@pytest.fixture
def admin(gateway: RunningGateway) -> NewUser:
    """A user whom an operator made an admin."""
    user = gateway.user(0)
    operator = Actor("operator:cli")
    give_role(gateway.database, UUID(user.user_id), "admin", actor=operator, reason="house")
    return user


def ask(
    gateway: RunningGateway, by: NewUser, path: str = "/audit", **parameters: Any
) -> httpx.Response:
    """What a route answers."""
    named = {name.rstrip("_"): value for name, value in parameters.items()}
    with gateway.client(by) as client:
        return client.get(path, params=named)


def logs(told: httpx.Response) -> list[dict[str, Any]]:
    """The lines of an answer."""
    assert told.status_code == 200, told.text
    found: list[dict[str, Any]] = told.json()["logs"]
    return found


def notes(gateway: RunningGateway) -> list[tuple[str | None, str]]:
    """Whose data admins were shown, and where."""
    with gateway.database.connect() as connection:
        events = [each.event for each in read_after(connection, 0)]
    return [(each.user_id, each.route) for each in events if isinstance(each, AdminRead)]


def test_one_sees_what_was_done_to_oneself(gateway: RunningGateway, admin: NewUser) -> None:
    """At once, newest first, with before and after; and nothing of others (rule: access)."""
    user, other = gateway.user(), gateway.user()
    known = gateway.users()
    known.revoke_key(known.create_key(user.user_id, "spare")[0], "lost it")
    known.close()
    with gateway.client(admin) as client:
        body = {"user_id": user.user_id, "new_role": "developer", "reason": "asked"}
        assert client.post("/admin/roles/update", json=body).status_code == 200
    found = logs(ask(gateway, user))
    assert [each["action"] for each in found] == [
        "role.changed",
        "api_key.revoked",
        "api_key.created",
        "credits.granted",
        "api_key.created",
        "user.registered",
    ]
    assert {each["user_id"] for each in found} == {user.user_id}
    changed, revoked = found[:2]
    assert (changed["before"], changed["after"]) == ({"role": "user"}, {"role": "developer"})
    assert (changed["reason"], revoked["reason"]) == ("asked", "lost it")
    assert changed["actor_user_id"] == admin.user_id
    assert changed["origin"] == ""  # From where the admin did it is not the user's.
    (seen,) = logs(ask(gateway, admin, user_id=user.user_id, action="role.changed"))
    assert seen["origin"].startswith("origin-")
    assert len(logs(ask(gateway, other))) == 3
    assert notes(gateway) == [(user.user_id, "/audit")]
    assert logs(ask(gateway, user))[0]["action"] == "data.read"


def test_anothers_audit_is_for_admins(gateway: RunningGateway, admin: NewUser) -> None:
    """Others are refused whether there is such a user or not (rule: access)."""
    user, other = gateway.user(0), gateway.user(0)
    for asked in (other.user_id, str(new_uuid7()), "all", "x"):
        told = ask(gateway, user, user_id=asked)
        assert (told.status_code, told.json()["code"]) == (403, "forbidden")
    assert ask(gateway, user, "/admin/roles/audit/log").status_code == 403
    assert len(logs(ask(gateway, user, user_id=user.user_id))) == 2
    assert notes(gateway) == []
    for asked in (str(new_uuid7()), "x", ""):
        told = ask(gateway, admin, user_id=asked)
        assert (told.status_code, told.json()["code"]) == (404, "user_not_found")
    everything = logs(ask(gateway, admin, user_id="all", limit=1000))
    assert {each["user_id"] for each in everything} >= {user.user_id, other.user_id}
    assert notes(gateway) == [(None, "/audit")]


def test_an_admins_limited_key_sees_its_own_alone(
    gateway: RunningGateway, admin: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scopes that lack `admin` make an admin's key a user's (rule: access)."""
    from edge import access

    user, real = gateway.user(0), access.admit

    def limited(caller: Caller, permission: Permission) -> None:
        only = frozenset({Permission.READ_AUDIT})
        assert caller.role is Role.ADMIN
        names = Caller.__struct_fields__
        values = {name: getattr(caller, name) for name in names} | {"scopes": only}
        real(Caller(**values), permission)

    monkeypatch.setattr(access, "admit", limited)
    monkeypatch.setattr("query_api.audit.routes.admit", limited)
    assert ask(gateway, admin).status_code == 200
    told = ask(gateway, admin, user_id=user.user_id)
    assert (told.status_code, told.json()["code"]) == (403, "insufficient_scope")
    assert ask(gateway, admin, "/admin/roles/audit/log").json()["code"] == "insufficient_scope"


def test_absurd_filters_are_refused(gateway: RunningGateway, admin: NewUser) -> None:
    """Each names what it should be; none is taken for something else (rule: refuse clearly)."""
    day = {"from_": "2026-02-01", "to": "2026-01-01"}
    for given, status in (
        ({"action": "api_key.burnt"}, 400),
        ({"action": ""}, 400),
        ({"from_": "yesterday"}, 400),
        ({"from_": "0001-01-01T00:00:00+23:00"}, 400),
        ({"to": "9999-12-31T23:59:59-23:00"}, 400),
        ({"to": "2026-13-01"}, 400),
        (day, 400),
        ({"limit": 0}, 422),
        ({"limit": -5}, 422),
        ({"limit": 10**40}, 422),
        ({"offset": -1}, 422),
        ({"offset": 10**12}, 422),
        ({"cursor": 0}, 422),
        ({"cursor": 2**63}, 422),
        ({"cursor": "x"}, 422),
        ({"format": "xml"}, 422),
        ({"format": "csv", "offset": 5}, 400),
        ({"format": "csv", "limit": 0}, 400),
        ({"format": "csv", "limit": exports.EXPORT_LINES_MAX + 1}, 400),
        ({"user": admin.user_id}, 400),
        ({"user_id": "x" * 2_000}, 400),
    ):
        told = ask(gateway, admin, **given)
        assert told.status_code == status, (given, told.text)
    for given, status in (
        ({"key_id": "x"}, 404),
        ({"key_id": str(new_uuid7())}, 404),
        ({"action": "burn"}, 400),
        ({"start_date": "x"}, 400),
        ({"start_date": "2026-02-01", "end_date": "2026-01-01"}, 400),
        ({"limit": 0}, 422),
    ):
        told = ask(gateway, admin, "/user/api-keys/audit-logs", **given)
        assert told.status_code == status, (given, told.text)
    assert ask(gateway, admin, "/admin/roles/audit/log", user_id="x").status_code == 404
    assert ask(gateway, admin, "/admin/roles/audit/log", limit=-1).status_code == 422
    assert ask(gateway, admin, offset=10**7).json()["logs"] == []
    assert ask(gateway, admin, cursor=1).json()["logs"] == []
    assert ask(gateway, admin, from_="2999-01-01").json()["logs"] == []
    assert ask(gateway, admin, to="0001-01-01").json()["logs"] == []


def test_a_time_and_a_cursor_cut_the_lines(gateway: RunningGateway, admin: NewUser) -> None:
    """`from` is within, `to` is not; pages join (rule: contract)."""
    whole = logs(ask(gateway, admin))
    assert len(whole) == 3
    middle = whole[1]["booked_at"]
    after, before = logs(ask(gateway, admin, from_=middle)), logs(ask(gateway, admin, to=middle))
    assert after + before == whole
    first = ask(gateway, admin, limit=2).json()
    second = ask(gateway, admin, limit=2, cursor=first["next_cursor"]).json()
    assert first["logs"] + second["logs"] == whole
    assert second["next_cursor"] is None
    assert logs(ask(gateway, admin, limit=2, offset=1)) == whole[1:]


def test_the_audit_of_keys_has_the_fields_that_clients_know(gateway: RunningGateway) -> None:
    """Under the names that they have for what is done to keys (rule: contract)."""
    user, other, known = gateway.user(), gateway.user(), gateway.users()
    key_id, _ = known.create_key(user.user_id, "spare")
    known.rotate_key(key_id, timedelta(hours=1))
    known.revoke_key(key_id, "test")
    known.close()
    path = "/user/api-keys/audit-logs"
    told = ask(gateway, user, path).json()
    assert (told["status"], told["total_logs"]) == ("success", 4)
    assert [each["action"] for each in told["logs"]] == ["delete", "rotate", "create", "create"]
    of_key = ask(gateway, user, path, key_id=key_id).json()
    assert (of_key["total_logs"], len(of_key["logs"])) == (3, 3)
    created = of_key["logs"][-1]
    assert created["details"]["after"]["name"] == "spare"
    assert (created["user_id"], created["key_id"]) == (user.user_id, key_id)
    (rotated,) = ask(gateway, user, path, action="rotate", key_id=key_id).json()["logs"]
    assert rotated["action"] == "rotate"
    assert ask(gateway, user, path, limit=1).json()["total_logs"] == 4
    assert ask(gateway, user, path, start_date="2999-01-01").json()["total_logs"] == 0
    assert ask(gateway, other, path, key_id=key_id).status_code == 404


def test_the_audit_of_roles_is_for_admins_and_says_who_and_why(
    gateway: RunningGateway, admin: NewUser
) -> None:
    """One's, or all; an operator is named as such (rule: contract)."""
    user, path = gateway.user(0), "/admin/roles/audit/log"
    with gateway.client(admin) as client:
        body = {"user_id": user.user_id, "new_role": "developer"}
        assert client.post("/admin/roles/update", json=body).status_code == 200
    told = ask(gateway, admin, path).json()
    assert told["total"] == len(told["logs"]) == 2
    assert [(each["old_role"], each["new_role"]) for each in told["logs"]] == [
        ("user", "developer"),
        ("user", "admin"),
    ]
    assert [each["changed_by"] for each in told["logs"]] == [admin.user_id, "operator:cli"]
    assert [each["reason"] for each in told["logs"]] == ["", "house"]
    of_user = ask(gateway, admin, path, user_id=user.user_id, limit=1).json()
    assert (of_user["total"], of_user["logs"]) == (1, told["logs"][:1])
    assert notes(gateway) == [(None, path), (user.user_id, path)]


def test_an_export_has_every_line_and_no_formula(
    gateway: RunningGateway, admin: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CSV and JSON say the same, in parts of any size (rule: wire)."""
    user, known = gateway.user(), gateway.users()
    for number, first in enumerate(FORMULA):
        name = f"{first if first.isprintable() else ''}1+{number}"
        known.revoke_key(known.create_key(user.user_id, name)[0], f"{first}SUM(A1)")
    known.close()
    monkeypatch.setattr(exports, "PART_LINES", 4)
    whole = logs(ask(gateway, user, limit=1000))
    as_json = ask(gateway, user, format="json")
    assert as_json.json() == whole
    as_csv = ask(gateway, user, format="csv")
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in as_csv.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(as_csv.text, newline="")))
    assert [each["id"] for each in rows] == [each["id"] for each in whole]
    for row, line in zip(rows, whole, strict=True):
        assert not [each for each in row.values() if each.startswith(FORMULA)]
        assert row["reason"].lstrip("'").replace("\r", " ") == line["reason"].replace("\r", " ")
    assert len(ask(gateway, user, format="json", limit=5).json()) == 5
    assert ask(gateway, user, format="json", from_="2999-01-01").json() == []
    assert ask(gateway, user, format="csv", from_="2999-01-01").text.count("\n") == 1
    monkeypatch.setattr(exports, "EXPORT_LINES_MAX", 9)
    told = ask(gateway, user, format="csv")
    assert (told.status_code, told.json()["code"]) == (400, "period_too_long")


@pytest.mark.parametrize("text", [*(f"{first}1" for first in FORMULA), " =1", "\n=1", "a\rb"])
def test_a_cell_is_no_formula(text: str) -> None:
    """However it begins, and it stays in its line (rule: wire)."""
    assert not cell(text).lstrip(" \n").startswith(FORMULA)
    ((back,),) = csv.reader(io.StringIO(csv_of([[text]]), newline=""))
    assert back == cell(text)
    assert cell(-5) == -5
    assert cell("plain") == "plain"


def test_an_export_of_many_lines_takes_little_memory(
    gateway: RunningGateway, admin: NewUser
) -> None:
    """Though its reader is slow: what is not yet sent is not yet read (rule: bounded)."""
    with gateway.database.connect_as_owner() as connection:
        connection.execute(
            "INSERT INTO read_audit_log_v1 (position, event_id, booked_at, actor, actor_kind, "
            "action, subject_kind, subject_id, user_id, origin, before, after, reason) "
            "SELECT -n, gen_random_uuid(), now() - n * interval '1 s', 'x', 'system', "
            "'role.changed', 'user', '', %s, '', '{}', '{}', repeat('because ', 20) "
            "FROM generate_series(1, %s) n",
            [admin.user_id, LINES],
        )
        connection.execute("ANALYZE read_audit_log_v1")
    assert ask(gateway, admin, limit=1).status_code == 200
    tracemalloc.start()
    try:
        count = size = 0
        with (
            gateway.client(admin) as client,
            client.stream("GET", "/audit", params={"format": "csv"}) as told,
        ):
            assert told.status_code == 200
            for number, part in enumerate(told.iter_bytes()):
                if number == 0:
                    time.sleep(1)
                count += part.count(b"\n")
                size += len(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == LINES + 3 + 1
    assert size > PEAK_BYTES_MAX
    assert peak < PEAK_BYTES_MAX


def test_what_a_key_did_its_user_did(gateway: RunningGateway, admin: NewUser) -> None:
    """Of an event that names nobody but the key (rule: observable)."""
    user = gateway.user(0)
    with gateway.client(admin) as client:
        body = {"api_key": user.api_key, "credits": 3, "reason": "thanks"}
        got = client.post("/admin/add_credits", json=body)
        assert got.status_code == 200, got.text
    found = logs(ask(gateway, admin, user_id=user.user_id, action="credits.granted"))
    assert (found[0]["actor_kind"], found[0]["actor_user_id"]) == ("api_key", admin.user_id)
