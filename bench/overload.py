"""What a process does with four times what it can serve: `python -m bench.overload`.

A few connections of the highest class call now and then, first alone, then beside a flood of a
lower class that asks four times as often as one process can answer. The built-in simulator answers,
so that the process itself is what is short. Clients, gateway and database share the machine, and
the flood's client gives way to the others: elsewhere it would have a machine of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.client import Client
from bench.gate import BODY, PROGRAM, SERVING, verb
from bench.run import WAIT_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.pool import Pool

PORT = 9_816
CALM, CALM_PAUSE_S = 4, 0.05
"""Connections of the highest class, and the pause of each between two calls, seconds."""
FULL = 32
"""Connections that find out how much the process can serve."""
FLOOD, TIMES = 800, 4
"""Connections of the flood, and how many times as much as can be served they ask for."""
GIVES_WAY = 10
"""How nice the flood's client is."""
STREAMS = 2_000
"""Open streams whose memory is told."""
OPENING = 500
"""So many are opened at once."""
STREAM_BODY = (
    b'{"model":"simulator/echo","stream":true,"max_tokens":4096,'
    b'"messages":[{"role":"user","content":"Hello"}],'
    b'"simulator":{"output_tokens":30,"chunk_ms":10000}}'
)


async def load(clients: Iterable[Client], pause_s: float, seconds: float) -> None:
    """All of them for so long."""
    until = time.perf_counter() + seconds
    await asyncio.gather(*(each.every(pause_s, until) for each in clients))


def told(name: str, took: list[float], seconds: float) -> None:
    """A row of the table."""
    ordered = sorted(took) or [0.0]
    p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
    print(f"| {name} | {len(took) / seconds:,.0f} | {p50:.1f} ms | {p99:.1f} ms |", flush=True)


def memory_mib(supervisor: int) -> int:
    """What the serving process takes."""
    return memory_kib(supervisor) >> 10


def memory_kib(supervisor: int) -> int:
    """The same, more exactly."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == supervisor and f"\0{SERVING}\0" in (folder / "cmdline").read_text():
                lines = (folder / "status").read_text().splitlines()
                return int(next(each for each in lines if "VmRSS" in each).split()[1])
        except OSError:
            continue
    return 0


def calm(key: str, seconds: float) -> tuple[list[float], int]:
    """What a few calls of the highest class take, and how many were refused; in a process of its
    own, which the flood's client does not make late.
    """

    async def run() -> tuple[list[float], int]:
        clients = [Client(PORT, key, BODY) for _ in range(CALM)]
        for each in clients:
            await each.connect()
        await load(clients, CALM_PAUSE_S, seconds)
        return [took for each in clients for took in each.answered], sum(
            len(each.shed) for each in clients
        )

    return uvloop.run(run())


async def measure(pool: Pool, calm_key: str, flood_key: str, seconds: float, server: int) -> None:
    """Alone, as much as can be served, and beside the flood."""
    flood = [Client(PORT, flood_key, BODY) for _ in range(FLOOD)]
    for each in flood:
        await each.connect()
    await asyncio.to_thread(pool.apply, calm, (calm_key, 2))
    took, _ = await asyncio.to_thread(pool.apply, calm, (calm_key, seconds))
    told("highest class, alone", took, seconds)
    await load(flood[:FULL], 0, seconds)
    served = [took for each in flood for took in each.answered]
    told(f"lower class, {FULL} connections", served, seconds)
    before = memory_mib(server)
    for each in flood:
        each.answered, each.shed = [], []
    pause_s = FLOOD / (TIMES * len(served) / seconds)
    (took, refused), _ = await asyncio.gather(
        asyncio.to_thread(pool.apply, calm, (calm_key, seconds)), load(flood, pause_s, seconds)
    )
    after = memory_mib(server)
    told("highest class, beside the flood", took, seconds)
    told("lower class, answered", [t for each in flood for t in each.answered], seconds)
    told("lower class, refused", [t for each in flood for t in each.shed], seconds)
    print(f"\nRefused of the highest class: {refused}.")
    print(f"Memory of the process: {before} MiB before the flood, {after} MiB after it.")


async def hold_streams(key: str, count: int, server: int) -> None:
    """So many streams open at once, and what each takes of the process's memory."""
    before = memory_kib(server)
    streams = [Client(PORT, key, STREAM_BODY) for _ in range(count)]
    for start in range(0, count, OPENING):
        await asyncio.gather(*(each.begin_stream() for each in streams[start : start + OPENING]))
    after = memory_kib(server)
    print(
        f"Memory of an open stream, with {count:,} of them: {(after - before) / count:.1f} KiB "
        f"({before >> 10} MiB before, {after >> 10} MiB with them)."
    )
    for each in streams:
        each.close()


def main() -> None:
    """Print the rows of a table."""
    parser = argparse.ArgumentParser(description="Four times what a process can serve")
    parser.add_argument("--seconds", type=float, default=20, help="of each load")
    parser.add_argument("--queue", type=int, help="most calls that wait (GATEWAYZ_QUEUE_MAX)")
    parser.add_argument("--streams", type=int, default=STREAMS, help="that are open at once")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gw-bench-") as home:
        environment = {**os.environ, "GATEWAYZ_HOME": home}
        environment.pop("GATEWAYZ_REDIS_URL", None)
        if arguments.queue is not None:
            environment["GATEWAYZ_QUEUE_MAX"] = str(arguments.queue)
        command = [str(PROGRAM), "up", "--port", str(PORT)]
        served = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            wait_for(PORT, "/health")
            made = {
                name: verb(environment, "user", "create", "--email", name, "--grant", "1000000")
                for name in ("calm@example.com", "flood@example.com")
            }
            calm, flood = made.values()
            options = ("customize", "--reason", "measured")
            verb(environment, "plan", "assign", calm["user_id"], *options)
            print("| | a second | p50 | p99 |\n|---|--:|--:|--:|", flush=True)
            keys = (calm["api_key"], flood["api_key"])
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                pool.apply(os.getpid)  # It is there, and does not give way.
                os.nice(GIVES_WAY)
                uvloop.run(measure(pool, *keys, arguments.seconds, served.pid))
            uvloop.run(hold_streams(calm["api_key"], arguments.streams, served.pid))
        finally:
            served.terminate()
            served.wait(WAIT_S)


if __name__ == "__main__":
    main()
