"""What is answered to who signed in, whatever the way; and what a request says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.sessions.reception import SecondStep, Whence
from edge.asgi import header_of
from edge.clients import origin_of
from edge.errors import bad_request
from edge.replies import json_reply, timestamp

if TYPE_CHECKING:
    from fastapi import Request, Response

    from command_api.sessions.sessions import Pair
    from edge.caller import Caller

PRIVATE = {"cache-control": "no-store"}
SECOND_STEPS = ["totp", "recovery_code"]


def whence_of(request: Request) -> Whence:
    """Where a request comes from."""
    text = header_of(request.scope, b"user-agent").decode("utf-8", "replace")
    return Whence(origin_of(request), "".join(each for each in text if each.isprintable()))


def admitted(found: Pair | SecondStep, lives_s: int) -> Response:
    """The tokens of a session whose access token lives so many seconds, or the second step."""
    return json_reply(admission(found, lives_s), headers=PRIVATE)


def admission(found: Pair | SecondStep, lives_s: int) -> dict[str, Any]:
    """The same as an object."""
    if isinstance(found, SecondStep):
        return {
            "mfa_required": True,
            "second_step_token": found.token,
            "expires_in": found.lives_s,
            "methods": SECOND_STEPS,
        }
    return {
        "access_token": found.access_token,
        "refresh_token": found.refresh_token,
        "token_type": "bearer",
        "expires_in": lives_s,
        "session_id": str(found.session_id),
        "user_id": found.user_id,
    }


def message(text: str, **more: Any) -> Response:
    """What was done, in a sentence."""
    return json_reply({"success": True, "message": text, **more, "timestamp": timestamp()})


def need_session(caller: Caller) -> None:
    """Raise ApiError 400 for an API key: what opens an account is no matter of keys."""
    if not caller.session_id:
        said = "An API key may not do this: send the access token of a session."
        raise bad_request("no_session", said)
