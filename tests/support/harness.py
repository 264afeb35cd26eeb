"""A real gateway over real HTTP in this process, and upstreams that do what a test says."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from command_api.composition import vault_of
from command_api.identity.users import NewUser, Users
from command_api.money.grants import Grant, Grants
from command_api.serving.app import make_app
from command_api.serving.server import make_server
from command_api.settings import Settings
from domain.ledger.lots import GrantKind
from projections.hosting.follower import follow
from projections.hosting.verify import Report, verify
from tests.support.history import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from event_store.postgres.database import Database

TIMEOUT_S = 20.0
USD = 1_000_000_000


@dataclass
class Request:
    """What an upstream was sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    method: str = "POST"


@dataclass
class ScriptedUpstream:
    """A server on loopback whose answer to each request is a function of the test's."""

    answer: Any = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def base_url(self) -> str:
        """What goes into the providers file."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def calls(self) -> int:
        """How many calls came; the lists of models are asked for in the background."""
        return sum(each.method == "POST" for each in self.requests)

    def close(self) -> None:
        """Stop accepting; only a shutdown wakes who waits for the next connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Answer one request after the other, until either side has enough of it."""
        with connection, connection.makefile("rb") as reader, suppress(OSError):
            while True:
                line = reader.readline()
                if not line.strip():
                    return
                headers: dict[str, str] = {}
                while header := reader.readline().strip():
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                raw = reader.read(int(headers.get("content-length", "0")))
                body = json.loads(raw) if raw.startswith(b"{") else {}
                method, target = line.decode().split()[:2]
                request = Request(target, headers, body, raw, method)
                self.requests.append(request)
                if self.answer(connection, request) == "close":
                    return


def reply(
    connection: socket.socket,
    body: bytes,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> None:
    """A sized reply."""
    lines = {"content-type": "application/json", "content-length": str(len(body))}
    text = "".join(f"{k}: {v}\r\n" for k, v in {**lines, **(headers or {})}.items())
    connection.sendall(f"HTTP/1.1 {status} X\r\n{text}\r\n".encode() + body)


def completion(text: str = "Hello.", *, usage: dict[str, Any] | None = None, **extra: Any) -> bytes:
    """A Chat Completions reply."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {
        "id": "up-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage or {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **extra,
    }
    return json.dumps(body).encode()


def chunk(delta: dict[str, Any] | None = None, **extra: Any) -> bytes:
    """One event of a stream."""
    choices = (
        []
        if delta is None
        else [{"index": 0, "delta": delta, "finish_reason": extra.pop("finish", None)}]
    )
    body = {
        "id": "up-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **extra,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def named(data: bytes, model: str = "local/m") -> bytes:
    """A provider's bytes as the caller gets them: with the full id of the model `m`."""
    return data.replace(b'"model": "m"', b'"model": "%b"' % model.encode())


USAGE = chunk(None, usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
DONE = b"data: [DONE]\n\n"


def begin_stream(connection: socket.socket) -> None:
    """The head of a chunked event stream."""
    connection.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )


def send_piece(connection: socket.socket, piece: bytes) -> None:
    """One HTTP chunk."""
    connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))


def stream(connection: socket.socket, *pieces: bytes, pause_s: float = 0) -> None:
    """A whole chunked event stream."""
    begin_stream(connection)
    for piece in pieces:
        send_piece(connection, piece)
        if pause_s:
            time.sleep(pause_s)
    connection.sendall(b"0\r\n\r\n")


