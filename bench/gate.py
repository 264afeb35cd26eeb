"""What stands between a call and its provider: `python -m bench.gate`.

Callers without limits, with rate limits, with quotas and with both, one call after the other in
turns on one gateway, with a Redis and without; what authentication takes by itself; and the
look-up of a key that the process does not know, among a million. The built-in simulator answers,
so what is measured is the gateway and its ledger. GATEWAYZ_TEST_REDIS_URL names a Redis; else the
tests' own is started.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from bench.run import WAIT_S, wait_for
from command_api.identity.key_ring import KeyRing
from command_api.identity.vault import Vault
from domain.identity.permissions import Permission
from edge.access import admit_request
from edge.clients import Proxies
from edge.errors import ApiError
from event_store.postgres.embedded import EmbeddedPostgres
from projections.hosting.install import migrate_all
from tests.servers.provide import redis_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from event_store.postgres.database import Database

PORT = 9814
PROGRAM = Path(sys.executable).parent / "gatewayz"
BODY = b'{"model":"simulator/echo","messages":[{"role":"user","content":"a few words to say"}]}'
LIMITS = (
    *("--requests-per-minute", "100000000", "--requests-per-hour", "100000000"),
    *("--tokens-per-minute", "100000000000", "--tokens-per-hour", "100000000000"),
)
QUOTAS = (
    ("--key", "requests", "day"),
    ("--key", "nano_usd", "month"),
    ("--user", "tokens", "day"),
    ("--user", "nano_usd", "total"),
)
QUOTA = 10**17
WARM_UP = 200
CPU_TURNS, CPU_CALLS = 5, 200
SERVING = "worker"
SECRET = b"a secret of the benchmark's, long enough"
SEED = """
INSERT INTO api_key (key_hash, key_id, user_id, account_id, masked, name, position)
SELECT encode(sha256(('stranger ' || n)::bytea), 'hex'), gen_random_uuid(), gen_random_uuid(),
  gen_random_uuid(), 'gw_live_...' || n, 'key', n
FROM generate_series(1, %s) n
"""
ADDRESS = "192.0.2.1"
LISTENS_S = 2.0
"""By then the ring hears of changes, and keeps what it finds."""


def verb(environment: dict[str, str], *words: str) -> dict[str, Any]:
    """What a verb of the command line gives."""
    made: dict[str, Any] = json.loads(
        subprocess.check_output([str(PROGRAM), *words, "--json"], env=environment)
    )
    return made


class Caller:
    """A user with a connection, and how long each of the calls took."""

    def __init__(
        self, environment: dict[str, str], name: str, *, limits: bool, quotas: bool
    ) -> None:
        """Limited as the name says."""
        made = verb(environment, *f"user create --email {name}@example.com --grant 1000000".split())
        scopes = {"--key": made["key_id"], "--user": made["user_id"]}
        for option, of in scopes.items() if limits else ():
            verb(environment, "limit", "set", option, of, *LIMITS)
        for option, unit, window in QUOTAS if quotas else ():
            words = ("--unit", unit, "--window", window, "--limit", str(QUOTA))
            verb(environment, "quota", "set", option, scopes[option], *words)
        self.name, self._key = name, made["api_key"]
        self.took, self.cpu = list[float](), list[float]()
        """Seconds of a call, and of CPU a call in each turn."""

    async def connect(self) -> None:
        """One connection for all calls."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", PORT)

    async def call(self) -> None:
        """One call, whole."""
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self._key}"
            f"\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
        )
        began = time.perf_counter()
        self._writer.write(head.encode() + BODY)
        told = await self._reader.readuntil(b"\r\n\r\n")
        length = told.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        body = await self._reader.readexactly(int(length))
        self.took.append(time.perf_counter() - began)
        assert told.startswith(b"HTTP/1.1 200"), body


