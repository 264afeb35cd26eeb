"""`/auth/…` and `/create`: what people send to get in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from command_api.identity.users import Registration
from command_api.sessions.replies import admitted, message, whence_of
from command_api.sign_in.schemas import (
    TEXT_MAX,
    decode_change,
    decode_login,
    decode_mailed,
    decode_refresh,
    decode_register,
    decode_reset,
)
from domain.identity.key_format import Environment
from domain.identity.permissions import ROLES, Permission, Role, lists_of
from edge.access import OPEN, Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import origin_of
from edge.errors import ApiError, bad_request
from edge.replies import json_reply, timestamp

if TYPE_CHECKING:
    from command_api.sign_in.commands import SignIn

router = APIRouter()
Signer = Annotated[Caller, Depends(Needs(Permission.WRITE_PROFILE).caller)]
"""Somebody who may change the account."""
NEUTRAL = "If the address is known here, a mail is on its way to it."
METHODS = ("email", "wallet", "google", "github")


def _sign_in(request: Request) -> SignIn:
    found: SignIn = request.app.state.sign_in
    return found


@router.post("/auth/register", dependencies=[OPEN])
@router.post("/create", dependencies=[OPEN])
async def register(request: Request) -> Response:
    """A user with a key, shown this once, and a mail to verify the address."""
    given = await read_json(request, decode_register)
    if given.environment_tag not in set(Environment):
        said = f"environment_tag is one of {', '.join(Environment)}."
        raise bad_request("invalid_value", said, "environment_tag")
    if given.auth_method not in METHODS:
        said = f"auth_method is one of {', '.join(METHODS)}."
        raise bad_request("invalid_value", said, "auth_method")
    wanted = Registration(
        username=given.username,
        key_name=given.key_name,
        environment=Environment(given.environment_tag),
    )
    sign_in, origin = _sign_in(request), origin_of(request)
    made = await sign_in.register(given.email, wanted, given.password, origin)
    referral = await sign_in.refer(UUID(made.user_id), given.referral_code, origin)
    body = {
        "user_id": made.user_id,
        "account_id": made.account_id,
        "username": given.username,
        "email": given.email.strip(),
        "api_key": made.api_key,
        "key_id": made.key_id,
        "credits": 0,
        "environment_tag": given.environment_tag,
        "scope_permissions": lists_of(ROLES[Role.USER]),
        "auth_method": given.auth_method,
        "subscription_status": "inactive",
        "message": "Registered. The trial begins when the address is verified: see the mail.",
        "timestamp": timestamp(),
    }
    if referral is not None:
        body["referral"] = referral
    return json_reply(body, headers={"cache-control": "no-store"})


@router.post("/auth/login", dependencies=[OPEN])
async def login(request: Request) -> Response:
    """Sign in with address and password; who wants a second step is asked for it."""
    given = await read_json(request, decode_login)
    made = _sign_in(request)
    found = await made.sign_in(given.email, given.password, whence_of(request))
    return admitted(found, made.tokens.access_s)


@router.post("/auth/refresh", dependencies=[OPEN])
async def refresh(request: Request) -> Response:
    """The next pair of tokens; the refresh token that was shown is good no more."""
    given = await read_json(request, decode_refresh)
    made = _sign_in(request)
    pair = await made.refresh(given.refresh_token, origin_of(request))
    return admitted(pair, made.tokens.access_s)


@router.post("/auth/logout")
async def logout(request: Request, caller: Signer) -> Response:
    """End the session of the access token."""
    if not caller.session_id:
        said = "An API key has no session: send the access token of the session to end."
        raise bad_request("no_session", said)
    await _sign_in(request).end(caller, UUID(caller.session_id))
    return message("Signed out.")


@router.get("/auth/sessions")
async def sessions(request: Request, caller: Signer) -> Response:
    """The caller's living sessions, newest first."""
    found = await _sign_in(request).sessions_of(caller)
    return json_reply({"sessions": found, "total": len(found)})


@router.delete("/auth/sessions")
async def end_sessions(request: Request, caller: Signer) -> Response:
    """End all of them."""
    ended = await _sign_in(request).end_all(caller)
    return message("All sessions have ended.", ended=ended)


@router.delete("/auth/sessions/{session_id}")
async def end_session(request: Request, caller: Signer, session_id: str) -> Response:
    """End one of them."""
    try:
        session = UUID(session_id)
    except ValueError:
        said = "There is no session of yours with this id: GET /auth/sessions lists them."
        raise ApiError(404, "session_not_found", said) from None
    await _sign_in(request).end(caller, session)
    return message("The session has ended.")


@router.post("/auth/verify-email", dependencies=[OPEN])
async def verify_email(request: Request) -> Response:
    """Show the token of the mail; the trial begins."""
    given = await read_json(request, decode_mailed)
    user_id = await _sign_in(request).verify_email(given.token, origin_of(request))
    return message("The address is verified.", user_id=str(user_id))


@router.post("/auth/verify-email/resend")
async def resend(request: Request, caller: Signer) -> Response:
    """Another mail to verify the caller's address, if it is not."""
    await _sign_in(request).send_verification(UUID(caller.user_id), origin_of(request))
    return message("If the address is not verified yet, a mail is on its way to it.")


@router.post("/auth/password-reset", dependencies=[OPEN])
async def password_reset(request: Request, email: str) -> Response:
    """A mail with a token for a new password; unknown addresses are answered alike."""
    if not 0 < len(email) <= TEXT_MAX:
        said = "email is an address."
        raise bad_request("invalid_value", said, "email")
    await _sign_in(request).ask_reset(email, origin_of(request))
    return message(NEUTRAL)


@router.post("/auth/reset-password", dependencies=[OPEN])
async def reset_password(request: Request) -> Response:
    """A new password for the token of a mail; all sessions end."""
    given = await read_json(request, decode_reset)
    await _sign_in(request).reset(given.token, given.password, origin_of(request))
    return message("The password is set. Sign in with it.")


@router.post("/auth/change-password")
async def change_password(request: Request, caller: Signer) -> Response:
    """Another password for who knows the present one; all other sessions end."""
    given = await read_json(request, decode_change)
    await _sign_in(request).change(
        caller, given.current_password, given.new_password, origin_of(request)
    )
    return message("The password is changed.")
