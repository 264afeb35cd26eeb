"""The installed program, started as a person would."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "gatewayz"
TIMEOUT_S = 60.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def gatewayz(home: Path, *arguments: str, status: int = 0, **environment: str) -> Any:
    """Run a verb with --json and read its last line."""
    done = subprocess.run(
        [str(PROGRAM), *arguments, "--json", "--home", str(home)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
    )
    assert done.returncode == status, (done.stdout, done.stderr)
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else done.stderr


class Server:
    """`gatewayz up` in a process of its own."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        port: int = 0,
        environment: dict[str, str] | None = None,
        files: int | None = None,
    ) -> None:
        """`files` is the hard limit of open files of each process."""
        limit = ["/bin/sh", "-c", f'ulimit -n {files}; exec "$0" "$@"'] if files else []
        self.home, self.port = home, port or free_port()
        home.mkdir(parents=True, exist_ok=True)
        self.output = home / "output.txt"
        self.began = time.monotonic()
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *limit,
                    str(PROGRAM),
                    "up",
                    "--home",
                    str(home),
                    "--port",
                    str(self.port),
                    *arguments,
                ],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "GATEWAYZ_LOG_LEVEL": "warning", **(environment or {})},
            )
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.await_health()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def text(self) -> str:
        """What it printed."""
        return self.output.read_text()

    def await_health(self) -> None:
        """Wait until it serves and has greeted."""
        until = time.monotonic() + TIMEOUT_S
        while True:
            assert self.process.poll() is None, self.text()
            try:
                if httpx.get(f"{self.url}/health").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            self._wait(until)
        while f"{self.url}/v1" not in self.text():
            self._wait(until)

    def _wait(self, until: float) -> None:
        """A moment; what does not start in time is ended, and takes nothing from what follows."""
        if time.monotonic() > until:
            self.stop()
            raise AssertionError(self.text())
        time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and wait."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(TIMEOUT_S)

    def key(self) -> str:
        """The key that the first start printed."""
        found = re.search(r"API key +(\S+)", self.text())
        assert found, self.text()
        return found[1]

    def children(self, kind: str) -> list[int]:
        """Process ids of its workers or background processes."""
        named = f"command_api.processes.children {kind}"
        return [pid for pid, command in _children_of(self.process.pid) if named in command]

    def postgres(self) -> int:
        """Process id of its database server."""
        return int((self.home / "postgres/data/postmaster.pid").read_text().split()[0])

    def kill_postgres(self) -> None:
        """As a machine does that has no memory left: the server and all that serve connections.

        They would go by themselves, but may answer once more before.
        """
        server = self.postgres()
        for pid in [server, *(pid for pid, _ in _children_of(server))]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def chat(self, key: str, **body: Any) -> httpx.Response:
        """One call to the simulator."""
        asked = {"model": "simulator/echo", "messages": [{"role": "user", "content": "Hello!"}]}
        return httpx.post(
            f"{self.url}/v1/chat/completions",
            headers={"Authorization": f"Bearer {key}"},
            json={**asked, **body},
            timeout=TIMEOUT_S,
        )

    def get(self, key: str, path: str) -> Any:
        """A read with a key."""
        got = httpx.get(
            f"{self.url}{path}", headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S
        )
        assert got.status_code == 200, got.text
        return got.json()


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _children_of(parent: int) -> list[tuple[int, str]]:
    """Process ids and command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            its = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while we looked.
        if its == parent:
            found.append((int(folder.name), command))
    return found
