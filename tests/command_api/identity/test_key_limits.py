"""A limited key opens what its lists allow, on the inference routes and on all others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import ScriptedUpstream, completion, reply, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

FORWARDED = "x-forwarded-for"
TWO = """
[[provider]]
name = "first"
base_url = "{url}"
[[provider.model]]
id = "org/model"
input_per_million = "1"
output_per_million = "1"
[[provider]]
name = "second"
base_url = "{url}"
[[provider.model]]
id = "org/model"
input_per_million = "2"
output_per_million = "2"
"""


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """Two providers of one model beside the usual one, and one trusted proxy: ourselves."""
    with running_gateway(
        database,
        tmp_path / "home",
        upstream,
        providers=TWO.format(url=upstream.base_url),
        trusted_proxies="127.0.0.1, 10.0.0.0/8",
    ) as serving:
        yield serving


def limited(gateway: RunningGateway, user: NewUser, **limits: list[str]) -> NewUser:
    """The user with another key, which is limited."""
    known = gateway.users()
    try:
        name = f"limited {sorted(limits.items())}"[:90]
        _, key = known.create_key(user.user_id, name, limits=limits)
    finally:
        known.close()
    return replace(user, api_key=key)


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code, of either envelope."""
    said = answer.json()
    return answer.status_code, said.get("error", said).get("code", "")


def both(gateway: RunningGateway, user: NewUser, **headers: str) -> set[tuple[int, str]]:
    """What a call and a read get."""
    with gateway.client(user, **headers) as client:
        read = client.get("/user/balance")
    return {told(gateway.chat(user, {}, **headers)), told(read)}


def test_a_key_with_a_scope_does_that_alone(gateway: RunningGateway) -> None:
    """403 names what lacks, and the refusal has a call id as every other (rule: access)."""
    reader = limited(gateway, gateway.user(), scopes=["read:usage"])
    refused = gateway.chat(reader, {})
    assert told(refused) == (403, "insufficient_scope")
    assert refused.json()["error"]["scope"] == "write:chat"
    assert refused.headers["x-gatewayz-call-id"]
    assert gateway.balance(reader)["status"] == "active"
    caller = limited(gateway, gateway.user(), scopes=["write:chat"])
    assert gateway.chat(caller, {}).status_code == 200
    with gateway.client(caller) as client:
        assert told(client.get("/user/balance")) == (403, "insufficient_scope")
    assert gateway.upstream.requests[-1].path.endswith("/chat/completions")
    gateway.verified()


def test_a_key_with_addresses_opens_from_there_alone(gateway: RunningGateway) -> None:
    """Behind the proxy that is trusted, whatever the client says before it (rule: access)."""
    user = limited(gateway, gateway.user(), ip_allowlist=["203.0.113.0/24", "2001:db8::/32"])
    for inside in ("203.0.113.9", "198.51.100.1, 203.0.113.9", "203.0.113.9, 10.1.1.1"):
        assert both(gateway, user, **{FORWARDED: inside}) == {(200, "")}
    for outside in ("203.0.113.9, 198.51.100.1", "198.51.100.1", "garbage", "203.0.113.9,", "::1"):
        assert both(gateway, user, **{FORWARDED: outside}) == {(403, "ip_not_allowed")}
    assert both(gateway, user) == {(403, "ip_not_allowed")}
    here = limited(gateway, user, ip_allowlist=["::ffff:127.0.0.1"])
    assert both(gateway, here) == {(200, "")}


