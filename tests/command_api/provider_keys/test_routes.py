"""/user/provider-keys: what is stored, shown, refused and checked."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from projections.hosting.verify import verify
from tests.support.harness import RunningGateway, ScriptedUpstream, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request

PATH = "/user/provider-keys"
OWN = "sk-own-0123456789abcdefWXYZ"
MORE = """
[[provider]]
name = "groq"
base_url = "{base_url}"
api_key = "gsk-house"
"""
MOST = 3


def answer(connection: socket.socket, request: Request) -> None:
    """A list of models, for who has the right key."""
    status = {f"Bearer {OWN}": 200, "Bearer gsk-house": 200}.get(
        request.headers.get("authorization", ""), 401
    )
    reply(connection, b'{"object":"list","data":[]}', status=status)


@pytest.fixture
def gateway(database: Database, tmp_path: Path) -> Iterator[RunningGateway]:
    """Two providers take keys; an organisation has at most three."""
    upstream = ScriptedUpstream(answer)
    with running_gateway(
        database,
        tmp_path,
        upstream,
        providers=MORE.format(base_url=upstream.base_url),
        provider_keys_per_organisation_max=MOST,
    ) as running:
        yield running
    upstream.close()


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """Somebody without keys."""
    with gateway.client(gateway.user()) as made:
        yield made


def stored(client: httpx.Client, **members: Any) -> dict[str, Any]:
    """A key, as it is shown."""
    made = client.post(PATH, json={"provider": "groq", "key": OWN, **members})
    assert made.status_code == 200, made.text
    shown: dict[str, Any] = made.json()
    return shown


def test_a_key_is_shown_by_its_end_and_never_again(
    gateway: RunningGateway, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """In no reply, event, audit, metric or log, nor in a table as it is (P5)."""
    caplog.set_level(logging.DEBUG)
    made = stored(client, label="ours")
    assert (made["hint"], made["label"], made["project_id"]) == ("...WXYZ", "ours", None)
    told = [client.get(PATH), client.get(f"{PATH}/{made['id']}"), client.get("/audit")]
    assert told[0].json()["data"] == [made]
    assert told[1].json() == made
    told += [client.patch(f"{PATH}/{made['id']}", json={"key": OWN, "label": "x"})]
    told += [client.get("/metrics"), client.get("/v1/models")]
    assert all(OWN not in each.text for each in told)
    assert told[0].headers["cache-control"] == "no-store"
    assert OWN not in caplog.text
    with gateway.database.connect() as connection:
        for table in ("events", "provider_key", "provider_key_secret"):
            rows = connection.execute(f"SELECT t::text FROM {table} t").fetchall()
            assert rows
            assert all(OWN not in row for (row,) in rows)
            assert all(OWN.encode().hex() not in row for (row,) in rows)
        topics = connection.execute(
            "SELECT topic FROM events WHERE topic LIKE 'provider_key%' ORDER BY notification_id"
        ).fetchall()
    # The same secret again is no change.
    assert topics == [("provider_key.stored.v1",), ("provider_key.changed.v1",)]
    gateway.verified()


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "provider"),
        ({"provider": "groq"}, "missing_required_parameter", "key"),
        ({"provider": "groq", "key": 7}, "invalid_type", "key"),
        ({"provider": "groq", "key": None}, "invalid_type", "key"),
        ({"provider": "groq", "key": ""}, "invalid_value", "key"),
        ({"provider": "groq", "key": "short"}, "invalid_value", "key"),
        ({"provider": "groq", "key": "x" * 1_025}, "invalid_value", "key"),
        ({"provider": "groq", "key": f"{OWN}\r\nx-evil: 1"}, "invalid_value", "key"),
        ({"provider": "groq", "key": f"{OWN} {OWN}"}, "invalid_value", "key"),
        ({"provider": "groq", "key": OWN, "label": "x" * 101}, "invalid_value", "label"),
        ({"provider": "groq", "key": OWN, "label": "a\nb"}, "invalid_value", "label"),
        ({"provider": "groq", "key": OWN, "base_url": "http://evil"}, "invalid_type", None),
        ({"provider": "groq", "key": OWN, "headers": {"host": "evil"}}, "invalid_type", None),
        ({"provider": "http://evil/", "key": OWN}, "unknown_provider", "provider"),
        ({"provider": "", "key": OWN}, "unknown_provider", "provider"),
        ({"provider": "openai", "key": OWN}, "unknown_provider", "provider"),
        ({"provider": "google-vertex", "key": OWN}, "unknown_provider", "provider"),
        ({"provider": "simulator", "key": OWN}, "provider_takes_no_key", "provider"),
        ({"provider": "groq", "key": OWN, "fallback": "yes"}, "invalid_type", "fallback"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_not_quoted(
    client: httpx.Client, body: dict[str, Any], code: str, param: str | None
) -> None:
    """A member of the body is named; nothing in it chooses a host (rule: refuse clearly, P5)."""
    refused = client.post(PATH, json=body)
    assert refused.status_code == 400, refused.text
    assert refused.json()["code"] == code
    if param is not None:
        assert param in refused.json()["detail"].lower()
    assert OWN not in refused.text
    assert client.get(PATH).json()["data"] == []


def test_bodies_without_end_or_sense_change_nothing(client: httpx.Client) -> None:
    """Too large, not JSON, an empty change, ids that are none (rule: bounded)."""
    made = stored(client)
    assert client.post(PATH, content=b"x" * 10_000).status_code == 413
    assert client.post(PATH, content=b"{").status_code == 400
    one = f"{PATH}/{made['id']}"
    assert client.patch(one, json={}).status_code == 400
    assert client.patch(one, json={"provider": "local"}).status_code == 400
    assert client.patch(one, json={"key": "bad key with spaces in it"}).status_code == 400
    for name in ("0", "x" * 300, "01a22d1f-1b7b-762f-a09c-2fccb6c5dbd1"):
        for method in ("GET", "PATCH", "DELETE"):
            found = client.request(method, f"{PATH}/{name}", json={"label": "x"})
            assert found.status_code == 404, (method, name, found.text)
        assert client.post(f"{PATH}/{name}/check").status_code == 404
        wrong = client.get(PATH, params={"project_id": name[:60]})
        assert (wrong.status_code, wrong.json()["code"]) == (404, "project_not_found")
    assert client.get(PATH).json()["data"] == [made]


def test_one_key_for_a_provider_and_so_many_for_an_organisation(
    gateway: RunningGateway,
    client: httpx.Client,
) -> None:
    """Also where many come at once; what was refused left nothing (rule: bounded, P1)."""
    organisation = client.post("/organisations", json={"name": "Ours"}).json()["id"]
    projects = [
        client.post(f"/organisations/{organisation}/projects", json={"name": f"p{n}"}).json()["id"]
        for n in range(4)
    ]

    def put(body: tuple[str, str]) -> tuple[int, str]:
        provider, project = body
        asked = {"provider": provider, "key": OWN, "project_id": project}
        answered = client.post(PATH, json=asked)
        return answered.status_code, answered.json().get("code", "")

    with ThreadPoolExecutor(8) as threads:
        twice = list(threads.map(put, [("groq", projects[0])] * 4))
        assert sorted(twice) == [(200, ""), *[(409, "provider_key_exists")] * 3]
        many = list(threads.map(put, [(p, q) for p in ("groq", "local") for q in projects[1:]]))
    assert many.count((200, "")) == MOST - 1
    assert {each for each in many if each[0] != 200} == {(400, "too_many_provider_keys")}
    with gateway.database.connect() as connection:
        rows = connection.execute(
            "SELECT (SELECT count(*) FROM provider_key), (SELECT count(*) FROM provider_key_secret)"
        ).fetchone()
    assert rows == (MOST, MOST)
    gateway.verified()


def test_a_check_asks_for_the_models_with_the_key(
    gateway: RunningGateway, client: httpx.Client
) -> None:
    """It says what the provider says, holds nothing, and refuses where there is no list (P10)."""
    made, events = stored(client), gateway.events()
    check = client.post(f"{PATH}/{made['id']}/check")
    assert (check.json()["result"], check.json()["upstream_status"]) == ("accepted", 200)
    asked = gateway.upstream.requests[-1]
    assert (asked.method, asked.path) == ("GET", "/v1/models")
    assert asked.headers["authorization"] == f"Bearer {OWN}"
    assert gateway.events() == events
    client.patch(f"{PATH}/{made['id']}", json={"key": OWN[::-1]})
    check = client.post(f"{PATH}/{made['id']}/check")
    assert (check.json()["result"], check.json()["upstream_status"]) == ("rejected", 401)
    gateway.upstream.answer = lambda connection, _: connection.close() or "close"
    check = client.post(f"{PATH}/{made['id']}/check")
    assert (check.json()["result"], check.json()["upstream_status"]) == ("unclear", None)
    local = stored(client, provider="local")
    refused = client.post(f"{PATH}/{local['id']}/check")
    assert (refused.status_code, refused.json()["code"]) == (400, "provider_key_not_checkable")


def test_keys_of_projects_and_keys_without_the_scope_manage_none(
    gateway: RunningGateway, client: httpx.Client
) -> None:
    """As they manage no API keys (P10)."""
    made = stored(client)
    read = {"key_name": "reads", "scope_permissions": {"read": ["models", "api_keys"]}}
    narrow = client.post("/user/api-keys", json=read).json()["api_key"]
    organisation = client.post("/organisations", json={"name": "Ours"}).json()["id"]
    path = f"/organisations/{organisation}/projects"
    project = client.post(path, json={"name": "p"}).json()["id"]
    of = client.post("/user/api-keys", json={"key_name": "of", "project_id": project}).json()
    for key, seen in ((narrow, 200), (of["api_key"], 403)):
        with httpx.Client(
            base_url=gateway.url, headers={"authorization": f"Bearer {key}"}
        ) as other:
            assert other.get(PATH).status_code == seen
            body = {"provider": "local", "key": OWN}
            assert other.post(PATH, json=body).status_code == 403
            for method in ("PATCH", "DELETE"):
                tried = other.request(method, f"{PATH}/{made['id']}", json={"label": "x"})
                assert tried.status_code == 403
    assert json.loads(client.get(PATH).text)["data"] == [made]


def test_a_table_that_differs_from_the_log_is_named(
    gateway: RunningGateway, client: httpx.Client
) -> None:
    """So nobody lets the house's key follow unseen (P8)."""
    made = stored(client)
    with gateway.database.connect() as connection:
        connection.execute("UPDATE provider_key SET fallback = true")
    found = verify(gateway.database).differences
    assert len(found) == 1
    assert found[0].startswith(f"provider_key {made['id']}: stored")
