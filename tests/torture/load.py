"""Callers of every kind, each call written down before it is believed.

`python -m tests.torture.load PLAN` reads a JSON file with `url`, `keys`, `callers`, `seed`, `stop`
(a file that ends the load when it appears) and `records` (where each finished call is a line).
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import httpx

TIMEOUT_S = 20.0
KEYED_TRIES_MAX = 60
PAUSE_S = 0.3
DONE = b"data: [DONE]\n\n"
RETRIED = (409, 429, 500, 502, 503, 504)


class Caller:
    """One caller after the other's manner: keyed or not, streamed or not, patient or not."""

    def __init__(self, plan: dict[str, Any], number: int, records: TextIO) -> None:
        self._random = random.Random(plan["seed"] * 1_000 + number)
        self._plan, self._records = plan, records
        self._stop = Path(plan["stop"])
        self._client = httpx.AsyncClient(base_url=plan["url"], timeout=TIMEOUT_S)

    async def run(self) -> None:
        """Call until the stop file is there."""
        async with self._client:
            while not self._stop.exists():
                await self.call()

    async def call(self) -> None:
        """One call, keyed ones until they have their answer."""
        model = "simulator/echo" if self._random.random() < 0.2 else "local/m"
        body: dict[str, Any] = {
            "model": model,
            "stream": self._random.random() < 0.5,
            "messages": [{"role": "user", "content": "word " * self._random.randint(1, 30)}],
        }
        if self._random.random() < 0.5:
            body["max_tokens"] = self._random.choice((1, 20, 200))
        account = self._random.randrange(len(self._plan["keys"]))
        keyed = str(uuid.uuid4()) if self._random.random() < 0.3 else None
        hangs_up = keyed is None and body["stream"] and self._random.random() < 0.15
        for _ in range(KEYED_TRIES_MAX if keyed else 1):
            record = await self.attempt(body, account, keyed, hangs_up=hangs_up)
            record |= {"account": account, "key": keyed, "model": model, "hung_up": hangs_up}
            self._records.write(json.dumps(record) + "\n")
            self._records.flush()
            if record["whole"] and record["status"] not in RETRIED:
                return
            await asyncio.sleep(PAUSE_S)
            if self._stop.exists() and not keyed:
                return

    async def attempt(
        self, body: dict[str, Any], account: int, keyed: str | None, *, hangs_up: bool
    ) -> dict[str, Any]:
        """What one request came to; `whole` where its reply reached us to the end."""
        headers = {"Authorization": f"Bearer {self._plan['keys'][account]}"}
        if keyed:
            headers["Idempotency-Key"] = keyed
        record: dict[str, Any] = {"status": 0, "call": None, "whole": False}
        with suppress(httpx.HTTPError):
            asking = self._client.stream("POST", "/v1/chat/completions", json=body, headers=headers)
            async with asking as answer:
                record["status"] = answer.status_code
                record["call"] = answer.headers.get("x-gatewayz-call-id")
                tail, pieces = b"", 0
                async for piece in answer.aiter_raw():
                    tail, pieces = (tail + piece)[-1_000:], pieces + 1
                    if hangs_up and pieces >= 2:
                        return record
                streamed = "event-stream" in answer.headers.get("content-type", "")
                record["error"] = streamed and b'"error"' in tail
                record["whole"] = not streamed or tail.endswith(DONE)
        return record


async def never_reads(plan: dict[str, Any], stop: Path) -> None:
    """Ask for much and read nothing, again and again."""
    body = {
        "model": "simulator/echo",
        "stream": True,
        "messages": [{"role": "user", "content": "word " * 200}],
        "simulator": {"output_tokens": 20_000},
    }
    await _hostile(plan, stop, _request(plan["keys"][0], json.dumps(body).encode()), 1.5)


async def endless_head(plan: dict[str, Any], stop: Path) -> None:
    """A head that goes on and on."""
    await _hostile(plan, stop, b"POST /v1/chat/completions HTTP/1.1\r\n", 0.5, b"x: y\r\n" * 200)


async def garbage(plan: dict[str, Any], stop: Path) -> None:
    """Bytes that are no request."""
    await _hostile(plan, stop, random.Random(plan["seed"]).randbytes(500), 0.2)


def _request(key: str, body: bytes) -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    return (
        f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + (body)
    )


async def _hostile(
    plan: dict[str, Any], stop: Path, first: bytes, life_s: float, more: bytes = b""
) -> None:
    port = httpx.URL(plan["url"]).port
    while not stop.exists():
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            until = asyncio.get_running_loop().time() + life_s
            with suppress(TimeoutError):
                while more and asyncio.get_running_loop().time() < until:
                    writer.write(more)
                    await asyncio.wait_for(writer.drain(), life_s)
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0 if more else life_s)
            writer.transport.abort()
        await asyncio.sleep(1)


async def main(plan: dict[str, Any]) -> None:
    """All of them at once."""
    stop = Path(plan["stop"])
    with Path(plan["records"]).open("a") as records:
        callers = [Caller(plan, number, records).run() for number in range(plan["callers"])]
        hostile = [kind(plan, stop) for kind in (never_reads, endless_head, garbage)]
        await asyncio.gather(*callers, *hostile)


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
