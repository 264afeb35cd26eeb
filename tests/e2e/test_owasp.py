"""OWASP's ten greatest risks of APIs (edition of 2023), one test each, against a running gateway.

Where a test goes through all routes, a route that is new is in it by itself, or the test says what
is missing.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from fastapi.routing import APIRoute

from command_api.books.commands import issue_statement
from command_api.mcp.tools import TOOLS
from command_api.operations.table import ROUTES
from command_api.roles.commands import Actor, give_role
from command_api.serving.app import ROUTERS
from command_api.token_counts.route import PATH as COUNT_TOKENS
from domain.identity.permissions import Permission
from domain.payments.fiat import Fiat
from domain.payments.payment import Order, Way, start_payment
from edge import body as bodies
from edge.access import Needs
from edge.envelopes import MESSAGES
from event_store.beside.statements import Wanted
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import Aggregates
from tests.command_api.mcp.asking import call
from tests.support.harness import (
    ASK,
    TIMEOUT_S,
    ScriptedUpstream,
    completion,
    eventually,
    reply,
    running_gateway,
)
from tests.support.packages import ROOT
from tests.support.people import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi.dependencies.models import Dependant

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

SERVED = [
    (method, route)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute) and route.include_in_schema
    for method in sorted(route.methods or ())
]
OPERATOR = Actor("operator:test")
PUBLIC_NAMES = {"model_id", "model_ids", "provider", "model", "name", "gateway", "gateways", "role"}
"""Parameters that name what belongs to nobody."""
SEALED = r'"(?:password|password_hash|(?:key|email)_hash|sealed\w*|wrapped_key)":|\$argon2|gAAAA'
"""Members and forms of what is stored of secrets."""
PNG = "data:image/png;base64,aGk="


def needs_of(dependant: Dependant) -> set[Permission]:
    """What a route needs of its caller."""
    found = set[Permission]()
    for each in dependant.dependencies:
        owner = getattr(each.call, "__self__", None)
        if isinstance(owner, Needs):
            found.add(owner.permission)
        found |= needs_of(each)
    return found


KEYED = [(method, route) for method, route in SERVED if needs_of(route.dependant)]


def filled(route: APIRoute, value: str = "x") -> str:
    """The route's path with something for each parameter."""
    return re.sub(r"{[^}]*}", value, route.path)


def admin_of(gateway: RunningGateway) -> NewUser:
    """A user whom the operator made an administrator."""
    user = gateway.user()
    give_role(gateway.database, UUID(user.user_id), "admin", actor=OPERATOR, reason="test")
    return user


def begun_payment(gateway: RunningGateway, account_id: str, user_id: str) -> UUID:
    """A payment that somebody began."""
    order = Order(account_id, user_id, Way.CHECKOUT, Fiat(1_000, "usd"), "1", 10**10)
    payment_id = new_uuid7()
    aggregates = Aggregates(gateway.database)
    try:
        aggregates.append([start_payment(payment_id, order, new_envelope("test"))])
    finally:
        aggregates.close()
    return payment_id


