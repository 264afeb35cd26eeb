"""Calls with a customer's own provider key: who sees which, what is charged, whose fault it is."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import (
    DONE,
    USAGE,
    USD,
    RunningGateway,
    ScriptedUpstream,
    chunk,
    completion,
    eventually,
    reply,
    running_gateway,
    stream,
)
from tests.support.organisations import with_keys

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request

OWN = "sk-own-0123456789abcdefWXYZ"
OTHER = "sk-own-second-0123456789QRST"
HOUSE = "Bearer sk-up"
PATH = "/user/provider-keys"
FULL_NANO_USD = 10 * 150 + 5 * 600
"""10 tokens in and 5 out at the prices of `local/m`."""
ANTHROPIC = """
[[provider]]
name = "claude"
protocol = "anthropic"
base_url = "{base_url}"
api_key = "sk-house-claude"
headers = {{ x-secret-of-the-house = "sesame-open" }}
[[provider.model]]
id = "m"
input_per_million = "0.15"
output_per_million = "0.60"
max_output_tokens = 4096
[[provider]]
name = "second"
base_url = "{base_url}"
api_key = "sk-second"
[[provider.model]]
id = "m"
input_per_million = "3"
output_per_million = "3"
"""


def answer_well(connection: socket.socket, request: Request) -> None:
    """In the form and the way that is asked for."""
    if request.body.get("stream"):
        stream(connection, chunk({"role": "assistant", "content": "Hi"}), USAGE, DONE)
    elif request.path.endswith("/embeddings"):
        usage = {"prompt_tokens": 10, "total_tokens": 10}
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        made = {"object": "list", "model": "m", "data": data, "usage": usage}
        reply(connection, json.dumps(made).encode())
    else:
        reply(connection, completion())


def refuse(status: int, text: str = "no") -> Any:
    """Own keys are refused so; the house's is answered."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.headers.get("authorization") in (HOUSE, "Bearer sk-second"):
            answer_well(connection, request)
            return
        quoted = f"{text} {request.headers.get('authorization')}"
        reply(connection, json.dumps({"error": {"message": quoted}}).encode(), status=status)

    return answer


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """Answers well."""
    made = ScriptedUpstream(answer_well)
    yield made
    made.close()


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """Own keys are free of charge."""
    more = ANTHROPIC.format(base_url=upstream.base_url)
    with running_gateway(database, tmp_path, upstream, providers=more) as running:
        yield running


def store(gateway: RunningGateway, user: NewUser, **members: Any) -> str:
    """Store a key; its id."""
    with gateway.client(user) as client:
        answer = client.post(PATH, json={"provider": "local", "key": OWN, **members})
        assert answer.status_code == 200, answer.text
        assert OWN not in answer.text
        made: str = answer.json()["id"]
        return made


def seen(upstream: ScriptedUpstream) -> list[str]:
    """Which keys the upstream was called with."""
    return [each.headers["authorization"] for each in upstream.requests if each.method == "POST"]


