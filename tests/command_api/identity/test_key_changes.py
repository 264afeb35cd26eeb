"""What changes of a key is so in every process within a second, whatever is not told."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command_api.identity import key_ring
from command_api.identity.key_orders import Maker
from tests.support.harness import eventually, running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

WITHIN_S = 1.0
SLOWNESS_S = 1.0
"""What a busy machine of the tests may add: a call waits its turn too."""
OPERATOR = Maker("test")


@pytest.mark.parametrize("told", [True, False], ids=["told", "lost"])
def test_a_change_is_so_everywhere_within_a_second(
    told: bool,
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two gateways that keep keys for an hour, and may never hear of anything (rule: access)."""
    if not told:
        monkeypatch.setattr(key_ring, "KEYS_CHANNEL", "nobody_speaks_here")
    with ExitStack() as stack:
        gateways = [
            stack.enter_context(
                running_gateway(database, tmp_path / name, upstream, key_cache_s=3600)
            )
            for name in "ab"
        ]
        user, known = gateways[0].user(), gateways[0].users()
        stack.callback(known.close)
        key = UUID(user.key_id)
        other = known.create_key(user.user_id, "other")[1]

        def all_get(status: int, api_key: str) -> float:
            """How long until each gateway answers so, seconds."""
            began = time.monotonic()
            person = replace(user, api_key=api_key)
            eventually(lambda: {at.chat(person, {}).status_code for at in gateways} == {status})
            return time.monotonic() - began

        within = WITHIN_S + SLOWNESS_S
        all_get(200, user.api_key)
        known.keys.change(key, OPERATOR, {"is_active": False}, {})
        assert all_get(401, user.api_key) < within
        known.keys.change(key, OPERATOR, {"is_active": True}, {})
        assert all_get(200, user.api_key) < within
        known.keys.change(key, OPERATOR, {}, {"ip_allowlist": ["203.0.113.1"]})
        assert all_get(403, user.api_key) < within
        known.keys.change(key, OPERATOR, {}, {"ip_allowlist": []})
        assert all_get(200, user.api_key) < within
        made = known.keys.rotate(key, OPERATOR, timedelta())
        assert all_get(401, user.api_key) < within
        assert all_get(200, made.api_key) < within
        all_get(200, other)
        known.revoke_key(other, "test")
        assert all_get(401, other) < within


def test_many_changes_at_once_are_none_too_many(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than a look takes in: all keys are asked for anew (rule: bounded)."""
    monkeypatch.setattr(key_ring, "KEYS_CHANNEL", "nobody_speaks_here")
    monkeypatch.setattr(key_ring, "CHANGED_MAX", 2)
    with running_gateway(database, tmp_path / "home", upstream, key_cache_s=3600) as gateway:
        user, known = gateway.user(), gateway.users()
        made = [known.create_key(user.user_id, f"key {n}") for n in range(4)]
        people = [replace(user, api_key=key) for _, key in made]
        assert {gateway.chat(each, {}).status_code for each in people} == {200}
        for key_id, _ in made:
            known.revoke_key(key_id, "test")
        known.close()
        eventually(lambda: {gateway.chat(each, {}).status_code for each in people} == {401})