class Victim:
    """Somebody with an object of every kind, and how they stand."""

    def __init__(self, gateway: RunningGateway) -> None:
        """Registered and signed in, with two keys, a call, and a limit."""
        self.person = Person(gateway, "victim@example.com")
        self.made = self.person.register(username="victim")
        self.person.post("/auth/verify-email", token=self.person.token("Verify"))
        session = self.person.login()
        self.client = httpx.Client(
            base_url=gateway.url,
            timeout=TIMEOUT_S,
            headers={"authorization": f"Bearer {self.made['api_key']}"},
        )
        spare = self.client.post("/user/api-keys", json={"key_name": "spare"}).json()
        self.spare = spare["key_id"]
        answer = self.client.post("/v1/chat/completions", json=ASK)
        assert answer.status_code == 200, answer.text
        self.call = answer.headers["x-gatewayz-call-id"]
        self.completion = answer.json()["id"]
        said = {"model": "simulator/echo", "input": "Hello"}
        self.response = self.client.post("/v1/responses", json=said).json()["id"]
        # No line of it is called, so that nothing of it is charged later.
        form: dict[str, Any] = {
            "files": {"file": b"victim@example.com"},
            "data": {"purpose": "batch"},
        }
        self.file = self.client.post("/v1/files", **form).json()["id"]
        self.batch_of_file = {
            "input_file_id": self.file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        self.batch = self.client.post("/v1/batches", json=self.batch_of_file).json()["id"]
        self.session = session["session_id"]
        self.organisation = self.posted("/organisations", name="Victims")
        path = f"/organisations/{self.organisation}"
        self.project = self.posted(f"{path}/projects", name="search")
        self.invitation = self.posted(f"{path}/invitations", email="guest@example.com")
        made = {"key_name": "of the project", "project_id": self.project}
        self.project_key = self.client.post("/user/api-keys", json=made).json()["key_id"]
        own = {"provider": "local", "key": "sk-of-the-victim-0123456789"}
        self.provider_key = self.posted("/user/provider-keys", project_id=self.project, **own)
        account = UUID(self.made["account_id"])
        issue_statement(gateway.database, Wanted("Gatewayz", account, "2026-01", "UTC", "test"))
        self.payment = str(begun_payment(gateway, self.made["account_id"], self.made["user_id"]))
        self.secrets = {self.made["account_id"], "victim@example.com", self.made["api_key"]}

    def posted(self, path: str, **body: str) -> str:
        """The id of what is made."""
        found: str = self.client.post(path, json=body).json()["id"]
        return found

    def close(self) -> None:
        """Let the connections go."""
        self.client.close()
        self.person.client.close()

    def state(self) -> dict[str, Any]:
        """All that others must not change."""
        of = f"/organisations/{self.organisation}"
        listed = (f"{of}/members", f"{of}/projects", f"{of}/invitations", of)
        paths = ("/user/api-keys", "/auth/sessions", "/user/rate-limits", "/user/profile", *listed)
        found = {path: self.client.get(path) for path in (*paths, "/user/balance")}
        assert {each.status_code for each in found.values()} == {200}
        bodies_of = {path: each.json() for path, each in found.items()}
        return {
            "keys": [(k["id"], k["is_active"], k["key_name"]) for k in keys_in(bodies_of)],
            "sessions": len(str(bodies_of["/auth/sessions"]).split("session_id")),
            "limits": json.dumps(bodies_of["/user/rate-limits"]).count("requests_per_minute"),
            "email": bodies_of["/user/profile"]["email"],
            "organisation": [bodies_of[path] for path in listed],
            "available": bodies_of["/user/balance"]["available_nano_usd"],
        }


def keys_in(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The keys of a list of keys."""
    listed: list[dict[str, Any]] = found["/user/api-keys"]["keys"]
    return listed


def objects_of(victim: Victim) -> dict[str, list[dict[str, Any]]]:
    """For each route that takes an id the requests that name the victim's, as httpx takes them."""
    key, user = victim.spare, victim.made["user_id"]
    return {
        "GET /v1/calls/{call_id}": [{"path": {"call_id": victim.call}}],
        **{
            f"{name} /v1/files/{{file_id}}{below}": [{"path": {"file_id": victim.file}}]
            for name, below in (("GET", ""), ("GET", "/content"), ("DELETE", ""))
        },
        "POST /v1/batches": [{"json": victim.batch_of_file}],
        "GET /v1/batches/{batch_id}": [{"path": {"batch_id": victim.batch}}],
        "POST /v1/batches/{batch_id}/cancel": [{"path": {"batch_id": victim.batch}}],
        "GET /v1/calls": [{"params": {"completion_id": victim.completion}}],
        "GET /audit": [{"params": {"user_id": user}}, {"params": {"user_id": "all"}}],
        "GET /user/api-keys/audit-logs": [{"params": {"key_id": key}}],
        "DELETE /auth/sessions/{session_id}": [{"path": {"session_id": victim.session}}],
        **{
            f"{method} /auth/passkeys/{{passkey_id}}": [
                {"path": {"passkey_id": victim.session}, "json": {"name": "mine"}}
            ]
            for method in ("PUT", "DELETE")
        },
        "PUT /user/api-keys/{key_id}": [
            {"path": {"key_id": key}, "json": {"key_name": "mine"}},
            {"path": {"key_id": key}, "json": {"is_active": False}},
            {"path": {"key_id": key}, "json": {"action": "rotate"}},
            {"path": {"key_id": key}, "json": {"action": "bulk_rotate"}},
        ],
        "DELETE /user/api-keys/{key_id}": [
            {"path": {"key_id": key}, "json": {"confirmation": "DELETE_KEY"}}
        ],
        "PUT /user/rate-limits/{key_id}": [
            {"path": {"key_id": key}, "json": {"requests_per_minute": 1}}
        ],
        "GET /user/rate-limits/usage/{key_id}": [
            {"path": {"key_id": key}, "params": {"time_window": "minute"}}
        ],
        "GET /admin/roles/{user_id}": [{"path": {"user_id": user}}],
        "GET /admin/roles/audit/log": [{"params": {"user_id": user}}],
        "POST /admin/roles/update": [{"json": {"user_id": user, "new_role": "developer"}}],
        "POST /admin/limit": [
            {"json": {"api_key": key, "rate_limits": {"requests_per_minute": 1}}}
        ],
        "GET /admin/rate-limits/alerts": [{"params": {"api_key": key}}],
        "GET /admin/users/{user_id}": [{"path": {"user_id": user}}],
        "GET /admin/credit-transactions": [{"params": {"user_id": user}}],
        "POST /finance/statements": [
            {"json": {"account_id": victim.made["account_id"], "month": "2026-01"}}
        ],
        "GET /finance/journal": [{"params": {"account_id": victim.made["account_id"]}}],
        "GET /finance/statements": [{"params": {"account_id": victim.made["account_id"]}}],
        "GET /finance/statements/{number}": [{"path": {"number": 1}}],
        "GET /user/statements/{number}": [{"path": {"number": 1}}],
        **{
            f"{name} /admin/coupons/{{coupon_id}}{below}": [
                {"path": {"coupon_id": victim.session}, "json": {"max_uses": 5}}
            ]
            for name, below in (
                *((method, "") for method in ("GET", "PATCH", "DELETE")),
                ("GET", "/analytics"),
            )
        },
        **{
            f"{name} /v1/responses/{{response_id}}{below}": [
                {"path": {"response_id": victim.response}}
            ]
            for name, below in (
                *((method, "") for method in ("GET", "DELETE")),
                *(("GET", "/input_items"), ("POST", "/cancel")),
            )
        },
        "GET /api/stripe/payments/{payment_id}": [{"path": {"payment_id": victim.payment}}],
        "GET /api/stripe/checkout-session/{session_id}": [{"path": {"session_id": "cs_1"}}],
        "GET /api/stripe/payment-intent/{intent_id}": [{"path": {"intent_id": "pi_1"}}],
        **{
            f"POST /api/stripe/subscriptions/{{subscription_id}}/{act}": [
                {"path": {"subscription_id": "sub_1"}, "json": {"price_id": "price_1"}}
            ]
            for act in ("change", "cancel", "resume")
        },
        **{
            f"POST /admin/approvals/{{approval_id}}/{act}": [
                {"path": {"approval_id": victim.session}, "json": {}}
            ]
            for act in ("approve", "decline")
        },
        "POST /admin/assign-plan": [{"json": {"user_id": user, "plan_id": "free"}}],
        "GET /user/provider-keys": [{"params": {"project_id": victim.project}}],
        "POST /user/provider-keys": [
            {
                "json": {
                    "provider": "local",
                    "key": "sk-of-the-thief-0123456789",
                    "project_id": victim.project,
                }
            }
        ],
        **{
            f"{name} /user/provider-keys/{{provider_key_id}}{below}": [
                {"path": {"provider_key_id": victim.provider_key}, "json": {"enabled": False}}
            ]
            for name, below in (
                *((method, "") for method in ("GET", "PATCH", "DELETE")),
                ("POST", "/check"),
            )
        },
        **objects_of_organisations(victim),
    }


def objects_of_organisations(victim: Victim) -> dict[str, list[dict[str, Any]]]:
    """The same of an organisation and what is in it; below it with nothing that is the thief's."""
    ids = {
        "organisation_id": victim.organisation,
        "project_id": victim.project,
        "invitation_id": victim.invitation,
        "key_id": victim.project_key,
        "user_id": victim.made["user_id"],
    }
    one = "/organisations/{organisation_id}"
    project, invitation = one + "/projects/{project_id}", one + "/invitations/{invitation_id}"
    own = "/user/invitations/{invitation_id}"
    member, key = one + "/members/{user_id}", one + "/api-keys/{key_id}"
    asked: dict[str, dict[str, Any]] = {
        f"GET {one}": {},
        f"PUT {one}": {"name": "mine"},
        f"DELETE {one}": {"confirmation": "CLOSE_ORGANISATION"},
        f"POST {one}/transfer": {"user_id": victim.made["user_id"]},
        f"GET {one}/members": {},
        f"PUT {member}": {"role": "viewer"},
        f"DELETE {member}": {},
        f"GET {one}/invitations": {},
        f"POST {one}/invitations": {"email": "thief@example.com", "role": "owner"},
        f"DELETE {invitation}": {},
        f"POST {own}/accept": {},
        f"POST {own}/decline": {},
        f"GET {one}/projects": {},
        f"POST {one}/projects": {"name": "mine"},
        f"GET {project}": {},
        f"PUT {project}": {"name": "mine"},
        f"DELETE {project}": {"confirmation": "ARCHIVE_PROJECT"},
        f"GET {project}/quotas": {},
        f"PUT {project}/quotas": {"unit": "tokens", "window": "day", "limit": 0},
        f"DELETE {project}/quotas": {"unit": "tokens", "window": "day"},
        f"GET {one}/api-keys": {},
        f"DELETE {key}": {},
        f"GET {one}/balance": {},
        f"GET {one}/credit-transactions": {},
        f"GET {one}/audit": {},
        f"POST {one}/gifts": {"user_id": victim.made["user_id"], "amount": "1"},
    }
    return {name: [{"path": ids, "json": body or None}] for name, body in asked.items()}


AT_STRIPE = {
    "GET /api/stripe/checkout-session/{session_id}",
    "GET /api/stripe/payment-intent/{intent_id}",
    *(f"POST /api/stripe/subscriptions/{{subscription_id}}/{act}" for act in ("change", "cancel")),
    "POST /api/stripe/subscriptions/{subscription_id}/resume",
}
"""What Stripe is asked for, which is not set up here: whose they are, `test_buying.py` and
`test_subscribing.py` ask.
"""
BODIES_WITH_IDS = {
    "POST /admin/roles/update",
    "POST /admin/limit",
    "POST /admin/assign-plan",
    "POST /finance/statements",
    "POST /v1/batches",
    "POST /user/provider-keys",
}


def test_api1_no_id_opens_what_is_anothers(gateway: RunningGateway) -> None:
    """Broken object level authorization: each route that takes an id is asked for the victim's,
    by another user; nothing is told, nothing changes; the owner gets it (rule: access).
    """
    victim, thief = Victim(gateway), gateway.user()
    asked = objects_of(victim)
    taking = {
        f"{method} {route.path}"
        for method, route in KEYED
        if {each.alias for each in route.dependant.path_params} - PUBLIC_NAMES
        or any(
            each.alias.endswith("_id") or each.alias == "api_key"
            for each in route.dependant.query_params
            if each.alias not in PUBLIC_NAMES
        )
    }
    assert taking | BODIES_WITH_IDS == asked.keys(), "a route that takes an id needs its requests"
    before = victim.state()
    with gateway.client(thief) as client:
        for name, requests in asked.items():
            for one in requests:
                got = send(client, name, one)
                refused = {503} if name in AT_STRIPE else {400, 403, 404}
                assert got.status_code in refused, (name, one, got.status_code, got.text)
                assert not any(each in got.text for each in victim.secrets), (name, got.text)
    assert victim.state() == before
    for name, requests in asked.items():
        others = name.startswith(("GET /admin", "GET /finance")) or name in AT_STRIPE
        if name.startswith("GET ") and not others:
            got = eventually(partial(seen, victim, name, requests[0]))
            assert got.status_code == 200, (name, got.text)
    victim.close()


def test_api1_no_tool_opens_what_is_anothers(gateway: RunningGateway) -> None:
    """The same for the tools of /mcp: each that takes an id is asked for the owner's by another
    user, and by the owner; those without one tell the asker's own (rule: access).
    """
    owner, thief = gateway.user(), gateway.user()
    made = gateway.chat(owner, {})
    ids = {
        "get_call": {"id": made.headers["x-gatewayz-call-id"]},
        "find_call": {"completion_id": made.json()["id"]},
    }
    taking = {
        name
        for name, tool in TOOLS.items()
        if any(each.endswith("id") for each in tool.arguments.model_fields)
    }
    # The ids of models belong to nobody.
    assert taking - {"get_model"} == ids.keys(), "a tool that takes an id needs its arguments"
    for name, arguments in ids.items():
        assert call(gateway, owner, name, **arguments)["isError"] is False
        result = call(gateway, thief, name, **arguments)
        assert result["isError"] is True
        assert json.loads(result["content"][0]["text"])["error"]["code"] == "call_not_found"
    for name in ("get_balance", "list_calls"):
        assert owner.account_id not in json.dumps(call(gateway, thief, name))
    assert call(gateway, thief, "list_calls")["structuredContent"]["data"] == []


def seen(victim: Victim, name: str, request: dict[str, Any]) -> httpx.Response | None:
    """The owner's answer, once the read models have come that far."""
    got = send(victim.client, name, request)
    return None if got.status_code in {404, 503} else got


def send(client: httpx.Client, name: str, request: dict[str, Any]) -> httpx.Response:
    """Ask a route that is named by method and path."""
    method, _, path = name.partition(" ")
    return client.request(
        method,
        path.format(**request.get("path", {})),
        params=request.get("params"),
        json=request.get("json"),
    )


def unsigned(token: str) -> str:
    """The same claims under no signature."""
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


def test_api2_nothing_but_a_living_key_or_session_opens_a_route(gateway: RunningGateway) -> None:
    """Broken authentication: each route that needs a caller is asked with nothing, with what is
    no key, was one, is shown where none belongs, or is a session that somebody wrote (rule:
    access).
    """
    person = Person(gateway)
    person.register()
    token = person.login()["access_token"]
    user, users = gateway.user(), gateway.users()
    past = datetime.now(UTC) + timedelta(seconds=1)
    _, expired = users.create_key(user.user_id, "expired", expires_at=past)
    revoked_id, revoked = users.create_key(user.user_id, "revoked")
    users.revoke_key(revoked_id, "test")
    users.close()
    head, claims, signature = token.split(".")
    other = "A" if signature[5] != "A" else "B"
    good = user.api_key
    shown: list[dict[str, str]] = [
        {},
        {"authorization": ""},
        {"authorization": good},
        {"authorization": f"Basic {base64.b64encode(good.encode()).decode()}"},
        {"authorization": f"Bearer {good[:-1]}"},
        {"authorization": f"Bearer {good}x"},
        {"authorization": f"Bearer {good.upper()}"},
        {"authorization": f"Bearer {expired}"},
        {"authorization": f"Bearer {revoked}"},
        {"authorization": f"Bearer {unsigned(token)}"},
        {"authorization": f"Bearer {head}.{claims}.{signature[:5]}{other}{signature[6:]}"},
        {"x-api-key": good},
        {"cookie": f"authorization=Bearer {good}; session={token}; api_key={good}"},
        {"proxy-authorization": f"Bearer {good}"},
    ]
    time.sleep(1.1)
    routes = [(method, filled(route)) for method, route in KEYED]
    routes += [("POST", path) for path in (*(route.path for route in ROUTES), COUNT_TOKENS)]
    assert len(routes) >= 40
    # Anthropic's clients show their keys so, and only its routes look there.
    by_header = [{"x-api-key": each["authorization"][7:]} for each in shown[4:-3]]
    with httpx.Client(base_url=gateway.url, timeout=TIMEOUT_S) as client:
        for method, path in routes:
            anthropic = path.startswith(MESSAGES)
            for headers in [*shown[:-3], *by_header, *shown[-2:]] if anthropic else shown:
                got = client.request(method, path, headers=headers, json={})
                assert got.status_code in {401, 429}, (method, path, headers, got.text)
            got = client.request(method, f"{path}?key={good}", json={})
            assert got.status_code == 400, (method, path)
            assert good not in got.text
    assert person.profile_status() == 200
    assert gateway.chat(user, {}).status_code == 200
    person.client.close()


def test_api3_no_property_is_set_or_told_that_is_not_the_callers(gateway: RunningGateway) -> None:
    """Broken object property level authorization: members that a user may not set change nothing,
    and no reply holds a hash, a sealed key or another's name (rule: access).
    """
    wish: dict[str, Any] = {
        "role": "admin",
        "is_admin": True,
        "credits": 10**6,
        "available_nano_usd": 10**15,
    }
    wish |= {"user_id": str(UUID(int=1)), "account_id": str(UUID(int=1)), "email_verified": True}
    person = Person(gateway)
    made = person.register(**wish)
    assert made["user_id"] != wish["user_id"]
    person.login()
    person.client.put("/user/profile", json={"name": "Ann", **wish})
    refused = person.client.post("/user/api-keys", json={"key_name": "more", **wish})
    assert refused.status_code == 400
    assert "unknown field" in refused.text
    profile = person.client.get("/user/profile").json()
    assert profile["user_id"] == made["user_id"]
    assert profile["credits_nano_usd"] == 0
    with httpx.Client(base_url=gateway.url, headers=person.client.headers) as client:
        assert client.get("/admin/rate-limits/system").status_code == 403
        for method, route in KEYED:
            if method == "GET" and "{" not in route.path:
                text = client.get(route.path).text
                assert not re.search(SEALED, text), (route.path, text)
                assert not re.search(r"gw_live_[A-Za-z0-9_-]{20}", text), route.path
    person.client.close()


def test_api4_each_request_is_bounded(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unrestricted resource consumption: bodies too large, too deep, too slow; pages and lists too
    long; more tokens than a model makes (rule: bounded).
    """
    monkeypatch.setattr(bodies, "JSON_TIMEOUT_S", 0.3)
    user, admin = gateway.user(), admin_of(gateway)
    documented = httpx.get(f"{gateway.url}/openapi.json").json()["paths"]
    reading = [
        (method, route.path)
        for method, route in SERVED
        if "requestBody" in documented[route.path_format][method.lower()]
    ]
    assert len(reading) >= 14
    person = Person(gateway)
    person.register()
    token = person.login()["access_token"]
    with gateway.client(admin) as client, closing(person.client) as signed_in:
        for method, path in reading:
            url = re.sub(r"{[^}]*}", user.key_id, path)
            asking = signed_in if path.startswith("/auth") else client
            asking.headers["content-type"] = "application/json"
            got = asking.request(method, url, content=b'{"a": "%b"}' % (b"x" * 600_000))
            assert got.status_code == 413, (method, path, got.text)
            got = asking.request(method, url, content=b"[" * 8_000)
            assert got.status_code == 400, (method, path, got.text)
            shown = token if path.startswith("/auth") else admin.api_key
            assert drip(gateway, method, url, shown).startswith(b"HTTP/1.1 408"), path
    with gateway.client(user) as client:
        for path in ("/user/credit-transactions", "/audit", "/user/api-keys/audit-logs"):
            assert client.get(path, params={"limit": 10**9}).status_code == 422
        many = {"key_name": "many", "ip_allowlist": ["10.0.0.1"] * 10_000}
        assert client.post("/user/api-keys", json=many).status_code == 400
        deep = json.dumps(ASK)[:-1].encode() + b', "metadata": %b}' % (b"[" * 9_000 + b"]" * 9_000)
        got = client.post("/v1/chat/completions", content=deep)
        assert got.status_code == 400
        assert client.post("/v1/chat/completions", json={**ASK, "n": 10**9}).status_code == 400
    gateway.verified()


def drip(gateway: RunningGateway, method: str, path: str, key: str) -> bytes:
    """What a request gets whose body does not come."""
    port = httpx.URL(gateway.url).port or 0
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as wire:
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        head += "content-type: application/json\r\n"
        wire.sendall(head.encode() + b"content-length: 100\r\n\r\n{")
        return wire.recv(65_536)


def test_api5_no_function_is_open_to_a_lesser_caller(gateway: RunningGateway) -> None:
    """Broken function level authorization: an administrator's routes refuse users and developers,
    and each route refuses a key without its scope, also an administrator's (rule: access).
    """
    user, developer, admin = gateway.user(), gateway.user(), admin_of(gateway)
    give_role(gateway.database, UUID(developer.user_id), "developer", actor=OPERATOR, reason="test")
    users = gateway.users()
    for_admins = 0
    for method, route in KEYED:
        (needed,) = needs_of(route.dependant)
        callers = [user.api_key, developer.api_key] if needed.startswith("admin:") else []
        for_admins += bool(callers)
        for key in callers:
            assert refused(gateway, method, route, key) == "forbidden", route.path
    for needed in Permission:
        scopes = [str(each) for each in {*Permission} - {needed}]
        _, key = users.create_key(admin.user_id, f"no {needed}", limits={"scopes": scopes})
        for method, route in KEYED:
            if needs_of(route.dependant) == {needed}:
                assert refused(gateway, method, route, key) == "insufficient_scope", route.path
    users.close()
    assert for_admins >= 8


def refused(gateway: RunningGateway, method: str, route: APIRoute, key: str) -> str:
    """The code of a 403."""
    headers = {"authorization": f"Bearer {key}"}
    got = httpx.request(method, gateway.url + filled(route), headers=headers)
    assert got.status_code == 403, (method, route.path, got.text)
    told = got.json()
    error = told.get("error", told)
    return str(error.get("data", error)["code"])  # JSON-RPC's own codes are numbers.


def test_api6_a_trial_is_not_had_by_the_dozen(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Unrestricted access to sensitive flows: one address of the network registers so often an
    hour, whatever it writes into headers; a trial begins once for an address, however that is
    written (money rule 10, rule: access).
    """
    with running_gateway(database, tmp_path, upstream, registrations_per_hour=3) as gateway:
        person = Person(gateway, "one@example.com")
        key = person.register(username="one")["api_key"]
        token = person.token("Verify")
        person.post("/auth/verify-email", token=token)
        person.post("/auth/verify-email", 400, token=token)
        again = {"email": "ONE@example.com", "username": "two", "password": "x" * 20}
        statuses = []
        for number in range(6):
            body = {**again, "email": f"n{number}@example.com", "username": f"n{number}"}
            if number == 0:
                body = again
            headers = {"x-forwarded-for": f"192.0.2.{number}", "x-real-ip": f"192.0.2.{number}"}
            got = person.client.post("/auth/register", json=body, headers=headers)
            statuses.append(got.status_code)
        assert statuses[0] == 400, "the same address, written otherwise"
        assert statuses.count(200) <= 2
        assert statuses[-2:] == [429, 429]
        with httpx.Client(base_url=gateway.url) as client:
            client.headers["authorization"] = f"Bearer {key}"
            grants = client.get("/user/credit-transactions").json()["transactions"]
        assert len(grants) == 1
        person.client.close()


def test_api7_no_url_of_a_callers_or_a_providers_is_fetched(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Server-side request forgery: a canary in our network hears nothing, wherever its address is
    written: by a caller, or by a provider that redirects calls and lists (rule: access).
    """
    canary = ScriptedUpstream(lambda connection, _: reply(connection, completion()))
    url = canary.base_url
    monkeypatch.setenv("OPENROUTER_API_KEY", "k")
    monkeypatch.setenv("OPENROUTER_BASE_URL", upstream.base_url)
    monkeypatch.setenv("MODELZ_BASE_URL", upstream.base_url)
    listed = list[str]()

    def redirect(connection: socket.socket, request: Request) -> None:
        listed.append(request.path)
        where = {"location": f"{url}{request.path}", "retry-after": url}
        reply(connection, b"", status=302, headers=where)

    upstream.answer = redirect
    with running_gateway(database, tmp_path, upstream) as gateway:
        user = gateway.user()
        assert eventually(lambda: "/v1/models" in listed)
        with gateway.client(user, referer=url, origin=url, **{"x-forwarded-host": url}) as client:
            assert client.get("/modelz/models").status_code == 503
            assert client.post("/v1/chat/completions", json=ASK).status_code == 502
            upstream.answer = lambda connection, _: reply(connection, completion(f"see {url}"))
            parts = [
                {"type": "text", "text": url},
                {"type": "image_url", "image_url": {"url": f"{url}/a.png"}},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "file", "file": {"file_data": f"{url}/a.pdf"}},
            ]
            body = {**ASK, "messages": [{"role": "user", "content": parts}], "webhook": url}
            got = client.post("/v1/chat/completions", json=body)
            assert got.status_code == 200, got.text
            assert f"{url}/a.png" in upstream.requests[-1].raw.decode()
            key = {"key_name": "k", "domain_referrers": [f"127.0.0.1:{canary.port}"]}
            assert client.post("/user/api-keys", json=key).status_code < 500
            client.put("/user/profile", json={"name": url, "settings": {"webhook": url}})
        gateway.verified()
    assert canary.connections == 0
    canary.close()


def test_api8_a_gateway_is_closed_as_it_stands(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Security misconfiguration: no version, no trace, no foreign origin, no method that nobody
    needs; a defect tells nothing of what is inside (rule: access).
    """

    def broken(*_: Any, **__: Any) -> Any:
        message = "SELECT secret FROM /srv/gatewayz"
        raise RuntimeError(message)

    with httpx.Client(base_url=gateway.url) as client:
        for method in ("TRACE", "PROPFIND", "OPTIONS"):
            got = client.request(
                method, "/user/balance", headers={"origin": "https://evil.example"}
            )
            assert got.status_code in {400, 405}, method
            assert "access-control-allow-origin" not in got.headers
        for path in ("/.env", "/.git/config", "/debug", "/admin", "/docs/files/..%2f..%2fapp.py"):
            assert client.get(path).status_code == 404, path
        monkeypatch.setattr("query_api.account.routes.usd", broken)
        headers = {"authorization": f"Bearer {gateway.user().api_key}"}
        got = client.get("/user/balance", headers=headers)
        assert (got.status_code, got.json()["code"]) == (500, "internal_error")
        assert not re.search(r"SELECT|Traceback|RuntimeError|\.py|/srv", got.text)
        for one in (got, client.get("/none"), client.get("/health")):
            assert not {"server", "x-powered-by", "set-cookie"} & one.headers.keys()


def test_api9_what_is_served_is_known(gateway: RunningGateway) -> None:
    """Improper inventory: every path that the application serves stands in its document and in
    the book, and nothing else is served (rule: docs, rule: access).
    """
    document = httpx.get(f"{gateway.url}/openapi.json").json()
    known = {f"{m.upper()} {path}" for path, methods in document["paths"].items() for m in methods}
    served = {f"{method} {route.path_format}" for method, route in SERVED}
    served |= {f"POST {path}" for path in (*(route.path for route in ROUTES), COUNT_TOKENS)}
    assert known == served
    book = (ROOT / "docs" / "reference" / "routes.md").read_text()
    for name in served:
        method, _, path = name.partition(" ")
        assert f"| {method} | `{path}` |" in book, name
    paths = {path for _, path in (name.split(" ") for name in served)}
    versions = {path.split("/")[1] for path in paths if re.match(r"/v\d", path)}
    assert versions == {"v1"}, "an old version that is served still"


@pytest.fixture
def small(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway that takes replies of a few kilobytes."""
    more = {"upstream_reply_bytes_max": 20_000}
    with running_gateway(database, tmp_path, upstream, **more) as made:
        yield made


@pytest.mark.parametrize(
    "answer",
    [
        {"body": b"<script>alert(1)</script>", "headers": {"content-type": "text/html"}},
        {"body": b"", "status": 302, "headers": {"location": "http://127.0.0.1:1/"}},
        {"body": completion("x" * 30_000)},
        {"body": b"[" * 15_000},
        {"body": b'{"choices": null}'},
        {"body": b'{"error": {"message": "sk-up is wrong"}}', "status": 401},
        {"body": b"\xff\xfe\x00"},
    ],
)
def test_api10_what_a_provider_says_is_not_believed(
    small: RunningGateway, upstream: ScriptedUpstream, answer: dict[str, Any]
) -> None:
    """Unsafe consumption of APIs: pages, redirects, floods, nonsense and our own key in a reply
    become an error in our words, and nothing is charged (money rule 4, rule: translation).
    """
    upstream.answer = lambda connection, _: reply(connection, **answer)
    user = small.user()
    before = small.balance(user)["available_nano_usd"]
    got = small.chat(user, {})
    assert got.status_code in {502, 503}, got.text
    assert got.headers["content-type"] == "application/json"
    assert "error" in got.json()
    assert "sk-up" not in got.text
    assert "<script" not in got.text
    assert small.balance(user)["available_nano_usd"] == before
    small.verified()
