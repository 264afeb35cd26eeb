"""`make bench`: runs every workload on loopback and writes results.md with its conditions.

Load generator, fake upstream, gateway and database share the machine, so compare figures of one run
with each other, not with those of another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.providers import provider_rates
from bench.streams import follower_rates, kafka_rates
from bench.workloads import Sample, appends, requests
from event_store.postgres.embedded import EmbeddedPostgres
from projections.hosting.install import migrate_all

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results.md"
UPSTREAM_PORT, GATEWAY_PORT = 9811, 9812
WAIT_S = 60.0
PROVIDERS = f"""
[[provider]]
name = "bench"
base_url = "http://127.0.0.1:{UPSTREAM_PORT}/v1"
[[provider.model]]
id = "bench"
input_per_million = "0.15"
output_per_million = "0.60"
context_length = 128000
max_output_tokens = 4096
"""
MARK = "<!-- measured below by `make bench` -->"


def wait_for(port: int, path: str) -> None:
    """Until something answers there."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    message = f"nothing answers on port {port}"
    raise RuntimeError(message)


def ledger(home: Path, seconds: float) -> Iterator[tuple[str, Sample]]:
    """Appends by 1, 64 and 256 callers, on one account and on 64."""
    with EmbeddedPostgres(home).running() as database:
        migrate_all(database)
        for callers, accounts in ((1, 1), (64, 1), (64, 64), (256, 1), (256, 64)):
            what = "one account" if accounts == 1 else f"{accounts} accounts"
            sample = uvloop.run(
                appends(database, callers=callers, accounts=accounts, seconds=seconds)
            )
            yield f"ledger, {callers} callers, {what}", sample


def gateway(home: Path, seconds: float) -> Iterator[tuple[str, Sample]]:
    """JSON and streams, straight to the upstream and through the gateway."""
    providers = home / "providers.toml"
    providers.write_text(PROVIDERS)
    program = Path(sys.executable).parent / "gatewayz"
    environment = {
        **os.environ,
        "GATEWAYZ_HOME": str(home),
        "GATEWAYZ_PROVIDERS_FILE": str(providers),
    }
    upstream = subprocess.Popen(
        [sys.executable, "-m", "bench.upstream", str(UPSTREAM_PORT)], cwd=ROOT
    )
    served = subprocess.Popen(
        [str(program), "up", "--port", str(GATEWAY_PORT)],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(GATEWAY_PORT, "/health")
        made = subprocess.check_output(
            f"{program} user create --email b@example.com --grant 1000000 --json".split(),
            env=environment,
        )
        key = json.loads(made)["api_key"]
        targets = {
            "direct": (f"http://127.0.0.1:{UPSTREAM_PORT}/v1", "bench"),
            "gateway": (f"http://127.0.0.1:{GATEWAY_PORT}/v1", "bench/bench"),
        }
        for stream, connections in ((False, 1), (False, 64), (False, 256), (True, 64)):
            kind = "stream of 50 chunks" if stream else "1 KiB JSON"
            for name, (url, model) in targets.items():
                sample = uvloop.run(
                    requests(
                        url,
                        key,
                        model=model,
                        stream=stream,
                        connections=connections,
                        seconds=seconds,
                    )
                )
                yield f"{name}, {kind}, {connections} connections", sample
        subprocess.run(
            [program, "ledger", "verify"], env=environment, check=True, stdout=subprocess.DEVNULL
        )
    finally:
        served.terminate()
        served.wait(WAIT_S)
        upstream.terminate()
        upstream.wait(WAIT_S)


def conditions() -> str:
    """What the figures depend on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {model[1] if model else '?'}, "
        f"Python {platform.python_version()}, embedded PostgreSQL with fsync on; load generator, "
        "upstream, gateway, follower and database on the same machine; books verified afterwards."
    )


def main() -> None:
    """Run all, print as it goes, write the report."""
    parser = argparse.ArgumentParser(description="Benchmarks; writes bench/results.md")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a sample")
    parser.add_argument(
        "--only",
        choices=("ledger", "gateway", "read-side", "providers"),
        help="print one part, write nothing",
    )
    arguments = parser.parse_args()
    seconds, only = arguments.seconds, arguments.only
    rows = ["| workload | per second | p50 ms | p99 ms |", "|---|--:|--:|--:|"]
    for workload in (ledger, gateway):
        if only not in (None, workload.__name__):
            continue
        with tempfile.TemporaryDirectory(prefix="gw-bench-") as home:
            for name, sample in workload(Path(home), seconds):
                row = f"| {name} | {sample.per_second:,.0f} | {sample.p50_ms:.2f} |"
                rows.append(f"{row} {sample.p99_ms:.2f} |")
                print(rows[-1], flush=True)
    rows += ["", "| read side | figure | |", "|---|--:|---|"]
    for side in (follower_rates, kafka_rates) if only in (None, "read-side") else ():
        with tempfile.TemporaryDirectory(prefix="gw-bench-") as home:
            for each in side(Path(home)):
                rows.append(f"| {each.name} | {each.figure} | {each.note} |")
                print(rows[-1], flush=True)
    rows += ["", "| providers | figure | |", "|---|--:|---|"]
    for part in (provider_rates,) if only in (None, "providers") else ():
        with tempfile.TemporaryDirectory(prefix="gw-bench-") as home:
            for figure in part(Path(home)):
                rows.append(f"| {figure.name} | {figure.figure} | {figure.note} |")
                print(rows[-1], flush=True)
    if only:
        return
    head = RESULTS.read_text().split(MARK)[0] if RESULTS.exists() else "# Results\n\n"
    RESULTS.write_text(f"{head}{MARK}\n\n{conditions()}\n\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
