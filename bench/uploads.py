"""A large upload in constant memory: `python -m bench.uploads --mebibytes 1024`.

Audio is uploaded to the simulator's `listen` as it is made, and the resident memory of each of the
gateway's processes is sampled meanwhile, those of its database left out. What each grew by is told
beside the size of the upload; `--grown-max` fails the run where one grew by more.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.gate import PROGRAM, verb
from bench.run import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT, POLL_S = 9_819, 0.05
WAITS_MAX = 5
MEBIBYTE = 2**20
PIECE_BYTES = 256 * 1024
TIMEOUT_S = 3_600.0
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.ogg"\r\n\r\nOggS'
TAIL = (
    b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsimulator/listen\r\n--b--\r\n'
)
PATHS = {"transcription": b"", "stream": b"true"}


def form(mebibytes: int, stream: bytes) -> Iterator[bytes]:
    """The body, piece by piece."""
    yield HEAD
    piece = bytes(PIECE_BYTES)
    for _ in range(mebibytes * MEBIBYTE // PIECE_BYTES):
        yield piece
    if stream:
        yield b'\r\n--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\n' + stream
    yield TAIL


def upload(key: str, mebibytes: int, stream: bytes) -> tuple[float, str]:
    """Seconds that it took, and what was answered."""
    size = sum(map(len, form(0, stream))) + mebibytes * MEBIBYTE
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "multipart/form-data; boundary=b",
        "content-length": str(size),
    }
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=TIMEOUT_S)
    began = time.perf_counter()
    connection.request("POST", "/v1/audio/transcriptions", form(mebibytes, stream), headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    took = time.perf_counter() - began
    connection.close()
    if answer.status != http.HTTPStatus.OK:
        message = f"{answer.status}: {body}"
        raise SystemExit(message)
    return took, body


class Memory:
    """The most that each process of the gateway was resident with, by its id, in bytes."""

    def __init__(self, root: int) -> None:
        """`root` is the process that all others come from."""
        self._root, self._stop = root, threading.Event()
        self.first = self._sampled()
        self.most = dict(self.first)
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        """Sample from now on."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """No more samples."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_S):
            for process, resident in self._sampled().items():
                self.first.setdefault(process, resident)
                self.most[process] = max(self.most.get(process, 0), resident)

    def _sampled(self) -> dict[int, int]:
        parents: dict[int, int] = {}
        for each in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = each.read_text().rpartition(")")
            except OSError:
                continue
            if "postgres" not in name:
                parents[int(each.parent.name)] = int(rest.split()[1])
        ours = {self._root}
        while more := {child for child, parent in parents.items() if parent in ours} - ours:
            ours |= more
        return {process: resident for process in ours if (resident := _resident(process))}


def _resident(process: int) -> int:
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Upload whole and streamed, and print how memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1_024)
    parser.add_argument("--grown-max", type=int, default=0, help="mebibytes; 0 fails nothing")
    asked = parser.parse_args()
    most = (asked.mebibytes + 1) * MEBIBYTE
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        environment = {
            **os.environ,
            "GATEWAYZ_HOME": folder,
            "GATEWAYZ_UPLOAD_DIR": folder,
            "GATEWAYZ_AUDIO_FILE_BYTES_MAX": str(most),
            "GATEWAYZ_UPLOADS_BYTES_MAX": str(most),
            "GATEWAYZ_UPLOAD_TIMEOUT_S": str(TIMEOUT_S),
        }
        command = [str(PROGRAM), "up", "--port", str(PORT), "--workers", "1"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        grown = 0
        try:
            _wait()
            words = ("user", "create", "--email", "b@example.com", "--grant", "1000000")
            key = verb(environment, *words)["api_key"]
            upload(key, 1, b"")  # What is loaded at first use is not the upload's.
            for name, stream in PATHS.items():
                with Memory(server.pid) as memory:
                    took, body = upload(key, asked.mebibytes, stream)
                each = {
                    process: memory.most[process] - memory.first[process] for process in memory.most
                }
                grown = max(grown, *each.values())
                top = max(memory.most.values()) // MEBIBYTE
                print(
                    f"{name}: {asked.mebibytes} MiB in {took:.1f} s, "
                    f"{asked.mebibytes / took:.0f} MiB/s; the largest process {top} MiB, grown by "
                    f"{max(each.values()) / MEBIBYTE:.1f} MiB; {_said(body)}"
                )
        finally:
            server.terminate()
            server.wait()
    if asked.grown_max and grown > asked.grown_max * MEBIBYTE:
        message = f"a process grew by more than {asked.grown_max} MiB"
        raise SystemExit(message)


def _wait() -> None:
    """Until it serves: a busy machine takes its time to make a database."""
    for left in reversed(range(WAITS_MAX)):
        try:
            return wait_for(PORT, "/health")
        except RuntimeError:
            if not left:
                raise
    return None


def _said(body: str) -> str:
    """The text of an answer, whole or in events."""
    last = [line for line in body.splitlines() if line.strip()][-1].removeprefix("data:")
    return str(json.loads(last)["text"])


if __name__ == "__main__":
    main()
