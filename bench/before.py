"""Chat beside chat of an earlier version, in turns: `python -m bench.before FOLDER`.

The folder is a checkout with its own `.venv`. Both gateways run all the time, on databases of their
own, and are asked in turns, first the one and then the other; the fake upstream serves both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from bench.client import CHAT
from bench.protocols import PROVIDERS, UPSTREAM_PORT, Kind, turn
from bench.run import ROOT, WAIT_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

PORTS = (9_820, 9_821)


class Version(NamedTuple):
    """A gateway that runs, and its key."""

    port: int
    key: str
    server: int


@contextmanager
def running(folder: Path, port: int) -> Iterator[Version]:
    """The gateway of a checkout."""
    with tempfile.TemporaryDirectory(prefix="gw-bench-") as home:
        providers = Path(home) / "providers.toml"
        # Older ones know neither Messages nor Responses.
        chat = PROVIDERS.partition('\n[[provider]]\nname = "responses"')[0]
        providers.write_text(chat.replace("responses = false", ""))
        environment = {
            **os.environ,
            "GATEWAYZ_HOME": home,
            "GATEWAYZ_PROVIDERS_FILE": str(providers),
        }
        environment.pop("GATEWAYZ_REDIS_URL", None)
        program = str(folder / ".venv" / "bin" / "gatewayz")
        command = [program, "up", "--port", str(port)]
        served = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        try:
            wait_for(port, "/health")
            made = [*(program, "user", "create", "--email", "b@example.com"), "--json"]
            told = subprocess.check_output(
                [*made, "--grant", "1000000"], cwd=folder, env=environment
            )
            yield Version(port, json.loads(told)["api_key"], served.pid)
        finally:
            served.terminate()
            served.wait(WAIT_S)


def main() -> None:
    """Print a table: this version, the other one, and this one's part of it."""
    parser = argparse.ArgumentParser(description="Chat beside an earlier version's")
    parser.add_argument("folder", type=Path, help="a checkout with its own .venv")
    parser.add_argument("--seconds", type=float, default=2, help="of each turn")
    parser.add_argument("--turns", type=int, default=9, help="of each version")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "bench.upstream", str(UPSTREAM_PORT)]
    upstream = subprocess.Popen(command, cwd=ROOT)
    try:
        with ExitStack() as stack:
            folders = (ROOT, arguments.folder.resolve())
            versions = [
                stack.enter_context(running(folder, port))
                for folder, port in zip(folders, PORTS, strict=True)
            ]
            print("| chat | a second, now and before | CPU a call, now and before |\n|---|--:|--:|")
            for stream in (False, True):
                now, before = (Kind("chat", CHAT, "chat") for _ in versions)
                for number in range(arguments.turns + 1):
                    pairs = list(zip((now, before), versions, strict=True))
                    for kind, each in pairs[:: 1 if number % 2 else -1]:
                        going = turn(
                            kind,
                            each.key,
                            arguments.seconds,
                            each.server,
                            stream=stream,
                            port=each.port,
                        )
                        uvloop.run(going)
                told("streams" if stream else "whole replies", now, before)
    finally:
        upstream.terminate()
        upstream.wait(WAIT_S)


def told(name: str, now: Kind, before: Kind) -> None:
    """A row: medians, and the median of the turns' ratios; the first turn warms up."""
    figures = []
    for one, other in ((now.per_second, before.per_second), (now.cpu_us, before.cpu_us)):
        ratio = statistics.median(a / b for a, b in zip(one[1:], other[1:], strict=True))
        medians = (statistics.median(each[1:]) for each in (one, other))
        figures.append(", ".join(f"{each:,.0f}" for each in medians) + f" ({ratio:.0%})")
    print(f"| {name} | {figures[0]} | {figures[1]} µs |", flush=True)


if __name__ == "__main__":
    main()