def test_a_call_uses_the_own_key_and_costs_nothing(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """No credits are needed; both events are there, and tell whose it was (P2, money rule 7)."""
    poor, rich = gateway.user(grant=0), gateway.user()
    assert gateway.chat(poor, {}).status_code == 402
    key_id = store(gateway, poor)
    answer = gateway.chat(poor, {})
    assert answer.status_code == 200, answer.text
    assert seen(upstream) == [f"Bearer {OWN}"]
    story = gateway.story(poor, answer)
    assert (story["status"], story["held_nano_usd"], story["settled_nano_usd"]) == ("settled", 0, 0)
    assert story["price"]["source"].startswith("own key: 0 of 100 of local/m@")
    assert story["usage"]["input_tokens"] == 10
    assert [(each["own_key"], each["cost_nano_usd"]) for each in story["attempts"]] == [(key_id, 0)]
    assert gateway.chat(rich, {}).status_code == 200
    assert seen(upstream)[-1] == HOUSE
    gateway.verified()


def test_a_fee_is_its_share_of_the_price_exactly(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """7 percent, rounded once at the end; hold and settlement by one version (P4, money rule 1)."""
    with running_gateway(database, tmp_path, upstream, provider_key_fee_percent=7) as gateway:
        user = gateway.user(grant=USD)
        store(gateway, user)
        for streamed in (False, True):
            answer = gateway.chat(user, {"stream": streamed, "max_tokens": 10})
            assert answer.status_code == 200, answer.text
            story = gateway.story(user, answer)
            assert story["settled_nano_usd"] == FULL_NANO_USD * 7 // 100
            assert story["held_nano_usd"] >= story["settled_nano_usd"]
            assert story["attempts"][-1]["cost_nano_usd"] == 0
        balance = gateway.balance(user)
        assert str(USD - 2 * (FULL_NANO_USD * 7 // 100)) in json.dumps(balance)
        gateway.verified()


def test_every_operation_and_dialect_uses_it(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Whatever goes through attempts, in the provider's own header (P2)."""
    user = gateway.user()
    store(gateway, user)
    with gateway.client(user) as client:
        for path, body in (
            ("/v1/embeddings", {"model": "local/m", "input": "x"}),
            ("/v1/responses", {"model": "local/m", "input": "x"}),
            ("/v1/messages", {"model": "local/m", "max_tokens": 9, "messages": [_ask()]}),
            ("/v1/completions", {"model": "local/m", "prompt": "x"}),
            ("/v1/chat/completions", {"model": "local/m", "stream": True, "messages": [_ask()]}),
        ):
            answer = client.post(path, json=body)
            assert answer.status_code == 200, (path, answer.text)
            assert gateway.story(user, answer)["settled_nano_usd"] == 0
    assert set(seen(upstream)) == {f"Bearer {OWN}"}
    store(gateway, user, provider="claude", key=OTHER)
    upstream.answer = lambda connection, _: reply(
        connection,
        b'{"id":"m1","type":"message","role":"assistant","model":"m","content":[{"type":"text",'
        b'"text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5}}',
    )
    assert gateway.chat(user, {"model": "claude/m"}).status_code == 200
    with gateway.client(user) as client:
        body = {"model": "claude/m", "max_tokens": 9, "messages": [_ask()]}
        assert client.post("/v1/messages", json=body).status_code == 200
    for request in upstream.requests[-2:]:
        assert request.headers["x-api-key"] == OTHER
        assert "anthropic-version" in request.headers
        # What else the operator sends along authenticates the house, and nobody else.
        assert "x-secret-of-the-house" not in request.headers
    gateway.verified()


def _ask() -> dict[str, str]:
    return {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("status", "told", "code"),
    [
        (401, 403, "provider_key_rejected"),
        (402, 402, "provider_key_without_funds"),
        (403, 403, "provider_key_rejected"),
        (429, 429, "provider_key_limited"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_refused_own_key_is_its_owners_and_nobody_elses(
    gateway: RunningGateway,
    upstream: ScriptedUpstream,
    status: int,
    told: int,
    code: str,
    *,
    streamed: bool,
) -> None:
    """It is named, never quoted; the house's key, breaker and limit know nothing of it (P10)."""
    user, rich = gateway.user(), gateway.user()
    key_id = store(gateway, user)
    upstream.answer = refuse(status)
    answer = gateway.chat(user, {"model": "m", "stream": streamed})
    for _ in range(6):  # More than open a breaker.
        answer = gateway.chat(user, {"model": "m", "stream": streamed})
        assert (answer.status_code, answer.json()["error"]["code"]) == (told, code)
        message = answer.json()["error"]["message"]
        assert OWN not in answer.text
        assert "WXYZ" in message
        assert key_id in message
        assert "local" in message
    assert set(seen(upstream)) == {f"Bearer {OWN}"}
    story = gateway.story(user, answer)
    assert (story["status"], story["attempts"][0]["cost_nano_usd"]) == ("voided", 0)
    upstream.requests.clear()
    assert gateway.chat(rich, {"model": "local/m"}).status_code == 200
    assert seen(upstream) == [HOUSE]

    def health() -> tuple[Any, ...] | None:
        with gateway.database.connect() as connection:
            return connection.execute(
                "SELECT sum(attempts)::int, sum(failures)::int FROM read_provider_attempt "
                "HAVING sum(attempts) > 0"
            ).fetchone()

    # What own keys met is no health of the provider's, in the read model as in the process.
    assert eventually(health) == (1, 0)
    with gateway.database.connect() as connection:
        tried = connection.execute(
            "SELECT count(*) FROM events WHERE state::text LIKE %s", [f"%{OWN}%"]
        )
        assert tried.fetchone() == (0,)
    gateway.verified()


def test_a_refused_own_key_does_not_fill_the_log(
    gateway: RunningGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """A customer can go on with it without end: each is counted, and a line a minute says so
    (rule: bounded, rule: observable).
    """
    user = gateway.user()
    store(gateway, user)
    upstream.answer = refuse(401)

    def counted() -> int:
        with gateway.client(user) as client:
            lines = client.get("/metrics").text.splitlines()
        head = 'gatewayz_failed_attempts_total{code="status_401",key="own",provider="local"}'
        return sum(int(float(each.split()[-1])) for each in lines if each.startswith(head))

    before = counted()
    for _ in range(5):
        assert gateway.chat(user, {"model": "m"}).status_code == 403
    lines = [each for each in caplog.records if each.name == "gatewayz.attempts"]
    assert [each.levelno for each in lines] == [logging.WARNING]
    assert OWN not in caplog.text
    assert eventually(lambda: counted() == before + 5)


def test_only_with_fallback_the_house_pays_and_is_paid(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The hold covers the house's price then; without credits the own key alone is tried (P1)."""
    user, poor = gateway.user(), gateway.user(grant=0)
    store(gateway, user, fallback=True)
    store(gateway, poor, fallback=True)
    upstream.answer = refuse(401)
    answer = gateway.chat(user, {})
    assert answer.status_code == 200, answer.text
    assert seen(upstream) == [f"Bearer {OWN}", HOUSE]
    story = gateway.story(user, answer)
    assert story["settled_nano_usd"] == FULL_NANO_USD
    assert story["held_nano_usd"] >= FULL_NANO_USD
    assert [each["cost_nano_usd"] for each in story["attempts"]] == [0, FULL_NANO_USD]
    refused = gateway.chat(poor, {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "provider_key_rejected")
    gateway.verified()


def test_of_a_route_only_the_providers_with_own_keys_are_asked(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """`m` is offered by three; without a key of theirs the price is as for anybody (P10)."""
    user = gateway.user()
    store(gateway, user, provider="second")
    upstream.answer = refuse(500)
    answer = gateway.chat(user, {"model": "m"})
    assert answer.status_code == 502
    assert seen(upstream) == [f"Bearer {OWN}"]
    upstream.answer = answer_well
    answer = gateway.chat(user, {"model": "local/m"})
    assert gateway.story(user, answer)["settled_nano_usd"] == FULL_NANO_USD
    assert seen(upstream)[-1] == HOUSE


def test_replaced_disabled_and_removed_keys_are_used_no_more(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The next call knows of it; what was sealed is gone with the key (P5, P6)."""
    user = gateway.user()
    key_id = store(gateway, user)
    with gateway.client(user) as client:
        gateway.chat(user, {})
        changed = client.patch(f"{PATH}/{key_id}", json={"key": OTHER, "label": "new"})
        assert (changed.json()["hint"], changed.json()["label"]) == ("...QRST", "new")
        gateway.chat(user, {})
        assert client.patch(f"{PATH}/{key_id}", json={"enabled": False}).status_code == 200
        gateway.chat(user, {})
        assert client.patch(f"{PATH}/{key_id}", json={"enabled": True}).status_code == 200
        gateway.chat(user, {})
        assert client.delete(f"{PATH}/{key_id}").status_code == 200
        gateway.chat(user, {})
        assert client.get(f"{PATH}/{key_id}").status_code == 404
        assert client.delete(f"{PATH}/{key_id}").status_code == 404
    own, other = f"Bearer {OWN}", f"Bearer {OTHER}"
    assert seen(upstream) == [own, other, HOUSE, other, HOUSE]
    with gateway.database.connect() as connection:
        kept = connection.execute("SELECT count(*) FROM provider_key_secret").fetchone()
    assert kept == (0,)
    gateway.verified()


def test_a_call_under_way_ends_with_the_key_it_began_with(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Its key is removed meanwhile: it is answered, settled and free as it was held (P2, P3)."""
    user = gateway.user()
    key_id = store(gateway, user)
    asked, go_on = threading.Event(), threading.Event()

    def slowly(connection: socket.socket, _: Request) -> None:
        asked.set()
        assert go_on.wait(20)
        reply(connection, completion())

    upstream.answer = slowly
    answers: list[Any] = []
    call = threading.Thread(target=lambda: answers.append(gateway.chat(user, {})))
    call.start()
    assert asked.wait(20)
    with gateway.client(user) as client:
        assert client.delete(f"{PATH}/{key_id}").status_code == 200
    go_on.set()
    call.join(20)
    assert answers[0].status_code == 200
    story = gateway.story(user, answers[0])
    assert (story["status"], story["settled_nano_usd"]) == ("settled", 0)
    gateway.verified()


def test_a_projects_key_is_used_by_its_api_keys_alone(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Not by the members' own API keys; who may not manage it is refused (P10)."""
    ann, bob = gateway.user(), gateway.user()
    organisation, (of_ann, _) = with_keys(gateway, ann, bob)
    with gateway.client(ann) as client, gateway.client(bob) as theirs:
        projects = client.get(f"/organisations/{organisation}/projects").json()["projects"]
        project = projects[0]["id"]
        key_id = store(gateway, ann, project_id=project)
        body = {"provider": "second", "key": OWN, "project_id": project}
        assert theirs.post(PATH, json=body).status_code == 403
        assert theirs.patch(f"{PATH}/{key_id}", json={"enabled": False}).status_code == 403
        assert len(theirs.get(PATH, params={"project_id": project}).json()["data"]) == 1
        assert client.get(PATH).json()["data"] == []
        gateway.chat(ann, {})
        gateway.chat(replace(ann, api_key=of_ann), {})
        assert seen(upstream) == [HOUSE, f"Bearer {OWN}"]
        path = f"/organisations/{organisation}/projects/{project}"
        gone = client.request("DELETE", path, json={"confirmation": "ARCHIVE_PROJECT"})
        assert gone.status_code == 200
        assert client.get(f"{PATH}/{key_id}").status_code == 404
    with gateway.database.connect() as connection:
        kept = connection.execute("SELECT count(*) FROM provider_key_secret").fetchone()
    assert kept == (0,)
    gateway.verified()


def test_a_restarted_gateway_knows_it_and_an_unreadable_one_is_refused(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """What is sealed for another provider opens nothing, and the house's key stays unused (P10)."""
    with running_gateway(database, tmp_path, upstream) as gateway:
        user = gateway.user()
        store(gateway, user)
    with running_gateway(database, tmp_path, upstream) as gateway:
        assert gateway.chat(user, {}).status_code == 200
        assert seen(upstream) == [f"Bearer {OWN}"]
    with database.connect() as connection:
        connection.execute("UPDATE provider_key_secret SET sealed = sealed || '\\x00'::bytea")
    with running_gateway(database, tmp_path, upstream) as gateway:
        answer = gateway.chat(user, {})
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            503,
            "provider_key_unusable",
        )
        assert seen(upstream) == [f"Bearer {OWN}"]


def test_an_idempotent_call_is_replayed_after_its_key_is_gone(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The first answer at the first price, and nobody is asked again (P3)."""
    user = gateway.user()
    key_id = store(gateway, user)
    named = {"idempotency-key": "one"}
    first = gateway.chat(user, {}, **named)
    with gateway.client(user) as client:
        client.delete(f"{PATH}/{key_id}")
    again = gateway.chat(user, {}, **named)
    assert (again.headers["idempotent-replayed"], again.content) == ("true", first.content)
    assert seen(upstream) == [f"Bearer {OWN}"]


def test_whoever_leaves_takes_the_secret_along(gateway: RunningGateway) -> None:
    """The row goes with the data key (P5)."""
    user = gateway.user()
    store(gateway, user)
    with gateway.client(user) as client:
        gone = client.request("DELETE", "/user/account", json={"confirmation": "DELETE_ACCOUNT"})
        assert gone.status_code == 200, gone.text

    def kept() -> bool:
        with gateway.database.connect() as connection:
            found = connection.execute("SELECT count(*) FROM provider_key_secret").fetchone()
            return found == (0,)

    eventually(kept)
    gateway.verified()


def test_lines_of_batches_use_it_too(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """As any call of the batch's key, whose own key is looked up anew (P2)."""
    user = gateway.user()
    store(gateway, user)
    line = {
        "custom_id": "one",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "local/m", "messages": [_ask()]},
    }
    with gateway.client(user) as client:
        form: dict[str, Any] = {
            "files": {"file": ("lines.jsonl", json.dumps(line).encode())},
            "data": {"purpose": "batch"},
        }
        file = client.post("/v1/files", **form).json()["id"]
        asked = {
            "input_file_id": file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        batch = client.post("/v1/batches", json=asked).json()["id"]
        eventually(lambda: client.get(f"/v1/batches/{batch}").json()["status"] == "completed")
    assert seen(upstream) == [f"Bearer {OWN}"]
    gateway.verified()


def test_a_count_of_tokens_is_asked_with_it(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """And what the provider says of it is the own key's too (P10)."""
    user = gateway.user()
    key_id = store(gateway, user, provider="claude")
    body = {"model": "claude/m", "messages": [_ask()]}
    upstream.answer = lambda connection, _: reply(connection, b'{"input_tokens": 7}')
    with gateway.client(user) as client:
        assert client.post("/v1/messages/count_tokens", json=body).json()["input_tokens"] == 7
        assert upstream.requests[-1].headers["x-api-key"] == OWN
        quoting = json.dumps({"error": {"message": f"slow down {OWN}"}}).encode()
        upstream.answer = lambda connection, _: reply(connection, quoting, status=429)
        limited = client.post("/v1/messages/count_tokens", json=body)
    assert limited.status_code == 429
    assert key_id in limited.text
    assert OWN not in limited.text
