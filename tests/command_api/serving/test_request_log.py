"""The request log: one line of JSON a request, without prompt or key, and never in the way."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from command_api.serving import request_log
from command_api.serving.request_log import RequestLog
from tests.support.harness import eventually, running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PROMPT = "a prompt that nobody else may read"


def test_each_request_is_a_line(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Call, route, status, time, model, provider, tokens, cost, trace; no prompt, no key
    (rule: observable, rule: access).
    """
    with running_gateway(database, tmp_path / "home", upstream, request_log=True) as gateway:
        user = gateway.user()
        body: dict[str, Any] = {"messages": [{"role": "user", "content": PROMPT}]}
        made = gateway.chat(user, body, traceparent=TRACE)
        story = gateway.story(user, made)
        gateway.chat(user, {"model": "nobody/none"})
        gateway.chat(user, {**body, "model": "simulator/echo", "stream": True})
    text = capfd.readouterr().out
    whole, read, refused, streamed = (json.loads(line) for line in text.strip().splitlines())
    assert (
        whole.items()
        >= {
            "method": "POST",
            "route": "/v1/chat/completions",
            "status": 200,
            "call_id": story["id"],
            "model": "m",
            "provider": "local",
            "stream": False,
            "attempts": 1,
            "input_tokens": story["usage"]["input_tokens"],
            "output_tokens": story["usage"]["output_tokens"],
            "cost_nano_usd": story["settled_nano_usd"],
            "key_id": user.key_id,
            "traceparent": TRACE,
        }.items()
    )
    assert 0 <= whole["duration_ms"] < 60_000
    assert read.items() >= {"route": f"/v1/calls/{story['id']}", "status": 200}.items()
    assert (refused["status"], "model" in refused) == (404, False)
    assert streamed.items() >= {"stream": True, "provider": "simulator", "status": 200}.items()
    assert streamed["cost_nano_usd"] > 0
    for hidden in (PROMPT, user.api_key):
        assert hidden not in text


def test_a_reader_that_stalls_costs_lines_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is dropped, and the next line says how many (rule: bounded)."""
    monkeypatch.setattr(request_log, "LINES_MAX", 8)
    reading, writing = os.pipe()
    log = RequestLog(writing)
    began = time.monotonic()
    told = 2_000
    for number in range(told):
        log.tell({"number": number, "filling": "x" * 1_000})
    assert time.monotonic() - began < 5
    found = list[dict[str, Any]]()
    with os.fdopen(reading, "rb") as lines:

        def drained() -> bool:
            log.tell({"number": told})
            found.append(json.loads(lines.readline()))
            return bool(found[-1]["number"] == told)

        eventually(drained)
    dropped = sum(each.get("dropped_before", 0) for each in found)
    assert 0 < dropped < told
    assert [each["number"] for each in found] == sorted(each["number"] for each in found)
    os.close(writing)
