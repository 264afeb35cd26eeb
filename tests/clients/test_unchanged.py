"""Clients in other languages and frameworks work against the gateway as they are."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers import fetch
from tests.servers.provide import absent

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway

SCRIPTS = Path(__file__).parent / "scripts"
TEXT = "one two three"


def driven(gateway: RunningGateway, program: Path, script: Path, tmp_path: Path) -> Any:
    """What a script printed that was given a new user's key; what it was charged is settled."""
    user = gateway.user()
    got = subprocess.run(
        [str(program), str(script), gateway.url, user.api_key],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
        # The last: LiteLLM asks for no list of prices from elsewhere.
        env={"HOME": str(tmp_path), "PATH": os.defpath, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
    assert got.returncode == 0, got.stderr
    report = gateway.verified()
    assert report.open_holds == 0
    return json.loads(got.stdout.splitlines()[-1])  # Some say other things before.


def of_npm(gateway: RunningGateway, name: str, tmp_path: Path) -> Any:
    """What the script printed beside the installed clients."""
    try:
        program, modules = fetch.node(), fetch.npm_clients()
    except fetch.MissingServerError as error:
        absent("node", error)
    (tmp_path / "node_modules").symlink_to(modules)
    script = tmp_path / f"{name}.mjs"
    script.write_bytes((fetch.NODE_PROJECT / script.name).read_bytes())
    return driven(gateway, program, script, tmp_path)


def of_python(gateway: RunningGateway, name: str, tmp_path: Path) -> Any:
    """What the script printed in the client's own environment."""
    try:
        python = fetch.python_client(name)
    except fetch.MissingServerError as error:
        absent(name, error)
    script = tmp_path / "drive.py"  # Not by the client's name, which it would hide.
    script.write_bytes((SCRIPTS / f"{name}.py").read_bytes())
    return driven(gateway, python, script, tmp_path)


def test_openais_npm_client(gateway: RunningGateway, tmp_path: Path) -> None:
    """JSON, stream, tools, embeddings, images, models, errors (rule: contract)."""
    found = of_npm(gateway, "openai", tmp_path)
    assert found.pop("first") == 1  # One word, however its numbers came.
    assert "simulator/echo" in found.pop("models")
    assert found == {
        "whole": TEXT,
        "text": TEXT,
        "usage": 3,
        "tool": "roll",
        "vectors": [8, 8],
        "images": 2,
        "unknown": ["NotFoundError", 404, "model_not_found"],
        "limited": ["RateLimitError", 429, "upstream_rate_limited"],
    }


def test_anthropics_npm_client(gateway: RunningGateway, tmp_path: Path) -> None:
    """JSON, the stream's helpers, a tool and its result, counting, errors (rule: contract)."""
    assert of_npm(gateway, "anthropic", tmp_path) == {
        "whole": ["message", TEXT, 3, "end_turn"],
        "text": TEXT,
        "final": [TEXT, 3],
        "tool": ["roll", "tool_use"],
        "answered": "four",
        "counted": True,
        "unknown": ["NotFoundError", 404, "not_found_error"],
    }


def test_vercels_ai_sdk(gateway: RunningGateway, tmp_path: Path) -> None:
    """By all three protocols: whole, streamed, a tool that it runs, usage (rule: contract)."""
    found = of_npm(gateway, "vercel", tmp_path)
    assert found.pop("vectors") == [8, 8]
    assert found.pop("unknown") == ["AI_APICallError", 404, "model_not_found"]
    each = {
        "whole": TEXT,
        "usage": 3,
        "text": TEXT,
        "streamed": 3,
        "finish": "stop",
        "called": ["roll"],
        "answered": '{"rolled":4}',
    }
    assert found == dict.fromkeys(("chat", "compatible", "messages", "responses"), each)


def test_litellm_as_a_client(gateway: RunningGateway, tmp_path: Path) -> None:
    """With its OpenAI and Anthropic providers, and Responses (rule: contract)."""
    each = {"whole": TEXT, "usage": 3, "text": TEXT, "tool": "roll"}
    assert of_python(gateway, "litellm", tmp_path) == {
        "openai": each,
        "anthropic": each,
        "responses": "one two",
        "vectors": [8, 8],
        "unknown": ["NotFoundError", 404],
    }


def test_instructor(gateway: RunningGateway, tmp_path: Path) -> None:
    """What is answered becomes the model that was asked for (rule: contract)."""
    said = '{"answer": "one two"}'
    assert of_python(gateway, "instructor", tmp_path) == {
        "json_mode": said,
        "json_schema_mode": said,
        "anthropic": "one two",
    }


def test_pydantic_ai(gateway: RunningGateway, tmp_path: Path) -> None:
    """By all three protocols, whole and streamed (rule: contract)."""
    each = {"whole": TEXT, "usage": 3, "text": TEXT}
    found = of_python(gateway, "pydantic-ai", tmp_path)
    assert found.pop("unknown") == 404
    assert found == dict.fromkeys(("chat", "responses", "messages"), each)


TOOLS = ["list_models", "get_model", "get_balance", "list_calls", "get_call", "find_call"]
GRANTED = 10_000_000_000
"""What a new user of the tests has, nano-USD."""


def test_the_official_python_client_of_mcp(gateway: RunningGateway, tmp_path: Path) -> None:
    """By the newest revision, and by the handshake of those before (rule: contract)."""
    found = of_python(gateway, "mcp", tmp_path)
    each = {
        "tools": TOOLS,
        "available": GRANTED,
        "model": "simulator/echo",
        "offers": 1,
        "calls": 0,
        "wrong": [True, True],
        "unknown": -32602,
    }
    assert found == {
        "auto": {"revision": "2026-07-28", **each},
        "legacy": {"revision": "2025-11-25", **each},
        "refused": True,
    }


def test_the_official_python_client_of_mcp_before_2(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    """Clients in the field are of that release: handshake and tools (rule: contract)."""
    assert of_python(gateway, "mcp-1", tmp_path) == {
        "revision": "2025-11-25",
        "session": None,
        "tools": len(TOOLS),
        "read_only": True,
        "available": GRANTED,
        "wrong": True,
    }


def test_the_official_npm_client_of_mcp(gateway: RunningGateway, tmp_path: Path) -> None:
    """Handshake, tools, arguments that cannot be, a key that is none (rule: contract)."""
    assert of_npm(gateway, "mcp", tmp_path) == {
        "server": "gatewayz",
        "tools": TOOLS,
        "readOnly": True,
        "available": GRANTED,
        "same": True,
        "offers": 1,
        "calls": 0,
        "wrong": True,
        "unknown": -32602,
        "refused": 401,
    }
