"""Roles over HTTP: who may change whose, and how soon that counts."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.roles import commands as module
from command_api.roles.commands import Actor, give_role
from domain.errors import InvalidCommandError, LastAdminError
from domain.events.access import AdminRead, UserRoleChanged
from domain.identity.permissions import ROLES, Permission, Role
from edge.access import admit
from edge.caller import Caller
from edge.errors import ApiError
from event_store.beside.user_roles import read_holders
from event_store.ids import new_uuid7
from event_store.log.reading import read_after
from projections.hosting.verify import verify
from tests.support.harness import eventually, running_gateway
from tests.support.history import History

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from command_api.identity.users import NewUser
    from domain.events.base import Event
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

OPERATOR = Actor("operator:cli")


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One that would keep a key in its cache for an hour."""
    with running_gateway(database, tmp_path / "home", upstream, key_cache_s=3600) as serving:
        yield serving


def admin_of(gateway: RunningGateway) -> NewUser:
    """A user whom an operator made an admin."""
    user = gateway.user(0)
    give_role(gateway.database, UUID(user.user_id), "admin", actor=OPERATOR, reason="test")
    return user


def update(gateway: RunningGateway, by: NewUser, of: str, role: str, **more: Any) -> httpx.Response:
    """Ask for a role."""
    with gateway.client(by) as client:
        body = {"user_id": of, "new_role": role, **more}
        return client.post("/admin/roles/update", json=body)


def role(gateway: RunningGateway, by: NewUser, of: str) -> httpx.Response:
    """Ask which role somebody has."""
    with gateway.client(by) as client:
        return client.get(f"/admin/roles/{of}")


def events_of(database: Database, kind: type[Event]) -> list[Any]:
    """The events of a type in the log."""
    with database.connect() as connection:
        return [each.event for each in read_after(connection, 0) if isinstance(each.event, kind)]


def users_of(database: Database) -> list[UUID]:
    """All users who have not left."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT user_id FROM user_secret WHERE wrapped_key IS NOT NULL ORDER BY 1"
        ).fetchall()
    return [user for (user,) in rows]


def test_an_admin_gives_a_role_and_the_log_says_so(gateway: RunningGateway) -> None:
    """With the reason, or visibly without one; the address only as a keyed hash (P5)."""
    admin, user = admin_of(gateway), gateway.user(0)
    told = update(gateway, admin, user.user_id, "developer", reason="writes our client")
    assert told.status_code == 200, told.text
    assert told.json() == {
        "success": True,
        "message": f"User {user.user_id} is developer, and was user.",
    }
    assert update(gateway, admin, user.user_id, "user").status_code == 200
    first, second = events_of(gateway.database, UserRoleChanged)[1:]
    assert (first.from_role, first.to_role, first.reason) == (
        "user",
        "developer",
        "writes our client",
    )
    assert (first.by_user_id, first.actor) == (admin.user_id, f"api_key:{admin.key_id}")
    assert first.origin.startswith("origin-")
    assert "127.0.0.1" not in first.origin
    assert (second.from_role, second.to_role, second.reason) == ("developer", "user", "")
    again = update(gateway, admin, user.user_id, "user").json()
    assert again["message"] == f"User {user.user_id} is user, and had this role already."
    assert len(events_of(gateway.database, UserRoleChanged)) == 3
    gateway.verified()


def test_a_role_counts_at_once_though_keys_are_cached(
    gateway: RunningGateway, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Here with the answer, in another process within a second, both ways (rule: access)."""
    admin, other = admin_of(gateway), gateway.user(0)
    with running_gateway(gateway.database, tmp_path / "two", upstream, key_cache_s=3600) as second:

        def there(by: NewUser) -> int:
            return role(second, by, other.user_id).status_code

        assert role(gateway, other, other.user_id).status_code == there(other) == 403
        assert update(gateway, admin, other.user_id, "admin").status_code == 200
        assert role(gateway, other, other.user_id).status_code == 200
        began = time.monotonic()
        eventually(lambda: there(other) == 200, 1.0)
        assert update(gateway, admin, other.user_id, "user").status_code == 200
        assert role(gateway, other, other.user_id).status_code == 403
        eventually(lambda: there(other) == 403, 1.0)
        assert time.monotonic() - began < 3


