"""Every route as its document describes it, with bodies and parameters made of the document.

Schemathesis makes requests that fit it and such that do not; whoever asks, no answer may be a
defect, or one that the document does not know.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core import NotSet

from command_api.roles.commands import Actor, give_role
from tests.support.harness import completion, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

EXAMPLES = 60
"""For each route and caller, once of requests that fit and once of those that do not."""
SERVER_ERROR = 500
PASSING = {
    "projection_lagging",
    *("passkeys_not_set_up", "privy_not_set_up", "login_not_set_up"),
    *("payments_off", "webhooks_off"),
}
"""503s that say that this machine is busy, or that what is asked for is not set up here."""


class Asked:
    """A gateway with its document, callers, and ids that are really there."""

    def __init__(self, gateway: RunningGateway) -> None:
        """A user with a spare key, and an administrator."""
        user, admin = gateway.user(), gateway.user()
        users = gateway.users()
        spare_id, _ = users.create_key(user.user_id, "spare")
        users.close()
        give_role(
            gateway.database,
            UUID(admin.user_id),
            "admin",
            actor=Actor("operator:cli"),
            reason="test",
        )
        self.url = gateway.url
        self.document = httpx.get(f"{gateway.url}/openapi.json").json()
        self.schema = schemathesis.openapi.from_dict(self.document)
        call = gateway.chat(user, {})
        self.ids = {
            "key_id": spare_id,
            "user_id": user.user_id,
            "call_id": call.headers["x-gatewayz-call-id"],
            "model_id": "local/m",
            "provider": "local",
            "name": "local",
            "gateway": "local",
            "model": "m",
            "role": "user",
        }
        self.callers = {"nobody": "", "user": user.api_key, "admin": admin.api_key}
        self.client = httpx.Client(timeout=20)
        self.seen: Counter[int] = Counter()

    def ask(self, case: Any, key: str, *, real: bool) -> httpx.Response | None:
        """Send a case, as it came or about things that are there; None where HTTP has no form."""
        if real:
            for name in case.path_parameters:
                case.path_parameters[name] = self.ids.get(name, case.path_parameters[name])
            if isinstance(case.body, dict) and "model" in case.body:
                case.body["model"] = "simulator/echo"
        try:
            sent = case.as_transport_kwargs(base_url=self.url)
            headers = {name.lower(): str(value) for name, value in dict(sent["headers"]).items()}
            headers["authorization"] = f"Bearer {key}" if key else ""
            body = None if isinstance(case.body, NotSet) else json.dumps(case.body).encode()
            return self.client.request(
                sent["method"],
                sent["url"],
                params=sent.get("params"),
                content=body,
                headers=headers,
            )
        except (httpx.LocalProtocolError, httpx.InvalidURL, UnicodeError, TypeError, ValueError):
            return None

    def check(self, method: str, path: str, got: httpx.Response, caller: str) -> None:
        """No defect, and a status that the document names."""
        self.seen[got.status_code] += 1
        about = f"{caller}: {got.request.method} {got.request.url} {got.request.content!r}"
        told = f"{about} got {got.status_code}: {got.text[:300]}"
        body = got.json() if got.status_code >= SERVER_ERROR else {}
        code = body.get("error", body).get("code")
        assert got.status_code < SERVER_ERROR or code in PASSING, told
        known = self.document["paths"][path][method]["responses"]
        assert str(got.status_code) in known or not was_this_route(got, method, path), told


def was_this_route(got: httpx.Response, method: str, path: str) -> bool:
    """An empty parameter, or a slash in one, may lead to another route, or to none."""
    asked = httpx.URL(got.request.url).path
    return asked.count("/") == path.count("/") and "//" not in asked and bool(method)


@pytest.fixture
def asked(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Asked]:
    """One gateway, whose lists are there."""

    def answer(connection: socket.socket, request: Request) -> None:
        listed = request.path.startswith("/v1/api/tokens")
        reply(connection, b'[{"model_id": "a"}]' if listed else completion())

    upstream.answer = answer
    monkeypatch.setenv("MODELZ_BASE_URL", upstream.base_url)
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        made = Asked(gateway)
        yield made
        made.client.close()


def try_out(asked: Asked, method: str, path: str, caller: str, mode: GenerationMode) -> None:
    """Some requests to a route; what cannot be made to misfit is passed over."""
    operation = asked.schema[path][method.upper()]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=False,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def run(case: Any, *, real: bool) -> None:
        got = asked.ask(case, asked.callers[caller], real=real)
        if got is not None:
            asked.check(method, path, got, caller)

    with suppress(Unsatisfiable):
        run()


# The gateway, whose threads run beside the strategies, takes random numbers.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("caller", ["nobody", "user", "admin"])
def test_no_answer_is_a_defect_or_unknown_to_the_document(asked: Asked, caller: str) -> None:
    """Of both sides, asked rightly and wrongly (rule: contract, rule: refuse clearly)."""
    operations = [
        (path, method) for path, methods in asked.document["paths"].items() for method in methods
    ]
    assert len(operations) >= 60
    # Who leaves has a key no more.
    for path, method in sorted(operations, key=lambda each: each[0] == "/user/account"):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try_out(asked, method, path, caller, mode)
    assert asked.seen[400] >= 30
    assert asked.seen[200] >= (30 if caller == "nobody" else 100)
    if caller == "nobody":
        assert asked.seen[401] >= 100
    if caller == "user":
        assert asked.seen[403] >= 20
