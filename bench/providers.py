"""What providers cost: translation, failover, and a search of a catalog of 5,000 models."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from bench.upstream import JSON_REPLY
from providers.inference.adapters.anthropic.reply import AnthropicTranslator
from providers.inference.adapters.anthropic.request import to_anthropic
from providers.inference.adapters.gemini.reply import GeminiTranslator
from providers.inference.adapters.gemini.request import to_gemini
from providers.inference.adapters.translation import decode_object, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GATEWAY_PORT = 9813
CATALOG_MODELS = 5_000
SEARCHES = 500
CALLS = 400
TURNS = 10
MICROSECONDS = 1_000_000
WAIT_S = 60.0
SLOW_S, HEDGE_MS = 1.0, 50


class Figure(NamedTuple):
    """A name, a figure, and what it means."""

    name: str
    figure: str
    note: str


def _each_us(work: Callable[[], Any], *, per: int = 1, seconds: float = 0.5) -> float:
    """Microseconds of CPU for one of `per` things that a run does."""
    runs, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        work()
        runs += 1
    return (time.process_time() - began) * MICROSECONDS / runs / per


def translation() -> Iterator[Figure]:
    """Pure CPU: a request of ten turns, and a chunk of a stream."""
    turn = {"role": "user", "content": "x" * 200}
    talk = [turn, {"role": "assistant", "content": "y" * 200}] * (TURNS // 2)
    body = encode({"model": "m", "messages": talk, "max_tokens": 100, "temperature": 0.5})
    delta = {"type": "text_delta", "text": "token "}
    event = encode({"type": "content_block_delta", "index": 0, "delta": delta})
    part = {"content": {"role": "model", "parts": [{"text": "token "}]}}
    reply = encode({"candidates": [part], "responseId": "r", "modelVersion": "m"})
    pairs: tuple[tuple[str, Callable[..., Any], bytes, Any], ...] = (
        ("Anthropic", to_anthropic, event, AnthropicTranslator("m", 1, json_tool=False)),
        ("Gemini", to_gemini, reply, GeminiTranslator("m", 1)),
    )
    for name, translate, chunk, translator in pairs:

        def request(translate: Callable[..., Any] = translate) -> bytes:
            return encode(translate(decode_object(body)))

        def stream(chunk: bytes = chunk, translator: Any = translator) -> list[bytes]:
            return [encode(each) for each in translator.event(decode_object(chunk))]

        cost = f"{_each_us(request):.1f} µs, {_each_us(stream):.1f} µs"
        yield Figure(f"translation, {name}", cost, "a request of ten turns; a chunk")


async def _serve(port: int, answer: bytes, delay_s: float = 0.0) -> asyncio.Server:
    """An upstream that answers every request alike."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                await reader.readexactly(size)
                await asyncio.sleep(delay_s)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", port)


MODEL = """
[[provider.model]]
id = "{id}"
input_per_million = "{price}"
output_per_million = "0.60"
"""


def _provider(name: str, port: int, *models: str) -> str:
    text = f'[[provider]]\nname = "{name}"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
    return text + "".join(models)


GOOD, LIMITED, BROKEN, SLOW, REFUSED = 9821, 9822, 9823, 9824, 9829
CASES = {
    "refused": REFUSED,
    "429": LIMITED,
    "500": BROKEN,
    "silent, hedged": SLOW,
}
"""What the first provider does, and its port."""


def _file() -> str:
    """A good provider, four that fail before it, and a large catalog."""
    parts = [
        _provider(f"first{place}", port, MODEL.format(id=f"org/{place}", price="0.1"))
        for place, port in enumerate(CASES.values())
    ]
    shared = [MODEL.format(id=f"org/{place}", price="0.1") for place in range(len(CASES))]
    parts.append(_provider("good", GOOD, *shared))
    catalog = [
        MODEL.format(id=f"maker{n % 50}/model-{n}-{'abcdef'[n % 6]}", price=f"0.{n % 90 + 10}")
        for n in range(CATALOG_MODELS)
    ]
    parts.append(_provider("catalog", GOOD, *catalog))
    hedged = list(CASES).index("silent, hedged")
    parts.append(
        f'[routing]\n[[routing.model]]\nid = "org/{hedged}"\nhedge_after_ms = {HEDGE_MS}\n'
    )
    return "\n".join(parts)