def test_what_cannot_be_is_refused(gateway: RunningGateway) -> None:
    """Each in words, by a code of its own; nothing is changed (rule: refuse clearly)."""
    admin, user = admin_of(gateway), gateway.user(0)
    missing = str(new_uuid7())
    for of, wanted, status, code in (
        (user.user_id, "owner", 400, "unknown_role"),
        (user.user_id, "", 400, "unknown_role"),
        (admin.user_id, "user", 400, "own_role"),
        (admin.user_id, "admin", 400, "own_role"),
        (missing, "admin", 404, "user_not_found"),
        ("ann@example.com", "admin", 404, "user_not_found"),
        ("", "admin", 404, "user_not_found"),
    ):
        told = update(gateway, admin, of, wanted)
        assert (told.status_code, told.json()["code"]) == (status, code), told.text
    long = update(gateway, admin, user.user_id, "admin", reason="x" * 1001)
    assert (long.status_code, long.json()["code"]) == (400, "role_refused")
    with gateway.client(admin) as client:
        for body, status, code in (
            (b"", 400, "invalid_json"),
            (b"[]", 400, "invalid_type"),
            (b'{"user_id": 5, "new_role": "admin"}', 400, "invalid_type"),
            (b'{"user_id": "x"}', 400, "missing_required_parameter"),
            (b'{"user_id": "\\u0000", "new_role": "admin"}', 400, "invalid_text"),
            (json.dumps({"user_id": "x" * 20_000}).encode(), 413, "request_too_large"),
        ):
            told = client.post("/admin/roles/update", content=body)
            assert (told.status_code, told.json()["code"]) == (status, code), told.text
        assert client.get("/admin/roles/list/owner").json()["code"] == "unknown_role"
        assert client.get("/admin/roles/list/owner").status_code == 404
        assert client.get("/admin/roles/permissions/Admin").status_code == 404
        assert client.get(f"/admin/roles/{missing}").status_code == 404
        assert client.get("/admin/roles/none").status_code == 404
        assert client.get("/admin/roles/list/admin", params={"limit": 0}).status_code == 422
        assert client.get("/admin/roles/list/admin", params={"limit": 10**30}).status_code == 422
    assert len(events_of(gateway.database, UserRoleChanged)) == 1


@pytest.mark.parametrize("as_role", ["user", "developer", None])
def test_only_admins_come_in(gateway: RunningGateway, as_role: str | None) -> None:
    """Others are told that they may not, strangers that they are (rule: access)."""
    admin, user = admin_of(gateway), gateway.user(0)
    if as_role == "developer":
        assert update(gateway, admin, user.user_id, as_role).status_code == 200
    status = 403 if as_role else 401
    with gateway.client(user) as client:
        if as_role is None:
            del client.headers["authorization"]
        asked = [
            client.post("/admin/roles/update", json={"user_id": user.user_id, "new_role": "admin"}),
            client.get(f"/admin/roles/{user.user_id}"),
            client.get("/admin/roles/list/admin"),
            client.get("/admin/roles/permissions/admin"),
        ]
    assert [each.status_code for each in asked] == [status] * len(asked)
    assert events_of(gateway.database, AdminRead) == []


