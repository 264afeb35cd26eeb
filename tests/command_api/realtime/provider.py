"""A provider's end of realtime sessions, over real WebSockets, that does what a test says."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve

from tests.support.harness import ScriptedUpstream, eventually, reply, running_gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest
    from websockets.sync.client import ClientConnection
    from websockets.sync.server import ServerConnection

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

KEY = "sk-voice-of-the-house"
MODEL = "talks/voice"
PROVIDERS = """
[[provider]]
name = "talks"
base_url = "{base_url}"
api_key = "{key}"
realtime = true
[[provider.model]]
id = "voice"
input_per_million = "4"
cached_input_per_million = "0.4"
output_per_million = "16"
audio_input_per_million = "32"
cached_audio_input_per_million = "0.4"
audio_output_per_million = "64"
image_input_per_million = "5"
cached_image_input_per_million = "0.5"
context_length = 32000
max_output_tokens = 4096
[[provider.model]]
id = "clock"
per_minute = "0.006"
[[provider.model]]
id = "scribe"
input_per_million = "2.5"
audio_input_per_million = "6"
output_per_million = "10"
output_modalities = ["transcription"]
[[provider.model]]
id = "long"
input_per_million = "2.5"
output_per_million = "10"
input_per_million_above_1000 = "5"
output_modalities = ["transcription"]
[[provider.model]]
id = "mute"
input_per_million = "4"
output_per_million = "16"
[[provider.model]]
id = "blind"
input_per_million = "4"
output_per_million = "16"
audio_input_per_million = "32"
audio_output_per_million = "64"
"""
USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
"""Of text 59 fresh tokens, of audio 9, cached 64; of text 30 made, of audio 91."""
USAGE_NANO_USD = 59 * 4_000 + 9 * 32_000 + 64 * 400 + 30 * 16_000 + 91 * 64_000


class Talker:
    """The provider."""

    def __init__(self) -> None:
        """It answers as it should until a test says otherwise."""
        self.behave: Callable[[ServerConnection], None] = answering
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.heard: list[dict[str, Any]] = []
        self.ended: list[int | None] = []
        self.admit: Callable[[ServerConnection, Any], Any] = lambda *_: None
        """What it says to who asks for a session: an answer of HTTP, or nothing."""
        self._server = serve(
            self._run,
            "127.0.0.1",
            0,
            compression=None,
            max_size=None,
            process_request=self._admitted,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """Its address, as an operator writes it."""
        return f"http://127.0.0.1:{self._server.socket.getsockname()[1]}/v1"

    def close(self) -> None:
        """No more sessions."""
        self._server.shutdown()
        self._thread.join(10)

    def _admitted(self, connection: ServerConnection, request: Any) -> Any:
        return self.admit(connection, request)

    def _run(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        self.heads.append((connection.request.path, headers))
        connection.heard = self.heard  # type: ignore[attr-defined]
        try:
            self.behave(connection)
        except ConnectionClosed as closed:
            self.ended.append(closed.rcvd.code if closed.rcvd else None)


def say(connection: ServerConnection, kind: str, **members: Any) -> None:
    """Send one event."""
    connection.send(json.dumps({"type": kind, "event_id": "event_p", **members}))


def hear(connection: ServerConnection, kind: str = "") -> dict[str, Any]:
    """The next event, of a kind if one is named."""
    while True:
        event: dict[str, Any] = json.loads(connection.recv())
        connection.heard.append(event)  # type: ignore[attr-defined]
        if not kind or event["type"] == kind:
            return event


def greet(connection: ServerConnection) -> None:
    """As OpenAI does first."""
    say(connection, "session.created", session={"type": "realtime", "instructions": "Be kind."})


def done(connection: ServerConnection, name: str, usage: Any = USAGE, **more: Any) -> None:
    """A response is done."""
    response = {"id": name, "object": "realtime.response", "status": "completed", "usage": usage}
    say(connection, "response.done", response=response | more)


def respond(connection: ServerConnection, name: str, usage: Any = USAGE) -> None:
    """A whole response."""
    say(connection, "response.created", response={"id": name, "status": "in_progress"})
    say(connection, "response.output_text.delta", response_id=name, delta="Hello there.")
    say(connection, "response.output_audio.delta", response_id=name, delta="AAAA" * 1_600)
    done(connection, name, usage)


def answering(connection: ServerConnection) -> None:
    """Each response that is asked for, in its turn."""
    greet(connection)
    number = 0
    while True:
        hear(connection, "response.create")
        number += 1
        respond(connection, f"resp_{number}")


@contextmanager
def talking(
    server: Database, factory: pytest.TempPathFactory, **settings: Any
) -> Iterator[tuple[RunningGateway, Talker]]:
    """A gateway with a provider that has sessions; its books are right and no hold is left."""
    from tests.conftest import fresh_database

    talker, upstream = Talker(), ScriptedUpstream(lambda asked, _: reply(asked, b"{}"))
    text = PROVIDERS.format(base_url=talker.base_url, key=KEY)
    with (
        fresh_database(server) as database,
        running_gateway(
            database, factory.mktemp("home"), upstream, providers=text, **settings
        ) as made,
    ):
        yield made, talker
        # A session is settled once both sides were told good-bye, which its caller does not see.
        eventually(lambda: made.open_holds() == 0)
        made.verified()
    upstream.close()
    talker.close()


def session(
    gateway: RunningGateway, user: NewUser | str, model: str = MODEL, **more: Any
) -> ClientConnection:
    """A caller's session."""
    key = user if isinstance(user, str) else user.api_key
    url = gateway.url.replace("http", "ws") + f"/v1/realtime?model={model}"
    headers = {"Authorization": f"Bearer {key}"}
    options: dict[str, Any] = {"additional_headers": headers, "max_size": None, **more}
    made: ClientConnection = connect(url, **options)
    return made


def ask(caller: ClientConnection, kind: str = "response.create", **members: Any) -> None:
    """Send one event of a caller."""
    caller.send(json.dumps({"type": kind, **members}))


def until(caller: ClientConnection, kind: str, timeout_s: float = 20) -> dict[str, Any]:
    """The next event of a kind."""
    while True:
        event: dict[str, Any] = json.loads(caller.recv(timeout_s))
        if event["type"] == kind:
            return event


def call_of(caller: ClientConnection) -> str:
    """The id of the session's call."""
    assert caller.response is not None
    return caller.response.headers["x-gatewayz-call-id"]


def closed(caller: ClientConnection, timeout_s: float = 20) -> tuple[list[dict[str, Any]], int]:
    """The events until the end, and its code."""
    events: list[dict[str, Any]] = []
    while True:
        try:
            events.append(json.loads(caller.recv(timeout_s)))
        except ConnectionClosed as end:
            return events, end.rcvd.code if end.rcvd else 1006