@dataclass
class RunningGateway:
    """One serving process's worth of gateway, in a thread."""

    url: str
    database: Database
    settings: Settings
    upstream: ScriptedUpstream
    stop: Callable[[], None]
    """Begin the orderly end, as SIGTERM does."""

    def user(self, grant: int = 10 * USD, email: str | None = None, **lot: Any) -> NewUser:
        """A user with credits, in nano-USD."""
        users = self.users()
        try:
            user = users.create_user(email or f"user-{time.time_ns()}@example.com")
            if grant:
                given = Grant(
                    account_id=UUID(user.account_id),
                    amount=grant,
                    kind=GrantKind.BONUS,
                    reason="test",
                    **lot,
                )
                asyncio.run(Grants(self.database, actor="test").give(given))
        finally:
            users.close()
        return user

    def users(self) -> Users:
        """The commands on users and keys."""
        return Users(self.database, vault_of(self.settings, self.database), actor="test")

    def client(self, user: NewUser, **headers: str) -> httpx.Client:
        """An HTTP client with the user's key."""
        return httpx.Client(
            base_url=self.url,
            timeout=TIMEOUT_S,
            headers={"Authorization": f"Bearer {user.api_key}", **headers},
        )

    def chat(self, user: NewUser, body: dict[str, Any], **headers: str) -> httpx.Response:
        """One call."""
        with self.client(user, **headers) as client:
            return client.post("/v1/chat/completions", json={**ASK, **body})

    def story(self, user: NewUser, answer: httpx.Response | str) -> dict[str, Any]:
        """The call behind an answer, as its owner sees it."""
        call_id = answer if isinstance(answer, str) else answer.headers["x-gatewayz-call-id"]
        with self.client(user) as client:
            found = client.get(f"/v1/calls/{call_id}")
            assert found.status_code == 200, found.text
            story: dict[str, Any] = found.json()
            return story

    def balance(self, user: NewUser) -> dict[str, Any]:
        """The user's balance."""
        with self.client(user) as client:
            found = client.get("/user/balance")
            assert found.status_code == 200, found.text
            balance: dict[str, Any] = found.json()
            return balance

    def events(self) -> int:
        """Length of the log, less what a start tells of the catalog beside the calls."""
        with self.database.connect() as connection:
            row = connection.execute(
                "SELECT count(*) FROM events WHERE topic NOT LIKE 'catalog.%'"
            ).fetchone()
            assert row is not None
            return int(row[0])

    def open_holds(self) -> int:
        """Holds that are not resolved."""
        with self.database.connect() as connection:
            row = connection.execute("SELECT count(*) FROM open_hold").fetchone()
            assert row is not None
            return int(row[0])

    def verified(self) -> Report:
        """The books are right."""
        report = verify(self.database)
        assert report.differences == []
        return report


ASK = {"model": "local/m", "messages": [{"role": "user", "content": "Hi"}]}

PROVIDERS = """
[[provider]]
name = "local"
base_url = "{base_url}"
api_key = "sk-up"
[[provider.model]]
id = "m"
input_per_million = "0.15"
output_per_million = "0.60"
cached_input_per_million = "0.075"
context_length = 128000
max_output_tokens = 16384
[[provider.model]]
id = "org/long/name"
input_per_million = "1"
output_per_million = "2"
[[provider.model]]
id = "free"
input_per_million = "0"
output_per_million = "0"
"""


@contextmanager
def running_gateway(
    database: Database, home: Path, upstream: ScriptedUpstream, **overrides: Any
) -> Iterator[RunningGateway]:
    """Serve until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "providers.toml"
    file.write_text(PROVIDERS.format(base_url=upstream.base_url) + overrides.pop("providers", ""))
    settings = Settings(
        home=home,
        providers_file=file,
        **{
            "shutdown_grace_s": 1,
            "log_level": "info",
            "spool_reserve_files": 8,
            "queue_wait_s": 60,  # A busy machine sheds nothing that a test did not mean.
            "secret_key": SECRET.decode(),
            **overrides,
        },
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = make_server(make_app(settings, database, vault_of(settings, database)), settings)
    stop = threading.Event()
    threads = [
        threading.Thread(target=server.run, kwargs={"sockets": [listener]}),
        threading.Thread(target=follow, args=(database, stop)),
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + TIMEOUT_S
    while not server.started:
        assert threads[0].is_alive(), "the gateway did not start"
        assert time.monotonic() < until, "the gateway did not start in time"
        time.sleep(0.01)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        end = partial(setattr, server, "should_exit", True)
        yield RunningGateway(url, database, settings, upstream, end)
    finally:
        server.should_exit = True
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive(), "a thread of the gateway did not end"


def eventually(check: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:
    """Wait until a check gives something true, and return it."""
    until = time.monotonic() + timeout_s
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.02)