def test_two_demotions_of_the_last_two_admins_leave_one(database: Database) -> None:
    """Each decided while there were two; whoever comes second is refused (rule: access)."""
    History(database, users=2)
    users = users_of(database)
    for round_ in range(5):
        for user in users:
            give_role(database, user, "admin", actor=OPERATOR, reason=f"round {round_}")
        ready, refused = threading.Barrier(2), list[Exception]()

        def demote(
            user: UUID,
            by: UUID,
            ready: threading.Barrier = ready,
            refused: list[Exception] = refused,
        ) -> None:
            ready.wait()
            try:
                give_role(database, user, "user", actor=Actor("x", str(by)), reason="")
            except LastAdminError as error:
                refused.append(error)

        threads = [
            threading.Thread(target=demote, args=pair)
            for pair in ((users[0], users[1]), (users[1], users[0]))
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        with database.connect() as connection:
            assert read_holders(connection, Role.ADMIN, limit=9).total == 1
        assert len(refused) == 1
    assert verify(database).differences == []


def test_the_store_refuses_what_two_deciders_did_not_see(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision that took the second admin for granted is not stored, and is tried anew to its
    end (rule: access, rule: bounded).
    """
    History(database, users=1)
    (user,) = users_of(database)
    give_role(database, user, "admin", actor=OPERATOR, reason="")
    seen = list[int]()

    def count(_: object) -> int:
        seen.append(2)
        return 2

    monkeypatch.setattr(module, "count_admins", count)
    with pytest.raises(InvalidCommandError, match="at this moment: try again"):
        give_role(database, user, "user", actor=OPERATOR, reason="")
    assert len(seen) == module.TRIES_MAX
    assert verify(database).differences == []
    with database.connect() as connection:
        assert read_holders(connection, Role.ADMIN, limit=9).users == [str(user)]


def test_scopes_limit_an_admin() -> None:
    """A key that was limited to chat opens no admin's door, whoever has it (rule: access)."""
    only = frozenset({Permission.WRITE_CHAT})
    chat = Caller("k", "u", "a", b"", "m", b"", role=Role.ADMIN, scopes=only)
    for needed in (Permission.ADMIN_ROLES, Permission.ADMIN_AUDIT, Permission.READ_AUDIT):
        with pytest.raises(ApiError) as refused:
            admit(chat, needed)
        assert (refused.value.status, refused.value.code) == (403, "insufficient_scope")


def test_roles_are_shown_and_the_showing_is_noted(gateway: RunningGateway) -> None:
    """Once an hour for an admin, a user and a route; one's own role is nobody's business (P5)."""
    admin, user = admin_of(gateway), gateway.user(0)
    told = [role(gateway, admin, user.user_id).json() for _ in range(3)][-1]
    assert told["user_id"] == user.user_id
    assert told["role"] == "user"
    assert {f"{each['action']}:{each['resource']}" for each in told["permissions"]} == set(
        Permission
    )
    allowed = {
        f"{each['action']}:{each['resource']}" for each in told["permissions"] if each["allowed"]
    }
    assert allowed == ROLES[Role.USER]
    assert role(gateway, admin, admin.user_id).json()["role"] == "admin"
    with gateway.client(admin) as client:
        listed = client.get("/admin/roles/list/admin").json()
        users = client.get("/admin/roles/list/user", params={"limit": 1}).json()
        permissions = client.get("/admin/roles/permissions/developer").json()
    assert listed == {
        "role": "admin",
        "users": [{"user_id": admin.user_id, "role": "admin"}],
        "total": 1,
    }
    assert users == {
        "role": "user",
        "users": [{"user_id": user.user_id, "role": "user"}],
        "total": 1,
    }
    assert permissions["total"] == len(permissions["permissions"]) == len(Permission)
    notes = events_of(gateway.database, AdminRead)
    assert [(each.user_id, each.route) for each in notes] == [
        (user.user_id, "/admin/roles/{user_id}"),
        (None, "/admin/roles/list/{role}"),
    ]
    assert {each.by_user_id for each in notes} == {admin.user_id}


def test_a_read_is_noted_once_at_all_processes(
    gateway: RunningGateway, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The second process finds the first one's note in the log (rule: bounded)."""
    admin, user = admin_of(gateway), gateway.user(0)
    with running_gateway(gateway.database, tmp_path / "two", upstream) as second:
        assert role(gateway, admin, user.user_id).status_code == 200
        assert role(second, admin, user.user_id).status_code == 200
    assert len(events_of(gateway.database, AdminRead)) in {1, 2}  # Two where an hour just ended.


def test_verification_names_a_role_that_somebody_wrote(gateway: RunningGateway) -> None:
    """Who may do what follows from the log, not from the table (P8)."""
    admin_of(gateway)
    user = gateway.user(0)
    with gateway.database.connect() as connection:
        connection.execute("INSERT INTO user_role VALUES (%s, 'admin', 3)", [user.user_id])
    assert verify(gateway.database).differences == [
        f"user {user.user_id}: role and position are ('admin', 3), the log says None"
    ]


def test_the_origin_of_an_act_is_the_clients_not_the_proxys(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Of a change and of a look, behind a proxy that is trusted (rule: access)."""
    with running_gateway(
        database, tmp_path / "home", upstream, trusted_proxies="127.0.0.1"
    ) as gateway:
        admin, user = admin_of(gateway), gateway.user(0)
        for address in ("192.0.2.1", "192.0.2.2"):
            with gateway.client(admin, **{"X-Forwarded-For": address}) as client:
                new_role = "developer" if address.endswith("1") else "user"
                wish = {"user_id": user.user_id, "new_role": new_role}
                assert client.post("/admin/roles/update", json=wish).status_code == 200
                assert client.get(f"/admin/roles/{user.user_id}").status_code == 200
        changed = [each.origin for each in events_of(database, UserRoleChanged) if each.origin]
        (look,) = events_of(database, AdminRead)
    assert len(set(changed)) == 2
    assert look.origin == changed[0]
