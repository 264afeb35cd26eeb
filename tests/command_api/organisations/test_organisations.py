"""Organisations over HTTP: members, invitations, projects, and whose credits their keys spend."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from command_api.identity.people import People
from command_api.identity.vault import Vault
from command_api.money.grants import Grant, Grants
from command_api.organisations.commands import Organisations
from command_api.quotas.commands import Quotas, Scope
from domain.errors import DomainError
from domain.events.base import By
from domain.events.identity import ApiKeyRevoked
from domain.ledger.lots import GrantKind
from domain.organisations.organisation import LastOwnerError
from domain.organisations.roles import MemberRole
from domain.quotas.terms import ScopeKind, Unit
from domain.quotas.windows import Window
from event_store.beside.organisations import read_project
from event_store.ids import new_uuid7
from event_store.log.aggregates import Aggregates
from event_store.log.reading import read_after
from projections.hosting.verify import verify
from tests.support.harness import ASK, TIMEOUT_S, USD, eventually, running_gateway
from tests.support.people import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream


CLIENTS: list[httpx.Client] = []
"""To be closed after each test."""


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def client_of(url: str, headers: Any) -> httpx.Client:
    """A client that is closed after the test."""
    CLIENTS.append(httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S))
    return CLIENTS[-1]


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One that would keep a key in its cache for an hour."""
    with running_gateway(database, tmp_path / "home", upstream, key_cache_s=3600) as serving:
        yield serving


