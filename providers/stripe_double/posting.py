"""One request to the gateway beside us: http on this machine alone, bounded in time."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

TIMEOUT_S = 10.0
REPLY_BYTES_MAX = 65_536


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer; 0 where there was none."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        sent = {"content-type": "application/json; charset=utf-8", **headers}
        connection.request("POST", parts.path, body, sent)
        answer = connection.getresponse()
        answer.read(REPLY_BYTES_MAX)
    except (OSError, HTTPException):
        return 0
    else:
        return answer.status
    finally:
        connection.close()
