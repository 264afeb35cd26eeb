"""How long a revoked key still opens at four gateways on one database: told of it, and not.

`python -m bench.revocations`: every connection asks again and again with a key that is revoked.
What is measured is the time from the command to the last refusal, at the slowest of all. In the
second half each notice goes to a channel that nobody hears, as if the database had lost it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.run import wait_for
from command_api.composition import database_of, vault_of
from command_api.identity.users import Users
from command_api.settings import Settings
from event_store.beside import channels

PORT = 9_840
GATEWAYS = 4
CONNECTIONS = 2
"""To each gateway."""
PAUSE_S = 0.01
REFUSED = b"HTTP/1.1 401"
PROGRAM = str(Path(sys.executable).parent / "gatewayz")


async def refused_at(port: int, key: str, warm: asyncio.Barrier) -> float:
    """Ask until the key is refused; returns when."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = 0
    while True:
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n"
            b"authorization: Bearer %b\r\n\r\n{}" % key.encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
        asked += 1
        if head.startswith(REFUSED):
            writer.close()
            return time.perf_counter()
        if asked == 2:
            await warm.wait()
        await asyncio.sleep(PAUSE_S)


async def revocation(known: Users, user_id: str, ports: list[int]) -> float:
    """One key, from its making to its last refusal, seconds."""
    key_id, key = await asyncio.to_thread(known.create_key, user_id, f"key {time.time_ns()}")
    warm = asyncio.Barrier(len(ports) + 1)
    tasks = [asyncio.create_task(refused_at(port, key, warm)) for port in ports]
    await warm.wait()
    await asyncio.sleep(0.05 + (time.time_ns() % 500) / 1_000)
    began = time.perf_counter()
    await asyncio.to_thread(known.revoke_key, key_id, "measured")
    times = await asyncio.gather(*tasks)
    await asyncio.to_thread(known.delete_key, key_id)
    return max(times) - began


def told(name: str, times: list[float]) -> None:
    """Median, p99 and the longest, milliseconds."""
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    print(
        f"{name}: {len(times)} revocations, median {statistics.median(times) * 1_000:.0f} ms, "
        f"p99 {p99 * 1_000:.0f} ms, longest {ordered[-1] * 1_000:.0f} ms"
    )


def main() -> None:
    """Serve, measure with notices and without, verify the books."""
    parser = argparse.ArgumentParser(description="Revocations until the last refusal")
    parser.add_argument("--revocations", type=int, default=100, help="of each kind")
    arguments = parser.parse_args()
    ports = [PORT + number for number in range(GATEWAYS)]
    with tempfile.TemporaryDirectory(prefix="gw-bench-") as folder, ExitStack() as stack:
        home = Path(folder) / "home"
        environment = {**os.environ, "GATEWAYZ_HOME": str(home), "GATEWAYZ_KEY_CACHE_S": "3600"}
        serve(stack, ("up", "--port", str(ports[0])), environment)
        wait_for(ports[0], "/health")
        url = subprocess.check_output(
            [PROGRAM, "database", "url", "--as", "application", "--with-password"],
            env=environment,
            text=True,
        ).strip()
        shared = {"GATEWAYZ_DATABASE_URL": url, "GATEWAYZ_SECRET_FILE": str(home / "secret.key")}
        for port in ports[1:]:
            own = {**environment, **shared, "GATEWAYZ_HOME": str(home.with_name(str(port)))}
            serve(stack, ("serve", "--port", str(port)), own)
            wait_for(port, "/health")
        settings = Settings(home=home)
        database = database_of(settings)
        known = Users(database, vault_of(settings, database), actor="bench")
        user = known.create_user("bench@example.com")
        lines = ports * CONNECTIONS
        for name in ("told", "lost"):
            if name == "lost":
                channels.KEYS_CHANNEL = "nobody_listens"
            times = [
                asyncio.run(revocation(known, user.user_id, lines))
                for _ in range(arguments.revocations)
            ]
            told(name, times)
        known.close()
        subprocess.run([PROGRAM, "ledger", "verify"], env=environment, check=True)


def serve(stack: ExitStack, verb: tuple[str, ...], environment: dict[str, str]) -> None:
    """A gateway until the end, the last one first."""
    served = subprocess.Popen([PROGRAM, *verb], env=environment, stdout=subprocess.DEVNULL)
    stack.callback(served.wait, 60)
    stack.callback(served.terminate)


if __name__ == "__main__":
    main()
