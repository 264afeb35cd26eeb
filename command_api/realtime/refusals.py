"""What a session's caller is told when it may not go on, or cannot begin."""

from __future__ import annotations

from command_api.quotas.refusals import stream_uncovered
from domain.realtime.session import ASKED_MAX
from edge.errors import INVALID_REQUEST, UPSTREAM, ApiError, bad_request, unavailable

CHARGED = "What was made is charged."


def uncovered(*, by_quota: bool) -> ApiError:
    """Credits or a quota have no room for the next response."""
    return stream_uncovered(by_quota=by_quota)


def crowded() -> ApiError:
    """A response is asked for beside as many as there may be."""
    message = f"{ASKED_MAX} responses are asked for or under way: wait for one of them."
    return ApiError(429, "too_many_responses", message, kind=INVALID_REQUEST)


def expired(session_s: float) -> ApiError:
    """The session is as old as one may be."""
    message = f"A session lasts {session_s:g} s at most. {CHARGED} Open another one."
    return ApiError(400, "session_expired", message)


def idle(idle_s: float) -> ApiError:
    """Nothing was said for too long."""
    message = f"Nothing was said for {idle_s:g} s. {CHARGED} Open another session."
    return ApiError(400, "session_idle", message)


def no_text() -> ApiError:
    """A frame that is no text."""
    return bad_request("binary_frame", "Events are frames of text with JSON: audio is in Base64.")


def provider_broke() -> ApiError:
    """The provider ended the session, or said what is no event."""
    message = f"The provider broke the session off. {CHARGED}"
    return ApiError(502, "upstream_error", message, kind=UPSTREAM)


def provider_flooded() -> ApiError:
    """A response had no end."""
    message = f"The provider made more than a response of its model has. {CHARGED}"
    return ApiError(502, "upstream_error", message, kind=UPSTREAM)


def too_many_sessions() -> ApiError:
    """The process has as many sessions as it may have."""
    message = "The gateway has as many realtime sessions as it can. Nothing was charged: try again."
    return unavailable("too_many_sessions", message)


def guarded() -> ApiError:
    """The caller's calls are looked at by guards, and nobody can look at what is said."""
    message = (
        "Guardrails look at the calls of this key, and they cannot hear a realtime session: so it "
        "has none. Use a chat, or ask whoever runs this gateway."
    )
    return ApiError(403, "realtime_guarded", message, kind="permission_error")


def upgrade_required() -> ApiError:
    """A plain request where a WebSocket is asked for."""
    message = (
        "This route is a WebSocket: connect to it with Upgrade: websocket, version 13, and an "
        "`Authorization` header, or the subprotocols `realtime` and `openai-insecure-api-key.KEY`."
    )
    return ApiError(
        426, "upgrade_required", message, headers={"upgrade": "websocket", "connection": "upgrade"}
    )


def websockets_alone() -> ApiError:
    """A route of the Realtime API that is not served."""
    message = (
        "Realtime sessions are served over WebSockets alone, at /v1/realtime?model=ID: there are "
        "no calls over WebRTC or SIP here, no client secrets, and no sessions of transcriptions."
    )
    return ApiError(404, "realtime_websockets_only", message)