async def _p50_ms(client: httpx.AsyncClient, model: str, calls: int) -> float:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    taken = []
    for _ in range(calls):
        began = time.perf_counter()
        got = await client.post("/v1/chat/completions", json=body)
        taken.append(time.perf_counter() - began)
        assert got.status_code == 200, got.text
    return sorted(taken)[len(taken) // 2] * 1_000


async def _failover(client: httpx.AsyncClient) -> list[Figure]:
    """The time that a failing first provider adds, one call after the other."""
    found = []
    for place, name in enumerate(CASES):
        calls = CALLS // 10 if "silent" in name else CALLS
        direct = await _p50_ms(client, f"good/org/{place}", calls)
        over = await _p50_ms(client, f"org/{place}", calls)
        note = f"p50 {over:.2f} ms against {direct:.2f} ms without"
        found.append(Figure(f"failover, first provider {name}", f"{over - direct:+.2f} ms", note))
    return found


async def _search(client: httpx.AsyncClient) -> Figure:
    """Searches of several kinds, one after the other."""
    taken = []
    for number in range(SEARCHES):
        query: dict[str, Any] = {
            "q": f"model {number % 100}",
            "sort_by": ("price", "name")[number % 2],
        }
        if number % 3 == 0:
            query |= {"max_price": "0.5", "modality": "text"}
        began = time.perf_counter()
        got = await client.get("/v1/models/search", params=query)
        taken.append((time.perf_counter() - began) * 1_000)
        assert got.status_code == 200
    taken.sort()
    p50, p99 = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    return Figure(f"search of {CATALOG_MODELS:,} models", f"p99 {p99:.1f} ms", f"p50 {p50:.1f} ms")


async def _measure(key: str) -> list[Figure]:
    error = b'{"error":{"message":"no"}}'
    lines = b"content-type: application/json\r\nretry-after: 0\r\ncontent-length: %d\r\n\r\n%b"
    failing = {
        LIMITED: b"HTTP/1.1 429 X\r\n" + lines % (len(error), error),
        BROKEN: b"HTTP/1.1 500 X\r\n" + lines % (len(error), error),
    }
    servers = [await _serve(port, answer) for port, answer in failing.items()]
    servers += [await _serve(GOOD, JSON_REPLY), await _serve(SLOW, JSON_REPLY, SLOW_S)]
    headers = {"authorization": f"Bearer {key}"}
    url = f"http://127.0.0.1:{GATEWAY_PORT}"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        found = [*await _failover(client), await _search(client)]
    for server in servers:
        server.close()
    return found


def provider_rates(home: Path) -> Iterator[Figure]:
    """All of it."""
    yield from translation()
    file = home / "providers.toml"
    file.write_text(_file())
    program = str(Path(sys.executable).parent / "gatewayz")
    environment = {
        **os.environ,
        "GATEWAYZ_HOME": str(home),
        "GATEWAYZ_PROVIDERS_FILE": str(file),
        "GATEWAYZ_BREAKER_FAILURES": "1000000",
    }
    served = subprocess.Popen(
        [program, "up", "--port", str(GATEWAY_PORT)], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            try:
                httpx.get(f"http://127.0.0.1:{GATEWAY_PORT}/health").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        made = subprocess.check_output(
            f"{program} user create --email b@example.com --grant 1000000 --json".split(),
            env=environment,
        )
        time.sleep(3)  # The catalog is told to the log meanwhile.
        yield from asyncio.run(_measure(json.loads(made)["api_key"]))
        subprocess.run(
            [program, "ledger", "verify"], env=environment, check=True, stdout=subprocess.DEVNULL
        )
    finally:
        served.terminate()
        served.wait(WAIT_S)
