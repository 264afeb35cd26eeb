"""What the tests of Responses share: bodies, OpenAI's replies and events, who plays them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.command_api.calls.messages import asked_last, plays, says
from tests.support.harness import ScriptedUpstream, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    import pytest

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

__all__ = ["asked_last", "plays", "says"]
GPT = "openai/gpt-test"
LOCAL = "local/m"
PROVIDER = """
[[provider]]
name = "openai"
base_url = "{base_url}"
api_key = "sk-oa"
[[provider.model]]
id = "gpt-test"
input_per_million = "3"
output_per_million = "15"
context_length = 200000
max_output_tokens = 8192
[[provider.model]]
id = "gpt-5-test"
input_per_million = "1"
output_per_million = "2"
[[provider]]
name = "anthropic"
base_url = "{base_url}"
api_key = "sk-ant"
[[provider.model]]
id = "claude-test"
input_per_million = "3"
output_per_million = "15"
"""


@contextmanager
def serving(
    server: Database, factory: pytest.TempPathFactory, providers: str = "", **settings: Any
) -> Iterator[RunningGateway]:
    """A gateway for the tests of a module, with OpenAI, played by whoever asks."""
    from tests.conftest import fresh_database

    upstream = ScriptedUpstream(says(b"{}"))
    text = (PROVIDER + providers).format(base_url=upstream.base_url)
    with (
        fresh_database(server) as database,
        running_gateway(
            database, factory.mktemp("home"), upstream, providers=text, **settings
        ) as made,
    ):
        yield made
        made.verified()
    upstream.close()


def ask(**more: Any) -> dict[str, Any]:
    """A body."""
    return {"model": GPT, "input": "Hi", "store": False, **more}


def item(text: str = "Hello.", number: int = 0) -> dict[str, Any]:
    """A message as OpenAI writes it."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    about = {"id": f"msg_up{number}", "type": "message", "status": "completed"}
    return {**about, "role": "assistant", "content": [part]}


USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 15,
}


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A whole response as OpenAI writes it."""
    return {
        "id": "resp_up",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "gpt-test-20990101",
        "output": list(output) or [item()],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": USAGE,
        **more,
    }


def whole(*output: dict[str, Any], **more: Any) -> bytes:
    """The same as bytes."""
    return json.dumps(response(*output, **more)).encode()


def event(kind: str, number: int, **more: Any) -> bytes:
    """One event of a stream."""
    told = {"type": kind, "sequence_number": number, **more}
    return f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()


def delta(text: str, number: int = 4) -> bytes:
    """Some more text."""
    place = {"item_id": "msg_up0", "output_index": 0, "content_index": 0, "logprobs": []}
    return event("response.output_text.delta", number, **place, delta=text)


BEGUN = response(status="in_progress", usage=None) | {"output": []}
START = event("response.created", 0, response=BEGUN)
PART = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
OPEN = event(
    "response.output_item.added",
    1,
    output_index=0,
    item={**item(), "content": [], "status": "in_progress"},
) + event(
    "response.content_part.added",
    2,
    item_id="msg_up0",
    output_index=0,
    content_index=0,
    part=PART,
)


def stream_of(*texts: str, **more: Any) -> list[bytes]:
    """A whole stream."""
    text = "".join(texts)
    done = item(text)
    pieces = [START, OPEN, *(delta(each, 3 + place) for place, each in enumerate(texts))]
    number = 3 + len(texts)
    pieces.append(event("response.output_item.done", number, output_index=0, item=done))
    told = response(done, **more)
    kind = f"response.{told['status']}"
    return [*pieces, event(kind, number + 1, response=told)]


def call(
    gateway: RunningGateway, user: NewUser, body: dict[str, Any] | bytes, **headers: str
) -> httpx.Response:
    """One call; a header's underscores are hyphens."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with gateway.client(user, **told) as client:
        return client.post("/v1/responses", content=raw)


def events_of(content: bytes) -> list[dict[str, Any]]:
    """The data of a stream's events; each is named as its data says."""
    found = []
    for each in content.decode().split("\n\n"):
        if not each.strip() or each.startswith(":"):
            continue
        name, data = each.strip().split("\n")
        told = json.loads(data.removeprefix("data: "))
        assert name == f"event: {told['type']}"
        found.append(told)
    return found
