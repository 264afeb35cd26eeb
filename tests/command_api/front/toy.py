"""A server with the front's protocol before a toy application, and a client that sends bytes."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from command_api.serving import server as uvicorn_server
from command_api.settings import Settings
from edge.asgi import ClientGoneError, read_body, send_error, send_whole
from edge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.front.connection import Early
    from edge.asgi import Receive, Scope, Send

TIMEOUT_S = 10.0
BODY_BYTES_MAX = 1_000_000
PIECE = b"x" * 65_536
FLOOD_PIECES = 1_600
HUGE_BYTES = 24 * 2**20
SHORT, LONG = "/short", "/long"


class Toy:
    """Both ways answer with what they were sent; headers of the request choose what else."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.inference = {SHORT: self.answer}
        self.early: dict[str, Early] = {}
        self.gone = threading.Event()
        self.hold = threading.Event()
        self.waiting = self.flooding = self.active = 0

    def wait_for(self, tasks: set[asyncio.Task[None]]) -> None:
        """Nothing of it runs beside requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None:
        """The long way."""
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        assert scope["path"] in (SHORT, LONG)
        await self.answer(scope, receive, send)

    def answers(self, many: int) -> bool:
        """Whether so many requests are under way."""
        return self.active == many

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count those under way."""
        self.active += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self.active -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Echo, or misbehave as the header `x-do` says."""
        headers = dict(scope["headers"])
        try:
            body = await read_body(
                scope,
                headers.get(b"content-length", b""),
                receive,
                bytes_max=BODY_BYTES_MAX,
                timeout_s=TIMEOUT_S,
            )
        except ApiError as error:
            await send_error(send, error, [])
            return
        except ClientGoneError:
            return
        match headers.get(b"x-do", b""):
            case b"stream":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for part in (body[:1], body[1:]):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b"." + body})
            case b"wait":
                self.waiting += 1
                while not self.hold.is_set():
                    await asyncio.sleep(0.01)
                await send_whole(send, 200, body, [])
            case b"flood":
                self.flooding += 1
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for _ in range(FLOOD_PIECES):
                    await send({"type": "http.response.body", "body": PIECE, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
                self.flooding -= 1
            case b"large":
                await send_whole(send, 200, PIECE * 100, [])
            case b"huge":
                await send_whole(send, 200, bytes(HUGE_BYTES), [])
            case b"watch":
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.gone.set()
            case b"break":
                await send_whole(send, 200, body, [(b"x-a", b"1\r\nx-b: 2")])
            case b"raise":
                message = "a defect"
                raise RuntimeError(message)
            case b"late":
                await send_whole(send, 500, body, [])
                message = "a defect"
                raise RuntimeError(message)
            case b"half":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": body, "more_body": True})
                message = "a defect"
                raise RuntimeError(message)
            case b"close":
                await send_whole(send, 408, body, [(b"connection", b"close")])
            case _:
                await send_whole(send, 200, body, [])


@contextmanager
def serving(home: Path, **overrides: Any) -> Iterator[tuple[Toy, int]]:
    """A server until the block ends, and its port."""
    toy = Toy()
    asked = Settings(home=home, **{"shutdown_grace_s": 1, "log_level": "error", **overrides})
    server = uvicorn_server.make_server(toy, asked)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield toy, listener.getsockname()[1]
    finally:
        toy.hold.set()
        server.should_exit = True
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


def request(
    body: bytes = b"",
    *,
    path: str = SHORT,
    method: str = "POST",
    chunked: bool = False,
    **more: str,
) -> bytes:
    """The bytes of one request."""
    lines = {"host": "x", **{name.replace("_", "-"): value for name, value in more.items()}}
    if chunked:
        lines["transfer-encoding"] = "chunked"
        parts = [body[:3], body[3:]]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)
        body += b"0\r\n\r\n"
    else:
        lines["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Wire:
    """A connection of a client."""

    def __init__(self, port: int, *, receive_bytes: int | None = None) -> None:
        """What is unread waits at the server, but for about `receive_bytes`."""
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Write bytes."""
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next response."""
        status = int(self.file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        if "content-length" in headers:
            return status, headers, self.file.read(int(headers["content-length"]))
        body = bytearray()
        while headers.get("transfer-encoding") == "chunked":
            size = int(self.file.readline(), 16)
            body += self.file.read(size)
            self.file.read(2)
            if not size:
                break
        return status, headers, bytes(body)
