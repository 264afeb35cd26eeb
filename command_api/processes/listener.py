"""The socket that all serving processes share, and whether somebody answers on it."""

from __future__ import annotations

import socket
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from command_api.processes.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PORT_WAIT_S = 5.0
"""An orphan of a killed server lets the port go within a moment."""
POLL_S = 0.1
HEALTH_TIMEOUT_S = 60.0


@contextmanager
def listening(host: str, port: int, stopping: Callable[[], bool]) -> Iterator[socket.socket]:
    """Listen on an address. Raises StartError where somebody else goes on doing so."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        until = time.monotonic() + PORT_WAIT_S
        while True:
            try:
                listener.bind((host, port))
                listener.listen(socket.SOMAXCONN)
                break
            except OSError as error:
                if time.monotonic() > until or stopping():
                    message = f"cannot listen on {host}:{port} ({error.strerror}): "
                    message += "choose another --port"
                    raise StartError(message) from None
                time.sleep(POLL_S)
        yield listener


def answers(url: str) -> bool:
    """Whether the server of this URL, our own, says that it is healthy."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=HEALTH_TIMEOUT_S):
            return True
    except OSError:
        return False
