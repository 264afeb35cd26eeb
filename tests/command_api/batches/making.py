"""Files and batches for tests, made as a customer makes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import openai

from tests.support.harness import ASK, completion, eventually, reply

if TYPE_CHECKING:
    import socket

    from command_api.identity.users import NewUser
    from tests.support.harness import Request, RunningGateway

CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
OPEN: list[openai.OpenAI] = []
"""Clients of this test: what the collector finds unclosed would be another test's failure."""
ENDED = {"completed", "failed", "expired", "cancelled"}


def line(custom_id: str, **body: Any) -> dict[str, Any]:
    """A line that asks for a completion."""
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {**ASK, **body}}


def jsonl(*lines: Any) -> bytes:
    """A file of lines; bytes are lines as they are."""
    return b"".join(
        (each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines
    )


def answers(connection: socket.socket, request: Request) -> None:
    """A provider that repeats what it was asked."""
    reply(connection, completion(str(request.body["messages"][-1]["content"])))


def asks(text: str) -> dict[str, Any]:
    """The member of a body that asks so."""
    return {"messages": [{"role": "user", "content": text}]}


def close_clients() -> None:
    """Once a test is over."""
    while OPEN:
        OPEN.pop().close()


class Customer:
    """Somebody who runs batches."""

    def __init__(self, served: RunningGateway, user: NewUser) -> None:
        """With the official client, as it is."""
        self.served, self.user = served, user
        self.api = openai.OpenAI(
            base_url=f"{served.url}/v1", api_key=user.api_key, max_retries=0, timeout=60
        )
        OPEN.append(self.api)

    def upload(self, content: bytes, name: str = "in.jsonl", **more: Any) -> Any:
        """A file of the purpose batch."""
        return self.api.files.create(file=(name, content), purpose="batch", **more)

    def begin(self, *lines: Any, **more: Any) -> Any:
        """A batch of these lines."""
        file = self.upload(jsonl(*lines))
        given = {"endpoint": CHAT, "completion_window": "24h", **more}
        return self.api.batches.create(input_file_id=file.id, **given)

    def ended(self, batch: Any, timeout_s: float = 30.0) -> Any:
        """The batch once it has ended."""
        eventually(lambda: self.look(batch).status in ENDED, timeout_s)
        return self.look(batch)

    def look(self, batch: Any) -> Any:
        """The batch as it stands."""
        return self.api.batches.retrieve(batch.id)

    def run(self, *lines: Any, **more: Any) -> Any:
        """A batch of these lines, ended."""
        return self.ended(self.begin(*lines, **more))

    def lines_of(self, file_id: str | None) -> dict[str, dict[str, Any]]:
        """The lines of what came out, by their ids."""
        if file_id is None:
            return {}
        text = self.api.files.content(file_id).text
        told = [json.loads(each) for each in text.splitlines()]
        assert len({each["custom_id"] for each in told}) == len(told)
        return {each["custom_id"]: each for each in told}


def said(told: dict[str, Any]) -> str:
    """What a line was answered."""
    text: str = told["response"]["body"]["choices"][0]["message"]["content"]
    return text
