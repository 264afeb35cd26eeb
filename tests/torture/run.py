"""One run: start, load, kill, wait, count, report.

Raises AssertionError where the server does not come back after a kill.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from event_store.postgres.embedded import EmbeddedPostgres
from tests.support.packages import ROOT
from tests.support.processes import Server, free_port, gatewayz
from tests.support.small_disk import NoSmallDiskError, mount, unmount
from tests.torture.books import SHOWN_MAX, Books, Seen
from tests.torture.killer import Killer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LIVES = {
    "GATEWAYZ_CALL_DEADLINE_S": "8",
    "GATEWAYZ_HOLD_GRACE_S": "2",
    "GATEWAYZ_LEASE_S": "2",
    "GATEWAYZ_HEARTBEAT_S": "0.4",
    "GATEWAYZ_SWEEP_INTERVAL_S": "0.5",
    "GATEWAYZ_SHUTDOWN_GRACE_S": "2",
}
"""Short lives, so that what is left over can be waited for."""
PROVIDERS = """
[[provider]]
name = "local"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-up"
[[provider.model]]
id = "m"
input_per_million = "0.15"
output_per_million = "0.60"
context_length = 128000
max_output_tokens = 16384
"""
RICH_USD, POOR_USD = "1000", "0.02"
ACCOUNTS, POOR = 6, 2
END_S = 40.0
DISK_KILOBYTES = 512
OPEN_FILES = 256
"""The hard limit of open files that each process starts with, as in the meanest of containers."""
MEASURES = 4
"""How often memory is looked at between two kills."""
PERCENTILE = 0.99


@dataclass(frozen=True)
class Plan:
    """What a run does, and for how long."""

    seconds: float
    seed: int = 1
    pause_s: float = 1.2
    callers: int = 8
    workers: int = 2
    kills_max: int | None = None
    """Ends the run early once so many were killed."""


@dataclass(frozen=True)
class Report:
    """What came of it; each of `lost` to `open_holds` and `spool_files` should be 0."""

    kills: int
    killed: dict[str, int]
    full_disks: int
    failed_starts: int
    calls: int
    answered: int
    statuses: dict[int, int]
    keyed_without_an_answer: int
    lost: int
    double: int
    overspent: int
    open_holds: int
    spool_files: int
    quarantined_files: int
    differences: list[str]
    worker_bytes_max: int
    bystander_calls: int
    bystander_failed: int
    bystander_p50_s: float
    bystander_p99_s: float
    examples: list[str]

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        left = self.lost + self.double + self.overspent + self.open_holds + self.spool_files
        return not left and not self.differences and self.answered > 0


def torture(folder: Path, plan: Plan) -> Report:
    """Run the plan in a new folder."""
    upstream, port = free_port(), free_port()
    providers = folder / "providers.toml"
    providers.write_text(PROVIDERS.format(port=upstream))
    environment = {**LIVES, "GATEWAYZ_PROVIDERS_FILE": str(providers)}
    start = partial(
        Server,
        folder / "home",
        "--workers",
        str(plan.workers),
        port=port,
        environment=environment,
        files=OPEN_FILES,
    )
    helpers = [_module("upstream", str(upstream), str(plan.seed))]
    disk = _disk(folder / "home" / "spool")
    try:
        killer = Killer(start, plan.seed, disk)
        helpers += _begin(folder, plan, killer.server)
        _kill(killer, plan)
        (folder / "stop").touch()
        for helper in helpers[1:]:
            with suppress(subprocess.TimeoutExpired):
                helper.wait(END_S)
        return _count(folder, killer)
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
        killer.server.stop(signal.SIGTERM)
        if disk is not None:
            unmount(disk)


def _disk(folder: Path) -> Path | None:
    """A small disk for the spool, where one can be mounted."""
    try:
        mount(folder, DISK_KILOBYTES)
    except NoSmallDiskError as refused:
        sys.stderr.write(f"The spool's disk is not filled: {refused}.\n")
        return None
    return folder


def _module(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.torture.{name}", *arguments],
        cwd=ROOT,
        start_new_session=True,
    )


def _begin(folder: Path, plan: Plan, server: Server) -> list[subprocess.Popen[bytes]]:
    """Users, and the processes that call."""
    names = [f"caller-{number}@example.com" for number in range(ACCOUNTS)]
    grants = [POOR_USD] * POOR + [RICH_USD] * (ACCOUNTS - POOR)
    keys = [
        gatewayz(server.home, "user", "create", "--email", name, "--grant", grant)["api_key"]
        for name, grant in zip([*names, "bystander@example.com"], [*grants, RICH_USD], strict=True)
    ]
    file = folder / "plan.json"
    values = {
        "url": server.url,
        "keys": keys[:ACCOUNTS],
        "bystander_key": keys[-1],
        "callers": plan.callers,
        "seed": plan.seed,
        "stop": str(folder / "stop"),
        "records": str(folder / "records.jsonl"),
        "durations": str(folder / "durations.jsonl"),
    }
    file.write_text(json.dumps(values))
    return [_module("load", str(file)), _module("bystander", str(file))]


def _kill(killer: Killer, plan: Plan) -> None:
    draw, until = random.Random(plan.seed + 1), time.monotonic() + plan.seconds
    while time.monotonic() < until:
        for _ in range(MEASURES):
            time.sleep(plan.pause_s * draw.uniform(0.4, 1.6) / MEASURES)
            killer.measure()
        killer.strike()
        if plan.kills_max is not None and sum(killer.kills.values()) >= plan.kills_max:
            break
    killer.free()


def _left_open(killer: Killer) -> dict[str, Any]:
    """What verification says once the last hold's life is over, or after a while."""
    until = time.monotonic() + END_S
    while True:
        found: dict[str, Any] = gatewayz(killer.server.home, "ledger", "verify")
        spooled = list(_spooled(killer.server.home))
        if (not found["open_holds"] and not spooled) or time.monotonic() > until:
            return found
        time.sleep(1)


