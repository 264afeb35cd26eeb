"""Sessions within their callers' limits and under guards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus

from tests.command_api.limits.test_gate import key_of, limit
from tests.command_api.realtime.provider import answering, session, talking, until
from tests.support.harness import eventually

if TYPE_CHECKING:
    from event_store.postgres.database import Database

GUARDS = """
[[guard]]
name = "house-words"
kind = "blocked_terms"
fail = "closed"
terms = ["project nightjar"]
"""


def refusal(failed: pytest.ExceptionInfo[InvalidStatus]) -> tuple[int, str]:
    """The status and the code of an upgrade that was refused."""
    answer = failed.value.response
    assert answer.body is not None
    return answer.status_code, json.loads(answer.body)["error"]["code"]


def test_calls_at_once_count_sessions(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A session is a call under way until it ends (P1, rule: bounded)."""
    with talking(server, tmp_path_factory) as (gateway, talker):
        talker.behave = answering
        user = gateway.user()
        limit(gateway, key_of(user), concurrency=1)
        with session(gateway, user) as caller:
            until(caller, "session.created")
            with pytest.raises(InvalidStatus) as failed:
                session(gateway, user)
            assert refusal(failed)[0] == 429
        eventually(lambda: gateway.open_holds() == 0)
        with session(gateway, user) as caller:
            until(caller, "session.created")


def test_guards_cannot_be_gone_around(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nobody can look at what is said, so who is guarded has no session (rule: refuse clearly)."""
    file = tmp_path_factory.mktemp("guards") / "guards.toml"
    file.write_text(GUARDS)
    with (
        talking(server, tmp_path_factory, guardrails_file=file) as (gateway, _),
        pytest.raises(InvalidStatus) as failed,
    ):
        session(gateway, gateway.user())
    assert refusal(failed) == (403, "realtime_guarded")