def cpu_s(home: str, supervisor: int) -> float:
    """CPU that the serving process and the database have taken; other work takes nothing of it."""
    found: dict[int, tuple[int, str, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        ticks = int(fields[11]) + int(fields[12])
        found[int(folder.name)] = (int(fields[1]), command, ticks / os.sysconf("SC_CLK_TCK"))
    database = {pid for pid, (_, command, _) in found.items() if f"{home}/postgres" in command}
    return sum(
        took
        for pid, (parent, command, took) in found.items()
        if pid in database
        or parent in database
        or (parent == supervisor and f"\0{SERVING}\0" in command)
    )


def calls(redis: str | None, count: int) -> None:
    """What each kind of caller waits for a call, and what that is above the free one."""
    with tempfile.TemporaryDirectory(prefix="gw-bench-") as home:
        environment = {**os.environ, "GATEWAYZ_HOME": home}
        environment.pop("GATEWAYZ_REDIS_URL", None)
        if redis:
            environment["GATEWAYZ_REDIS_URL"] = redis
        command = [str(PROGRAM), "up", "--port", str(PORT)]
        served = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            wait_for(PORT, "/health")
            callers = [
                Caller(environment, "free", limits=False, quotas=False),
                Caller(environment, "limits", limits=True, quotas=False),
                Caller(environment, "quotas", limits=False, quotas=True),
                Caller(environment, "both", limits=True, quotas=True),
            ]
            uvloop.run(take_turns(callers, count, lambda: cpu_s(home, served.pid)))
            subprocess.run(
                [str(PROGRAM), "ledger", "verify"],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        finally:
            served.terminate()
            served.wait(WAIT_S)
    free = callers[0].took
    for each in callers:
        more = statistics.median(mine - bare for mine, bare in zip(each.took, free, strict=True))
        p50 = statistics.median(each.took)
        where = "with Redis" if redis else "without Redis"
        cpu = statistics.median(each.cpu)
        print(
            f"| {each.name}, {where} | {p50 * 1e3:.2f} ms | {more * 1e6:+,.0f} µs | "
            f"{cpu * 1e6:,.0f} µs | {(cpu - statistics.median(callers[0].cpu)) * 1e6:+,.0f} µs |",
            flush=True,
        )


async def take_turns(callers: list[Caller], count: int, cpu: Callable[[], float]) -> None:
    """One call each, again and again; the order moves on, so that nobody is always second.

    Then some calls of each in a row, for their CPU.
    """
    for each in callers:
        await each.connect()
        for _ in range(WARM_UP):
            await each.call()
        each.took.clear()
    for number in range(count):
        first = number % len(callers)
        for each in callers[first:] + callers[:first]:
            await each.call()
    for _ in range(CPU_TURNS):
        for each in callers:
            kept, before = list(each.took), cpu()
            for _ in range(CPU_CALLS):
                await each.call()
            each.cpu.append((cpu() - before) / CPU_CALLS)
            each.took = kept


def key_of(number: int) -> bytes:
    """One of the keys that are looked up."""
    return b"gw_live_bench_%09d" % number


def look_ups(keys: int, count: int) -> None:
    """Keys that the process does not know: right ones and wrong ones, each once."""
    with (
        tempfile.TemporaryDirectory(prefix="gw-bench-") as home,
        EmbeddedPostgres(Path(home)).running() as database,
    ):
        migrate_all(database)
        vault = Vault(SECRET)
        with database.connect_as_owner() as owner:
            owner.execute(SEED, [keys - count])
            with owner.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO api_key (key_hash, key_id, user_id, account_id, masked, name, "
                    "position) VALUES (%s, gen_random_uuid(), gen_random_uuid(), "
                    "gen_random_uuid(), 'gw_live_...', 'key', 0)",
                    [[vault.key_hashes(key_of(number))[0]] for number in range(count)],
                )
            owner.execute("ANALYZE api_key")
            owner.execute("CHECKPOINT")
        uvloop.run(look_up(database, vault, keys, count))


async def look_up(database: Database, vault: Vault, keys: int, count: int) -> None:
    """Print percentiles of both kinds, and what a known key takes."""
    ring = KeyRing(database, vault, cache_s=600, cache_max=10 * count, wrong_per_s=10**9)
    ring.start()
    await asyncio.sleep(LISTENS_S)
    took: dict[str, list[float]] = {"right": [], "wrong": []}
    for number in range(count):
        for kind, key in (("right", key_of(number)), ("wrong", b"gw_live_none_%09d" % number)):
            began = time.perf_counter()
            try:
                await ring.authenticate(b"Bearer " + key, ADDRESS)
            except ApiError as error:
                if (kind, error.status) != ("wrong", 401):
                    raise
            took[kind].append(time.perf_counter() - began)
    for kind, found in took.items():
        ordered = sorted(found)
        p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
        print(f"| a {kind} key among {keys:,}, not known yet | {p50:.2f} ms | p99 {p99:.2f} ms | |")
    known, proxies = b"Bearer " + key_of(0), Proxies()
    scope = {"client": (ADDRESS, 1), "headers": [(b"authorization", known)]}
    began = time.perf_counter()
    for _ in range(100_000):
        caller = ring.cached(known)
        assert caller is not None
        admit_request(caller, Permission.WRITE_CHAT, scope, proxies)
    each_s = (time.perf_counter() - began) / 100_000
    print(f"| authentication of a key that is known | {each_s * 1e6:.2f} µs | | |", flush=True)
    await ring.stop()


def main() -> None:
    """Print the rows of a table."""
    parser = argparse.ArgumentParser(description="Authentication, limits and quotas of a call")
    parser.add_argument("--calls", type=int, default=2_000, help="calls of each caller")
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys in the table")
    parser.add_argument("--look-ups", type=int, default=5_000, help="keys that are looked up")
    arguments = parser.parse_args()
    print("| | p50 | above the free caller in turn | CPU of a call | more of it |")
    print("|---|--:|--:|--:|--:|", flush=True)
    calls(None, arguments.calls)
    with (
        tempfile.TemporaryDirectory(prefix="gw-bench-") as folder,
        redis_url(Path(folder)) as url,
    ):
        calls(url, arguments.calls)
    look_ups(arguments.keys, arguments.look_ups)


if __name__ == "__main__":
    main()
