"""A batch of N lines beside the same calls made one by one: `python -m bench.batches --lines 200`.

The built-in simulator answers, so what is measured is the gateway's own work for a line: its call,
its result, and its part of the files. The plain calls come over as many connections as a batch has
lines under way, each kept open.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

from bench.gate import PROGRAM, verb
from bench.run import wait_for

PORT, AT_ONCE, POLL_S = 9_817, 32, 0.2
URL = f"http://127.0.0.1:{PORT}"
CHAT = "/v1/chat/completions"
BOUNDARY = "bench"
OK, WARM_UP = 200, 200


class Client:
    """One customer."""

    def __init__(self, key: str) -> None:
        """By a key."""
        self._key = key

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """What is answered, as JSON."""
        headers = {"authorization": f"Bearer {self._key}", "content-type": kind}
        request = urllib.request.Request(URL + path, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def batch(self, bodies: list[dict[str, Any]]) -> float:
        """Seconds from the batch's creation to its end."""
        lines = b"".join(
            json.dumps({"custom_id": str(n), "method": "POST", "url": CHAT, "body": body}).encode()
            + b"\n"
            for n, body in enumerate(bodies)
        )
        part = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n'
        form = (part % ("purpose", "")).encode() + b"batch\r\n"
        form += (part % ("file", '; filename="b.jsonl"')).encode() + lines
        form += f"\r\n--{BOUNDARY}--\r\n".encode()
        file = self.ask("/v1/files", form, f"multipart/form-data; boundary={BOUNDARY}")
        wanted = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
        began = time.perf_counter()
        made = self.ask("/v1/batches", json.dumps(wanted).encode())
        while made["status"] not in {"completed", "failed", "expired", "cancelled"}:
            time.sleep(POLL_S)
            made = self.ask(f"/v1/batches/{made['id']}")
        counts = made["request_counts"]
        if (made["status"], counts["completed"]) != ("completed", len(bodies)):
            raise RuntimeError(made)
        return time.perf_counter() - began

    def plain(self, bodies: list[dict[str, Any]]) -> float:
        """Seconds for the same calls, some at once."""
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}

        def some(own: list[dict[str, Any]]) -> None:
            connection = HTTPConnection("127.0.0.1", PORT, timeout=60)
            for body in own:
                connection.request("POST", CHAT, json.dumps(body).encode(), headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != OK:
                    raise RuntimeError(answer.status)
            connection.close()

        began = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(some, [bodies[n::AT_ONCE] for n in range(AT_ONCE)]))
        return time.perf_counter() - began


def main() -> None:
    """Run both, and print their rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2_000)
    count = parser.parse_args().lines
    message = [{"role": "user", "content": "Hello"}]
    bodies = [{"model": "simulator/echo", "messages": message} for _ in range(count)]
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        environment = {
            **os.environ,
            "GATEWAYZ_HOME": folder,
            "GATEWAYZ_BATCH_LINES_AT_ONCE": str(AT_ONCE),
        }
        command = [str(PROGRAM), "up", "--port", str(PORT)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        try:
            wait_for(PORT, "/health")
            words = ("user", "create", "--email", "b@example.com", "--grant", "1000000")
            user = verb(environment, *words)
            client = Client(user["api_key"])
            client.plain(bodies[:WARM_UP])
            plain, batch = client.plain(bodies), client.batch(bodies)
            for name, took in (("plain", plain), ("batch", batch)):
                print(f"{name}: {count} calls in {took:.1f} s, {count / took:.0f}/s")
            print(f"batch: {plain / batch:.0%} of the plain rate")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