class Member(Person):
    """Somebody with a verified address who has signed in."""

    def __init__(self, gateway: RunningGateway, name: str) -> None:
        super().__init__(gateway, f"{name}@example.com")
        CLIENTS.append(self.client)
        made = self.register(username=name)
        self.user_id = made["user_id"]
        self.post("/auth/verify-email", token=self.token("Verify"))
        self.login()

    def ask(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        """One request; its answer, whose status must be this."""
        found = self.client.request(method, path, json=body or None)
        assert found.status_code == status, (method, path, found.text)
        return found.json()

    def refused(self, method: str, path: str, status: int, **body: Any) -> str:
        """The code of a refusal of this status."""
        code: str = self.ask(method, path, status, **body)["code"]
        return code

    def organisation(self, name: str = "Example") -> str:
        """A new organisation's id."""
        made: str = self.ask("POST", "/organisations", name=name)["id"]
        return made

    def invites(self, other: Member, organisation: str, role: str) -> None:
        """Invite somebody, who accepts."""
        made = self.ask(
            "POST", f"/organisations/{organisation}/invitations", email=other.address, role=role
        )
        other.ask("POST", f"/user/invitations/{made['id']}/accept")

    def project(self, organisation: str, name: str = "search") -> str:
        """A new project's id."""
        made: str = self.ask("POST", f"/organisations/{organisation}/projects", name=name)["id"]
        return made

    def key(self, project: str, name: str = "of the project") -> httpx.Client:
        """A client with a new key of a project."""
        made = self.ask("POST", "/user/api-keys", key_name=name, project_id=project)
        headers = {"authorization": f"Bearer {made['api_key']}", "x-key-id": made["key_id"]}
        return client_of(self.gateway.url, headers)


def give(gateway: RunningGateway, account: str, amount: int = USD) -> None:
    """Credits for an account."""
    given = Grant(account_id=UUID(account), amount=amount, kind=GrantKind.PURCHASE, reason="test")
    asyncio.run(Grants(gateway.database, actor="test").give(given))


def chat(client: httpx.Client) -> int:
    """The status of one call."""
    return client.post("/v1/chat/completions", json=ASK).status_code


def test_a_projects_key_spends_its_organisations_credits(gateway: RunningGateway) -> None:
    """And never its maker's; moving between members moves no money (money rule 14)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    shown = ann.ask("GET", f"/organisations/{of}")
    assert (shown["name"], shown["role"], shown["personal"]) == ("Example", "owner", False)
    ann.invites(bob, of, "developer")
    key = bob.key(ann.project(of))
    assert chat(key) == 402  # Bob's own trial is not the organisation's.
    give(gateway, shown["account_id"])
    own = bob.ask("GET", "/user/balance")["available_nano_usd"]
    assert chat(key) == 200
    assert bob.ask("GET", "/user/balance")["available_nano_usd"] == own
    found = ann.ask("GET", f"/organisations/{of}/balance")
    assert 0 < found["available_nano_usd"] < USD
    assert key.get("/user/balance").json()["available_nano_usd"] == found["available_nano_usd"]
    lines = ann.ask("GET", f"/organisations/{of}/credit-transactions")["transactions"]
    assert [each["transaction_type"] for each in lines] == ["api_usage", "purchase"]
    assert ann.ask("GET", f"/organisations/{ann.user_id}/balance")["organisation_id"] == ann.user_id
    gateway.verified()


def test_everybody_has_a_personal_organisation(gateway: RunningGateway) -> None:
    """Its id is the user's; it has projects on the own account, and nobody else (money rule 14)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    (own,) = ann.ask("GET", "/organisations")["organisations"]
    assert (own["id"], own["personal"], own["role"], own["name"]) == (
        ann.user_id,
        True,
        "owner",
        None,
    )
    path = f"/organisations/{ann.user_id}"
    (member,) = ann.ask("GET", f"{path}/members")["members"]
    assert (member["user_id"], member["email"]) == (ann.user_id, ann.address)
    key = ann.key(ann.project(ann.user_id))
    assert chat(key) == 200
    assert key.get("/user/balance").json() == {
        **ann.ask("GET", "/user/balance"),
        "api_key": key.get("/user/balance").json()["api_key"],
    }
    for method, below, body in (
        ("PUT", "", {"name": "x"}),
        ("DELETE", "", {"confirmation": "CLOSE_ORGANISATION"}),
        ("POST", "/invitations", {"email": bob.address}),
        ("POST", "/transfer", {"user_id": bob.user_id}),
        ("PUT", f"/members/{bob.user_id}", {"role": "viewer"}),
        ("DELETE", f"/members/{ann.user_id}", {}),
    ):
        assert ann.refused(method, path + below, 409, **body) == "personal_organisation"
    assert bob.refused("GET", path, 404) == "organisation_not_found"
    assert ann.ask("GET", f"{path}/invitations")["invitations"] == []
    gateway.verified()


def test_who_is_no_member_learns_nothing(gateway: RunningGateway) -> None:
    """Of any route: what there is and what there is not are answered alike (rule: access)."""
    ann, eve = Member(gateway, "ann"), Member(gateway, "eve")
    of = ann.organisation()
    project, missing = ann.project(of), str(new_uuid7())
    key = ann.key(project)
    for method, path, body in (
        ("GET", "", {}),
        ("PUT", "", {"name": "x"}),
        ("DELETE", "", {"confirmation": "CLOSE_ORGANISATION"}),
        ("POST", "/transfer", {"user_id": eve.user_id}),
        ("GET", "/members", {}),
        ("PUT", f"/members/{ann.user_id}", {"role": "viewer"}),
        ("DELETE", f"/members/{ann.user_id}", {}),
        ("DELETE", f"/members/{eve.user_id}", {}),
        ("GET", "/invitations", {}),
        ("POST", "/invitations", {"email": eve.address}),
        ("DELETE", f"/invitations/{missing}", {}),
        ("GET", "/projects", {}),
        ("POST", "/projects", {"name": "x"}),
        ("GET", f"/projects/{project}", {}),
        ("PUT", f"/projects/{project}", {"name": "x"}),
        ("DELETE", f"/projects/{project}", {"confirmation": "ARCHIVE_PROJECT"}),
        ("GET", "/api-keys", {}),
        ("DELETE", f"/api-keys/{key.headers['x-key-id']}", {}),
        ("GET", "/balance", {}),
        ("GET", "/credit-transactions", {}),
        ("GET", "/audit", {}),
    ):
        there = eve.ask(method, f"/organisations/{of}{path}", 404, **body)
        nowhere = eve.ask(method, f"/organisations/{missing}{path}", 404, **body)
        assert there == nowhere, path
        assert there["code"] == "organisation_not_found"
        nonsense = eve.ask(method, f"/organisations/x{path}", 404, **body)
        assert nonsense["code"] == "organisation_not_found"
    for wrong in (project, missing, "x"):
        made = eve.ask("POST", "/user/api-keys", 400, key_name="mine", project_id=wrong)
        assert made["code"] == "project_not_found"
    assert len(ann.ask("GET", f"/organisations/{of}/members")["members"]) == 1
    assert not ann.ask("GET", f"/organisations/{of}/projects/{project}")["archived"]


def test_an_invitation_is_for_the_owner_of_the_address(gateway: RunningGateway) -> None:
    """A mail that others read lets nobody in; an address that is not verified neither.

    It is good once, and the mail holds nothing that opens anything (rule: access).
    """
    ann, bob, eve = (Member(gateway, name) for name in ("ann", "bob", "eve"))
    of = ann.organisation("Exämple & Söhne")
    path = f"/organisations/{of}/invitations"
    made = ann.ask("POST", path, email=bob.address, role="finance")
    assert ann.refused("POST", path, 400, email="BOB@example.com") == "invalid_value"
    eventually(lambda: any("invited" in each["subject"] for each in bob.mails()))
    (mail,) = (each for each in bob.mails() if "invited" in each["subject"])
    assert "Exämple & Söhne" in mail.get_content()
    assert made["id"] not in mail.get_content()
    (seen,) = bob.ask("GET", "/user/invitations")["invitations"]
    assert (seen["id"], seen["organisation_name"]) == (made["id"], "Exämple & Söhne")
    assert [each["email"] for each in ann.ask("GET", path)["invitations"]] == [bob.address]
    assert eve.ask("GET", "/user/invitations")["invitations"] == []
    accept = f"/user/invitations/{made['id']}/accept"
    for wrong in (accept, f"/user/invitations/{new_uuid7()}/accept", "/user/invitations/x/accept"):
        assert eve.refused("POST", wrong, 404) == "invitation_not_found"
    unverified = Person(gateway, "carl@example.com")
    CLIENTS.append(unverified.client)
    unverified.register(username="carl")
    unverified.login()
    other = ann.ask("POST", path, email="carl@example.com")
    told = unverified.client.post(f"/user/invitations/{other['id']}/accept")
    assert (told.status_code, told.json()["code"]) == (404, "invitation_not_found")
    assert bob.ask("POST", accept)["role"] == "finance"
    assert bob.refused("POST", accept, 404) == "invitation_not_found"
    assert ann.refused("POST", path, 400, email="carl@example.com") == "invalid_value"
    ann.ask("DELETE", f"{path}/{other['id']}")
    again = ann.ask("POST", path, email=eve.address, role="viewer")
    eve.ask("POST", f"/user/invitations/{again['id']}/decline")
    assert eve.refused("POST", f"/user/invitations/{again['id']}/accept", 404)
    assert ann.ask("GET", path)["invitations"] == []
    members = ann.ask("GET", f"/organisations/{of}/members")["members"]
    assert {each["email"]: each["role"] for each in members} == {
        ann.address: "owner",
        bob.address: "finance",
    }
    gateway.verified()


def test_nobody_is_flooded_with_invitations(gateway: RunningGateway) -> None:
    """Three mails an hour to one address, from whatever organisation (rule: bounded)."""
    ann = Member(gateway, "ann")
    paths = [f"/organisations/{ann.organisation(str(each))}/invitations" for each in range(4)]
    for path in paths[:3]:
        ann.ask("POST", path, email="victim@example.com")
    told = ann.ask("POST", paths[3], 429, email="victim@example.com")
    assert told["code"] == "too_many_attempts"


def test_who_leaves_takes_no_key_along(
    gateway: RunningGateway, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Here at once, in another process within a second; invited again, they stay revoked (P7)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    give(gateway, ann.ask("GET", f"/organisations/{of}")["account_id"])
    ann.invites(bob, of, "developer")
    project = ann.project(of)
    keys = [bob.key(project, str(each)) for each in range(2)]
    mine = ann.key(project)
    with running_gateway(gateway.database, tmp_path / "two", upstream, key_cache_s=3600) as second:
        there = client_of(second.url, keys[0].headers)
        assert [chat(each) for each in (*keys, mine, there)] == [200] * 4
        ann.ask("DELETE", f"/organisations/{of}/members/{bob.user_id}")
        assert [chat(each) for each in (*keys, mine)] == [401, 401, 200]
        eventually(lambda: chat(there) == 401, 1.0)
    assert bob.refused("GET", f"/organisations/{of}", 404) == "organisation_not_found"
    ann.invites(bob, of, "developer")
    assert [chat(each) for each in keys] == [401, 401]
    with gateway.database.connect() as connection:
        revoked = [e for e in read_after(connection, 0) if isinstance(e.event, ApiKeyRevoked)]
    assert len(revoked) == 2
    assert bob.ask("GET", "/user/balance")["available_nano_usd"] > 0
    gateway.verified()


def test_a_members_role_counts_for_their_keys_at_once(gateway: RunningGateway) -> None:
    """A viewer's key reads and no longer calls; what it stands for is the project, not its maker:
    it opens no profile, manages no keys, sees no audit (rule: access).
    """
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    give(gateway, ann.ask("GET", f"/organisations/{of}")["account_id"])
    ann.invites(bob, of, "developer")
    key = bob.key(ann.project(of))
    assert chat(key) == 200
    for method, path in (
        ("GET", "/user/profile"),
        ("DELETE", "/user/account"),
        ("GET", "/user/api-keys"),
        ("POST", "/user/api-keys"),
        ("GET", "/audit"),
        ("GET", "/organisations"),
        ("PUT", f"/organisations/{of}/members/{bob.user_id}"),
    ):
        told = key.request(method, path)
        assert (told.status_code, told.json()["code"]) == (403, "forbidden"), path
        assert "the key of a project" in told.json()["detail"]
    ann.ask("PUT", f"/organisations/{of}/members/{bob.user_id}", role="viewer")
    told = key.post("/v1/chat/completions", json={"model": "x", "messages": []})
    assert (told.status_code, told.json()["error"]["code"]) == (403, "forbidden")
    assert key.get("/user/balance").status_code == 200
    assert bob.refused("POST", f"/organisations/{of}/projects", 403, name="x") == (
        "member_role_too_small"
    )
    project = ann.project(of, "another")
    refused = bob.refused("POST", "/user/api-keys", 403, key_name="x", project_id=project)
    assert refused == "member_role_too_small"
    gateway.verified()


def test_a_project_that_is_archived_opens_nothing(
    gateway: RunningGateway, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Nor an organisation that is closed, here and elsewhere within a second (P7)."""
    ann = Member(gateway, "ann")
    of = ann.organisation()
    give(gateway, ann.ask("GET", f"/organisations/{of}")["account_id"])
    first, second = ann.project(of, "first"), ann.project(of, "second")
    assert ann.refused("POST", f"/organisations/{of}/projects", 400, name="First") == (
        "invalid_value"
    )
    ann.ask("PUT", f"/organisations/{of}/projects/{second}", name="2nd")
    keys = [ann.key(first, "1"), ann.key(second, "2")]
    with running_gateway(gateway.database, tmp_path / "two", upstream, key_cache_s=3600) as other:
        there = [client_of(other.url, each.headers) for each in keys]
        assert [chat(each) for each in (*keys, *there)] == [200] * 4
        ann.ask("DELETE", f"/organisations/{of}/projects/{first}", confirmation="ARCHIVE_PROJECT")
        assert [chat(each) for each in keys] == [401, 200]
        eventually(lambda: chat(there[0]) == 401, 1.0)
        assert chat(there[1]) == 200
        refused = ann.refused("POST", "/user/api-keys", 400, key_name="x", project_id=first)
        assert refused == "project_not_found"
        assert ann.refused("DELETE", f"/organisations/{of}", 400, confirmation="yes")
        ann.ask("DELETE", f"/organisations/{of}", confirmation="CLOSE_ORGANISATION")
        assert chat(keys[1]) == 401
        eventually(lambda: chat(there[1]) == 401, 1.0)
    assert ann.refused("GET", f"/organisations/{of}", 404) == "organisation_not_found"
    with gateway.database.connect() as connection:
        row = connection.execute("SELECT wrapped_key, name_ciphertext FROM organisation").fetchone()
    assert row == (None, "")
    gateway.verified()


def test_a_projects_quota_binds_all_its_keys(gateway: RunningGateway) -> None:
    """Whoever made them, exactly; and an organisation's those of all projects (money rule 13)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    give(gateway, ann.ask("GET", f"/organisations/{of}")["account_id"])
    ann.invites(bob, of, "developer")
    project, other = ann.project(of), ann.project(of, "other")
    path = f"/organisations/{of}/projects/{project}/quotas"
    terms: dict[str, Any] = {"unit": "requests", "window": "day"}
    assert bob.refused("PUT", path, 403, **terms, limit=5) == "member_role_too_small"
    ann.ask("PUT", path, **terms, limit=3)
    keys = [ann.key(project, "1"), bob.key(project, "2")]
    assert [chat(keys[number % 2]) for number in range(4)] == [200, 200, 200, 429]
    refused = keys[0].post("/v1/chat/completions", json=ASK).json()["error"]
    assert (refused["code"], refused["scope"]) == ("quota_exceeded", "project")
    elsewhere = bob.key(other, "3")
    assert chat(elsewhere) == 200
    (shown,) = bob.ask("GET", path)["quotas"]
    assert (shown["used"], shown["held"], shown["limit"]) == (3, 0, 3)
    ann.ask("DELETE", path, **terms)
    assert chat(keys[0]) == 200
    set_by_operator(gateway, project, 7)
    assert ann.refused("PUT", path, 403, **terms, limit=8) == "beyond_own_limits"
    assert ann.refused("DELETE", path, 403, **terms) == "beyond_own_limits"
    ann.ask("PUT", path, **terms, limit=3)
    assert chat(keys[0]) == 429
    for wrong in ({"limit": -1}, {"limit": 10**19}, {"limit": 1, "zone": "Nowhere/Land"}, {}):
        assert ann.ask("PUT", path, 400, **terms, **wrong)
    gateway.verified()


def set_by_operator(gateway: RunningGateway, project: str, limit: int) -> None:
    """As `gatewayz quota set --project` does."""
    aggregates = Aggregates(gateway.database)
    try:
        with gateway.database.connect() as connection:
            found = read_project(connection, UUID(project))
        assert found is not None
        scope = Scope(kind=ScopeKind.PROJECT, scope_id=UUID(project), account_id=found.account_id)
        quotas = Quotas(gateway.database, aggregates, actor="operator:cli")
        quotas.set(scope, Unit.REQUESTS, Window.DAY, limit)
    finally:
        aggregates.close()


def test_the_keys_of_all_members_are_their_admins(gateway: RunningGateway) -> None:
    """Seen masked, and revoked; those of other organisations are not (rule: access)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    ann.invites(bob, of, "developer")
    key = bob.key(ann.project(of))
    (shown,) = ann.ask("GET", f"/organisations/{of}/api-keys")["keys"]
    assert (shown["id"], shown["user_id"]) == (key.headers["x-key-id"], bob.user_id)
    assert "..." in shown["api_key"]
    assert bob.refused("GET", f"/organisations/{of}/api-keys", 403) == "member_role_too_small"
    others = bob.ask("GET", "/user/api-keys")["keys"][0]["id"]
    for wrong in (others, str(new_uuid7()), "x"):
        path = f"/organisations/{of}/api-keys/{wrong}"
        assert ann.ask("DELETE", path, 404)
    ann.ask("DELETE", f"/organisations/{of}/api-keys/{shown['id']}")
    assert chat(key) == 401
    listed = bob.ask("GET", "/user/api-keys")["keys"]
    assert [each["project_id"] for each in listed] == [None, shown["project_id"]]
    assert {each["id"]: each["is_active"] for each in listed}[shown["id"]] is False


def test_nobody_leaves_an_organisation_without_an_owner(gateway: RunningGateway) -> None:
    """Not with the house either: it is handed over, or closed, first (rule: access)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    ann.invites(bob, of, "developer")
    path = f"/organisations/{of}/members"
    assert ann.refused("DELETE", f"{path}/{ann.user_id}", 409) == "last_owner"
    assert ann.refused("PUT", f"{path}/{ann.user_id}", 409, role="admin") == "last_owner"
    assert (
        ann.refused("DELETE", "/user/account", 409, confirmation="DELETE_ACCOUNT") == "last_owner"
    )
    assert bob.refused("POST", f"/organisations/{of}/transfer", 403, user_id=bob.user_id)
    ann.ask("POST", f"/organisations/{of}/transfer", user_id=bob.user_id)
    assert ann.ask("GET", f"/organisations/{of}")["role"] == "admin"
    ann.ask("DELETE", "/user/account", confirmation="DELETE_ACCOUNT")
    (left,) = bob.ask("GET", path)["members"]
    assert (left["user_id"], left["role"]) == (bob.user_id, "owner")
    gateway.verified()


def test_two_owners_who_leave_at_once_leave_one(database: Database) -> None:
    """Each decided while there were two; who comes second is refused (rule: access)."""
    people, commands = opened(database)
    try:
        for round_ in range(5):
            users = [
                UUID(people.users.create_user(f"u{round_}{each}@example.com").user_id)
                for each in range(2)
            ]
            of = commands.create("x", By(str(users[0])), "test", users[0])
            commands.add(of, By(reason="test"), "operator:cli", users[1], MemberRole.OWNER)
            ready, refused = threading.Barrier(2), list[Exception]()

            def leave(
                user: UUID, of: UUID = of, ready: Any = ready, refused: Any = refused
            ) -> None:
                ready.wait()
                try:
                    commands.leave(of, By(str(user)), f"user:{user}", user)
                except DomainError as error:
                    refused.append(error)

            threads = [threading.Thread(target=leave, args=(user,)) for user in users]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert [type(each) for each in refused] == [LastOwnerError]
            assert len(commands.members(of, None)) == 1
    finally:
        people.close()
    assert verify(database).differences == []


def opened(database: Database) -> tuple[People, Organisations]:
    """The commands on a database of their own."""
    people = People(database, Vault(b"a secret of tests, 32 bytes long"))
    people.open()
    return people, Organisations(people)


def test_a_kept_reply_is_the_organisations(gateway: RunningGateway) -> None:
    """Sealed with its data key: another member's key gets it again (money rule 8)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    give(gateway, ann.ask("GET", f"/organisations/{of}")["account_id"])
    ann.invites(bob, of, "developer")
    project = ann.project(of)
    answers = [
        each.post("/v1/chat/completions", json=ASK, headers={"idempotency-key": "one"})
        for each in (ann.key(project), bob.key(project), bob.key(bob.project(bob.user_id), "own"))
    ]
    assert [each.status_code for each in answers] == [200] * 3
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in answers[2].headers
    gateway.verified()


def test_who_did_what_stands_in_the_organisations_audit(gateway: RunningGateway) -> None:
    """For those who may see it; a member's own audit tells what concerns them (rule: access)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    ann.invites(bob, of, "developer")
    key = bob.key(ann.project(of))
    ann.ask("PUT", f"/organisations/{of}/members/{bob.user_id}", role="finance")
    logs = bob.ask("GET", f"/organisations/{of}/audit")["logs"]
    assert [each["action"] for each in logs] == [
        "member.role_changed",
        "api_key.created",
        "project.created",
        "member.joined",
        "member.invited",
        "organisation.created",
    ]
    changed = logs[0]
    assert (changed["before"], changed["after"]) == (
        {"user_id": bob.user_id, "role": "developer"},
        {"user_id": bob.user_id, "role": "finance"},
    )
    assert (changed["actor_user_id"], changed["subject"]["id"]) == (ann.user_id, of)
    own = bob.ask("GET", "/audit")["logs"]
    assert {"member.joined", "member.role_changed"} <= {each["action"] for each in own}
    page = bob.ask("GET", f"/organisations/{of}/audit?limit=2")
    rest = bob.ask("GET", f"/organisations/{of}/audit?limit=10&cursor={page['next_cursor']}")
    assert [*page["logs"], *rest["logs"]] == logs
    assert bob.client.get(f"/organisations/{of}/audit", params={"limit": 0}).status_code == 422
    assert "example.com" not in str(logs)
    assert key.get(f"/organisations/{of}/audit").status_code == 403


def test_bodies_that_cannot_be_are_refused(gateway: RunningGateway) -> None:
    """In words, by a code; nothing is made (rule: refuse clearly)."""
    ann = Member(gateway, "ann")
    of = ann.organisation()
    for method, path, body in (
        ("POST", "/organisations", {}),
        ("POST", "/organisations", {"name": ""}),
        ("POST", "/organisations", {"name": " "}),
        ("POST", "/organisations", {"name": "x" * 101}),
        ("POST", "/organisations", {"name": "a\nb"}),
        ("POST", "/organisations", {"name": "x", "credits": 5}),
        ("POST", f"/organisations/{of}/projects", {"name": "\t"}),
        ("POST", f"/organisations/{of}/invitations", {"email": "nobody"}),
        ("POST", f"/organisations/{of}/invitations", {"email": "a@b.cd\r\nBcc: e@f.gh"}),
        ("POST", f"/organisations/{of}/invitations", {"email": "a@b.cd", "role": "root"}),
        ("PUT", f"/organisations/{of}/members/{ann.user_id}", {"role": "king"}),
    ):
        assert ann.refused(method, path, 400, **body) in {
            "invalid_value",
            "invalid_type",
            "invalid_json",
        }
    assert len(ann.ask("GET", "/organisations")["organisations"]) == 2
    for number in range(19):
        ann.organisation(str(number))
    assert ann.refused("POST", "/organisations", 400, name="one more") == "invalid_value"