def _spooled(home: Path) -> Iterable[Path]:
    return (path for path in (home / "spool").rglob("*.json") if "quarantine" not in path.parts)


def _count(folder: Path, killer: Killer) -> Report:
    home = folder / "home"
    verified = _left_open(killer)
    books, seen = Books(), Seen()
    with EmbeddedPostgres(home).running() as database, database.connect() as connection:
        books.read(connection)
    seen.read(folder / "records.jsonl", books)
    durations = [
        tuple(json.loads(line)) for line in (folder / "durations.jsonl").read_text().splitlines()
    ]
    calm = sorted(lasted for at, lasted, _ in durations if not _was_down(killer, at, lasted))
    double = [*books.double(), *seen.double]
    return Report(
        kills=sum(killer.kills.values()),
        killed=killer.kills,
        full_disks=killer.full_disks,
        failed_starts=killer.failed_starts,
        calls=seen.calls,
        answered=seen.answered,
        statuses=dict(sorted(seen.statuses.items())),
        keyed_without_an_answer=seen.never,
        lost=len(seen.lost),
        double=len(double),
        overspent=len(books.overspent),
        open_holds=len(books.open),
        spool_files=len(list(_spooled(home))),
        quarantined_files=sum(path.is_file() for path in (home / "spool").rglob("quarantine/*")),
        differences=verified["differences"],
        worker_bytes_max=killer.worker_bytes_max,
        bystander_calls=len(calm),
        bystander_failed=sum(
            status != 200 for at, lasted, status in durations if not _was_down(killer, at, lasted)
        ),
        bystander_p50_s=calm[len(calm) // 2] if calm else 0.0,
        bystander_p99_s=calm[int(len(calm) * PERCENTILE)] if calm else 0.0,
        examples=[*seen.lost, *double, *books.overspent, *sorted(books.open)][:SHOWN_MAX],
    )


def _was_down(killer: Killer, at: float, lasted: float) -> bool:
    """Whether a call lay, in part, in a time when the database or the whole server was down."""
    return any(begin <= at + lasted and at <= end for begin, end in killer.down)


def shown(report: Report) -> str:
    """A line for each figure."""
    return "\n".join(f"{name:26} {value}" for name, value in asdict(report).items())
