"""The socket that all serving processes share."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from command_api.processes import listener
from command_api.processes.errors import StartError
from tests.support.processes import free_port


def test_a_port_that_stays_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment; at once when we are told to stop (rule: refuse clearly)."""
    monkeypatch.setattr(listener, "PORT_WAIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(StartError, match=f"127.0.0.1:{port}.*choose another --port"),
            listener.listening("127.0.0.1", port, lambda: False),
        ):
            pass
        monkeypatch.setattr(listener, "PORT_WAIT_S", 60.0)
        began = time.monotonic()
        with pytest.raises(StartError), listener.listening("127.0.0.1", port, lambda: True):
            pass
        assert time.monotonic() - began < 5


def test_a_port_that_is_let_go_is_taken() -> None:
    """An orphan of a killed server may hold it for a moment (rule: two commands)."""
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    threading.Timer(0.3, taken.close).start()
    with listener.listening("127.0.0.1", port, lambda: False) as ours:
        assert ours.getsockname() == ("127.0.0.1", port)
        socket.create_connection(("127.0.0.1", port)).close()


def test_nobody_on_the_port_is_not_healthy() -> None:
    """The greeting waits for somebody who answers (rule: two commands)."""
    assert not listener.answers(f"http://127.0.0.1:{free_port()}")
