"""A customer who has nothing to do with it, and how long each of their calls took.

`python -m tests.torture.bystander PLAN`: a small call ten times a second on a connection that is
kept; each is a line with its wall-clock time, its duration in seconds and its status.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 20.0
INTERVAL_S = 0.1


def main(plan: dict[str, Any]) -> None:
    """Call until the stop file is there."""
    address = urlsplit(plan["url"]).netloc
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    messages = [{"role": "user", "content": "Hello!"}]
    body = json.dumps({"model": "simulator/echo", "messages": messages})
    headers = {
        "Authorization": f"Bearer {plan['bystander_key']}",
        "Content-Type": "application/json",
    }
    stop = Path(plan["stop"])
    with Path(plan["durations"]).open("a") as lines:
        while not stop.exists():
            at, began, status = time.time(), time.perf_counter(), 0
            try:
                connection.request("POST", "/v1/chat/completions", body, headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
            lasted = time.perf_counter() - began
            lines.write(json.dumps([at, lasted, status]) + "\n")
            lines.flush()
            time.sleep(max(0.0, INTERVAL_S - lasted))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
