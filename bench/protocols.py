"""What each API costs beside chat, natively and translated: `python -m bench.protocols`.

Every kind of call is made over the same connections in turns, in one run: requests a second, and
the CPU that the serving process takes of each. The fake upstream answers in the form of the API
that it is asked in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.client import CHAT, Client
from bench.gate import PROGRAM, SERVING, verb
from bench.run import ROOT, WAIT_S, wait_for

UPSTREAM_PORT, PORT = 9_818, 9_819
CONNECTIONS = 32
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
MODEL = """
[[provider.model]]
id = "bench"
input_per_million = "0.15"
output_per_million = "0.60"
context_length = 128000
max_output_tokens = 4096
"""
PROVIDERS = "".join(
    f"""
[[provider]]
name = "{name}"
base_url = "http://127.0.0.1:{UPSTREAM_PORT}/v1"
api_key = "bench"
{more}
{MODEL}"""
    for name, more in {
        "chat": "responses = false",
        "responses": "responses = true",
        "messages": 'protocol = "anthropic"',
    }.items()
)
WORDS = [{"role": "user", "content": "a few words to say"}]
ASKED: dict[str, dict[str, object]] = {
    CHAT: {"messages": WORDS},
    MESSAGES: {"messages": WORDS, "max_tokens": 1_024},
    RESPONSES: {"input": WORDS, "store": False},
}
TICKS = os.sysconf("SC_CLK_TCK")
US_PER_S = 1_000_000


@dataclass(slots=True)
class Kind:
    """One kind of call, and what was measured of it."""

    name: str
    path: str
    provider: str
    more: dict[str, bool] = field(default_factory=dict)
    per_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def body(self, *, stream: bool) -> bytes:
        """What is asked."""
        asked = {"model": f"{self.provider}/bench", **ASKED[self.path], **self.more}
        return (
            json.dumps({**asked, **({"stream": True} if stream else {})})
            .replace('"stream": true', '"stream":true')
            .encode()
        )


def kinds() -> list[Kind]:
    """Chat first: the others are told beside it."""
    return [
        Kind("chat", CHAT, "chat"),
        Kind("Messages, natively", MESSAGES, "messages"),
        Kind("Responses, natively", RESPONSES, "responses"),
        Kind("Responses, natively, stored", RESPONSES, "responses", {"store": True}),
        Kind("chat at Anthropic, translated", CHAT, "messages"),
        Kind("Messages at chat, translated", MESSAGES, "chat"),
        Kind("Responses at chat, translated", RESPONSES, "chat"),
    ]


def cpu_s(supervisor: int) -> float:
    """What the serving process took so far."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if (
                int(fields[1]) == supervisor
                and f"\0{SERVING}\0" in (folder / "cmdline").read_text()
            ):
                return (int(fields[11]) + int(fields[12])) / TICKS
        except OSError:
            continue
    message = "there is no serving process"
    raise RuntimeError(message)


async def turn(
    kind: Kind, key: str, seconds: float, server: int, *, stream: bool, port: int = PORT
) -> None:
    """One kind, for so long."""
    body = kind.body(stream=stream)
    clients = [Client(port, key, body, kind.path) for _ in range(CONNECTIONS)]
    for each in clients:
        await each.connect()
    before, began = cpu_s(server), time.perf_counter()
    await asyncio.gather(*(each.every(0, began + seconds) for each in clients))
    took, used = time.perf_counter() - began, cpu_s(server) - before
    count = sum(len(each.answered) for each in clients)
    for each in clients:
        each.close()
    kind.per_second.append(count / took)
    kind.cpu_us.append(used / count * US_PER_S)


def told(measured: list[Kind]) -> None:
    """The rows of a table: medians of the turns' ratios to the chat of the same turn."""
    chat = measured[0]
    for each in measured:
        rate, cpu = (statistics.median(of) for of in (each.per_second, each.cpu_us))
        rates = statistics.median(
            a / b for a, b in zip(each.per_second, chat.per_second, strict=True)
        )
        cpus = statistics.median(a / b for a, b in zip(each.cpu_us, chat.cpu_us, strict=True))
        print(
            f"| {each.name} | {rate:,.0f} | {rates:.0%} | {cpu:,.0f} µs | {cpus:.2f} × |",
            flush=True,
        )


def main() -> None:
    """Print two tables: whole replies, and streams."""
    parser = argparse.ArgumentParser(description="Messages and Responses beside chat")
    parser.add_argument("--seconds", type=float, default=2, help="of each turn of each kind")
    parser.add_argument("--turns", type=int, default=7, help="of all kinds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gw-bench-") as home:
        providers = Path(home) / "providers.toml"
        providers.write_text(PROVIDERS)
        environment = {
            **os.environ,
            "GATEWAYZ_HOME": home,
            "GATEWAYZ_PROVIDERS_FILE": str(providers),
        }
        environment.pop("GATEWAYZ_REDIS_URL", None)
        command = [sys.executable, "-m", "bench.upstream", str(UPSTREAM_PORT)]
        upstream = subprocess.Popen(command, cwd=ROOT)
        command = [str(PROGRAM), "up", "--port", str(PORT)]
        served = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            wait_for(PORT, "/health")
            options = ("--email", "b@example.com", "--grant", "1000000")
            key = verb(environment, "user", "create", *options)["api_key"]
            for stream in (False, True):
                name = "streams" if stream else "whole replies"
                print(f"| {name} | a second | to chat | CPU a call | to chat |", flush=True)
                print("|---|--:|--:|--:|--:|")
                measured = kinds()
                for number in range(arguments.turns + 1):
                    for each in measured:
                        going = turn(each, key, arguments.seconds, served.pid, stream=stream)
                        uvloop.run(going)
                    if not number:  # The first turn warms up.
                        measured = kinds()
                told(measured)
            subprocess.run([PROGRAM, "ledger", "verify"], env=environment, check=True)
        finally:
            for process in (served, upstream):
                process.terminate()
                process.wait(WAIT_S)


if __name__ == "__main__":
    main()
