"""The server of a process: uvicorn, with our own protocol in front of the inference routes."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Protocol

import uvicorn

from command_api.front.bodies import Bodies
from command_api.front.limits import FrontLimits
from command_api.front.protocol import FrontProtocol
from command_api.front.replies import WaitingReplies
from edge.security import server_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from command_api.front.connection import Early
    from command_api.front.protocol import Endpoint
    from command_api.settings import Settings
    from edge.asgi import Receive, Scope, Send

KEEP_ALIVE_S = 65
BACKLOG = 2_048
PING_S = 20.0
"""Time between pings on a WebSocket, and for the answer to one, seconds."""
LAST_WORDS_S = 3.0
"""Past the grace a call has so long to settle and to say that it was ended."""


class Application(Protocol):
    """An ASGI application, some of whose paths have endpoints of their own."""

    @property
    def inference(self) -> Mapping[str, Endpoint]:
        """Those endpoints, by their paths."""
        ...

    @property
    def early(self) -> Mapping[str, Early]:
        """What may answer in the place of an endpoint, by its path."""
        ...

    def wait_for(self, tasks: set[asyncio.Task[None]]) -> None:
        """Put what a stop waits for beside requests into `tasks`, which is the server's own."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None:
        """Serve all that the endpoints do not."""
        ...


class Server(uvicorn.Server):
    """uvicorn's, which hears the calls out that it ends before anything is taken apart."""

    def __init__(self, config: uvicorn.Config, *, grace_s: float) -> None:
        """The grace is ours to time: uvicorn would not even begin to wait without any."""
        super().__init__(config)
        self._grace_s = grace_s

    async def _wait_tasks_to_complete(self) -> None:
        """As long as the grace; then end the calls, and wait for what that takes them.

        Raises TimeoutError, at which uvicorn ends whatever is left.
        """
        try:
            async with asyncio.timeout(self._grace_s):
                await super()._wait_tasks_to_complete()
        except TimeoutError:
            running = list(self.server_state.tasks)
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running, timeout=LAST_WORDS_S)
            raise


def make_server(
    app: Application, settings: Settings, *, connections_max: int | None = None
) -> uvicorn.Server:
    """The server of a process; it is given its listening sockets when it runs.

    `connections_max` is what the process has room for, where that is less than the setting.
    """
    targets = {path.encode(): endpoint for path, endpoint in app.inference.items()}
    server = settings.server
    limits = FrontLimits(
        connections_max=connections_max or server.connections_max,
        head_bytes_max=server.head_bytes_max,
        head_timeout_s=server.head_timeout_s,
        keep_alive_s=KEEP_ALIVE_S,
        write_timeout_s=server.write_timeout_s,
        buffer_bytes=server.stream_buffer_bytes,
        reply_s=settings.calls.deadline_s,
    )
    requests = settings.requests
    # One body of the largest size always fits.
    bodies = Bodies(max(requests.bodies_bytes_max, requests.body_bytes_max))
    replies = WaitingReplies(server.replies_bytes_max)
    early = {path.encode(): refusal for path, refusal in app.early.items()}
    front = {
        "endpoints": targets,
        "early": early,
        "limits": limits,
        "bodies": bodies,
        "replies": replies,
    }
    made = Server(
        uvicorn.Config(
            app,
            loop="uvloop" if sys.platform != "win32" else "asyncio",
            http=type("Front", (FrontProtocol,), front),
            ws="none",  # Of the paths that have sockets the front knows.
            ws_max_size=settings.realtime.frame_bytes_max,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ws_per_message_deflate=False,
            access_log=False,
            log_level=settings.installation.log_level,
            log_config=None,
            server_header=False,
            headers=[
                (name.decode(), value.decode())
                for name, value in server_headers(settings.mail.public_url)
            ],
            proxy_headers=False,
            backlog=BACKLOG,
        ),
        grace_s=server.shutdown_grace_s,
    )
    app.wait_for(made.server_state.tasks)
    return made
