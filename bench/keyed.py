"""Calls with an Idempotency-Key against calls without one, in turns, on one gateway.

`python -m bench.keyed`: the built-in simulator answers, so what is measured is the gateway and its
ledger. A client, a gateway and a database share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from uuid import uuid4

import uvloop

from bench.run import wait_for

PORT = 9813
BODY = b'{"model":"simulator/echo","messages":[{"role":"user","content":"a few words to say"}]}'


async def caller(key: str, end: float, *, keyed: bool) -> tuple[int, int]:
    """One connection, one call after the other; returns answers with 200 and others."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    good = bad = 0
    while time.perf_counter() < end:
        extra = f"idempotency-key: {uuid4()}\r\n" if keyed else ""
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n{extra}\r\n".encode()
            + BODY
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
        if head.startswith(b"HTTP/1.1 200"):
            good += 1
        else:
            bad += 1
    writer.close()
    return good, bad


async def phase(key: str, seconds: float, *, keyed: bool, connections: int) -> tuple[float, int]:
    """Calls a second, and how many were refused."""
    began = time.perf_counter()
    tasks = [caller(key, began + seconds, keyed=keyed) for _ in range(connections)]
    answers = await asyncio.gather(*tasks)
    elapsed = time.perf_counter() - began
    return sum(good for good, _ in answers) / elapsed, sum(bad for _, bad in answers)


def main() -> None:
    """Serve, measure in turns, print the ratio, verify the books."""
    parser = argparse.ArgumentParser(description="Keyed against unkeyed calls")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    arguments = parser.parse_args()
    program = Path(sys.executable).parent / "gatewayz"
    with tempfile.TemporaryDirectory(prefix="gw-bench-") as home:
        environment = {**os.environ, "GATEWAYZ_HOME": home}
        served = subprocess.Popen(
            [str(program), "up", "--port", str(PORT)], env=environment, stdout=subprocess.DEVNULL
        )
        try:
            wait_for(PORT, "/health")
            made = subprocess.check_output(
                f"{program} user create --email b@example.com --grant 1000000 --json".split(),
                env=environment,
            )
            key = json.loads(made)["api_key"]
            turn = partial(phase, key, arguments.seconds, connections=arguments.connections)
            rates: dict[bool, list[float]] = {False: [], True: []}
            uvloop.run(turn(keyed=False))
            for _ in range(arguments.turns):
                for keyed in (False, True):
                    rate, bad = uvloop.run(turn(keyed=keyed))
                    rates[keyed].append(rate)
                    print(f"{'keyed' if keyed else 'unkeyed'}: {rate:,.0f}/s, {bad} refused")
            ratio = sum(rates[True]) / sum(rates[False])
            print(f"keyed calls run at {ratio:.0%} of unkeyed throughput")
            subprocess.run(
                [program, "ledger", "verify"],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        finally:
            served.terminate()
            served.wait(60)


if __name__ == "__main__":
    main()