def test_without_a_trusted_proxy_nobody_is_believed(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """X-Forwarded-For is then a header as any other (rule: access)."""
    with running_gateway(database, tmp_path / "home", upstream) as serving:
        user = limited(serving, serving.user(), ip_allowlist=["203.0.113.9"])
        assert both(serving, user, **{FORWARDED: "203.0.113.9"}) == {(403, "ip_not_allowed")}
        here = limited(serving, user, ip_allowlist=["127.0.0.0/8"])
        assert both(serving, here, **{FORWARDED: "203.0.113.9"}) == {(200, "")}


def test_a_key_of_a_domain_opens_for_its_pages(gateway: RunningGateway) -> None:
    """Each header that names the page must name one of them (rule: access)."""
    user = limited(gateway, gateway.user(), domain_referrers=["example.com"])
    good, bad = "https://app.example.com", "https://example.com.evil.org"
    for headers in ({"referer": f"{good}/x"}, {"origin": good}, {"origin": good, "referer": good}):
        assert both(gateway, user, **headers) == {(200, "")}
    for headers in ({}, {"referer": bad}, {"origin": bad, "referer": good}, {"http-referer": good}):
        assert both(gateway, user, **headers) == {(403, "referrer_not_allowed")}


def test_a_key_of_models_calls_those_alone(gateway: RunningGateway) -> None:
    """The fallbacks too; the refusal names what is allowed (rule: access, rule: refuse clearly)."""
    user = limited(gateway, gateway.user(), models=["local/*", "org/model"])
    for body in ({}, {"model": "org/model"}, {"models": ["org/model"]}):
        assert gateway.chat(user, body).status_code == 200
    asked = len(gateway.upstream.requests)
    for body in (
        {"model": "simulator/echo"},
        {"model": "m"},
        {"model": "first/org/model"},
        {"models": ["simulator/echo"]},
    ):
        refused = gateway.chat(user, body)
        assert told(refused) == (403, "model_not_allowed")
        assert refused.json()["error"]["allowed_models"] == ["local/*", "org/model"]
        assert "local/*, org/model" in refused.json()["error"]["message"]
    assert len(gateway.upstream.requests) == asked
    gateway.verified()


def test_a_key_of_providers_asks_those_alone(gateway: RunningGateway) -> None:
    """In failover too; one that is named against the list is refused (rule: access, P10)."""
    asked: list[dict[str, Any]] = []

    def failing(connection: Any, request: Any) -> None:
        asked.append(request.body)
        reply(connection, completion(), status=503)

    user = limited(gateway, gateway.user(), providers=["second"])
    assert gateway.chat(user, {"model": "org/model"}).headers["x-gatewayz-provider"] == "second"
    gateway.upstream.answer = failing
    assert gateway.chat(user, {"model": "org/model"}).status_code == 503
    assert len(asked) == 1
    for body in (
        {"model": "first/org/model"},
        {"model": "org/model", "provider": "first"},
        {"model": "local/m"},
        {"model": "org/model", "models": ["local/m"]},
    ):
        assert told(gateway.chat(user, body)) == (403, "provider_not_allowed")
    only = {"model": "org/model", "provider": {"only": ["first"]}}
    assert told(gateway.chat(user, only)) == (404, "no_provider_fits")
    assert len(asked) == 1
    gateway.verified()


def test_a_kept_reply_is_of_a_provider_that_the_key_may_use(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """What another key of the account was answered is not passed on (rule: access)."""
    providers = TWO.format(url=upstream.base_url)
    with running_gateway(
        database, tmp_path / "home", upstream, providers=providers, response_cache_s=60
    ) as serving:
        user = serving.user()
        first = limited(serving, user, providers=["first"])
        second = limited(serving, user, providers=["second"])
        told_of = [
            (got.headers["x-gatewayz-provider"], got.headers["x-gatewayz-cache"])
            for got in (
                serving.chat(each, {"model": "org/model"}) for each in (first, first, second)
            )
        ]
        assert told_of == [("first", "miss"), ("first", "hit"), ("second", "miss")]


def test_a_key_in_the_address_is_refused_and_not_written_down(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """On every route, with a header or without; no line of any log holds it (rule: access, P5)."""
    with running_gateway(database, tmp_path / "home", upstream, request_log=True) as serving:
        user = serving.user()
        with serving.client(user) as client:
            for name in ("api_key", "key", "x"):
                got = client.get("/user/balance", params={name: user.api_key})
                assert told(got) == (400, "key_in_url")
                got = client.post("/v1/chat/completions", params={name: user.api_key}, json={})
                assert told(got) == (400, "key_in_url")
                assert got.json()["error"]["type"] == "invalid_request_error"
                assert user.api_key not in got.text
            assert client.get(f"/v1/calls/{user.api_key}").status_code in {400, 404}
    written = capfd.readouterr()
    assert '"status":400' in written.out
    assert user.api_key not in written.out + written.err
    assert not upstream.requests
