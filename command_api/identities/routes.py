"""`/auth/oidc/…`, `/auth/identities…` and `POST /auth`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response

from command_api.identities.schemas import decode_exchange, decode_privy
from command_api.sessions.replies import (
    PRIVATE,
    admission,
    admitted,
    message,
    need_session,
    whence_of,
)
from domain.identity.permissions import Permission
from edge.access import OPEN, Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import origin_of
from edge.replies import json_reply, timestamp, usd

if TYPE_CHECKING:
    from command_api.identities.commands import Identities

router = APIRouter()
Signer = Annotated[Caller, Depends(Needs(Permission.WRITE_PROFILE).caller)]
COOKIE = "gatewayz_login"
COOKIE_S = 600
COOKIE_CHARACTERS_MAX = 100


def _identities(request: Request) -> Identities:
    found: Identities = request.app.state.identities
    return found


@router.get("/auth/oidc", dependencies=[OPEN])
async def providers(request: Request) -> Response:
    """The providers that one can sign in with, and where that begins."""
    names = _identities(request).names
    found = [{"name": each, "start": f"/auth/oidc/{each}/start"} for each in names]
    return json_reply({"providers": found})


@router.get("/auth/oidc/{provider}/start", dependencies=[OPEN])
async def start(request: Request, provider: str, return_to: str = "") -> Response:
    """Send the browser to the provider; `return_to` is a path of ours to come back to."""
    made = _identities(request)
    started = await made.start(provider, return_to, origin_of(request))
    answer = Response(status_code=303, headers={"location": started.url, **PRIVATE})
    _set_cookie(answer, made.public_url, started.cookie, COOKIE_S)
    return answer


@router.get("/auth/oidc/{provider}/callback", dependencies=[OPEN])
async def callback(
    request: Request, provider: str, state: str = "", code: str = "", error: str = ""
) -> Response:
    """Take the provider's word: a session, or a code for the page that was asked for."""
    made = _identities(request)
    cookie = request.cookies.get(COOKIE, "")[:COOKIE_CHARACTERS_MAX]
    given = {"state": state, "code": code, "error": error}
    back = await made.back(provider, given, cookie, origin_of(request))
    if not back.target:
        answer = admitted(await made.admit(back, whence_of(request)), made.tokens.access_s)
    else:
        said = (
            f"login_error={back.error.code}"
            if back.error is not None
            else f"login_code={await made.code_for(back)}"
        )
        # Behind the hash it is in no log: a browser sends it to nobody.
        location = f"{back.target}#{said}"
        answer = Response(status_code=303, headers={"location": location, **PRIVATE})
    _set_cookie(answer, made.public_url, "", 0)
    return answer


@router.post("/auth/login/exchange", dependencies=[OPEN])
async def exchange(request: Request) -> Response:
    """A session for the code that a page came back with."""
    given = await read_json(request, decode_exchange)
    made = _identities(request)
    found = await made.exchange(given.login_code, whence_of(request))
    return admitted(found, made.tokens.access_s)


@router.get("/auth/identities")
async def identities(request: Request, caller: Signer) -> Response:
    """The providers whose word opens the caller's account."""
    found = await _identities(request).listed(caller)
    return json_reply({"identities": found, "total": len(found)})


@router.delete("/auth/identities/{provider}")
async def unlink(request: Request, caller: Signer, provider: str) -> Response:
    """One's word opens it no more."""
    need_session(caller)
    await _identities(request).unlink(caller, provider)
    return message("The provider's word opens your account no more.")


@router.post("/auth", dependencies=[OPEN])
async def privy(request: Request) -> Response:
    """Sign in with a token of Privy; whoever has no account gets one."""
    given = await read_json(request, decode_privy)
    made = _identities(request)
    by = await made.by_privy(given.token, given.email, whence_of(request))
    code = given.referral_code if by.found.made else None
    referral = await made.refer(by.found.user_id, code, origin_of(request))
    body: dict[str, Any] = {
        "success": True,
        "message": "Registered." if by.found.made else "Signed in.",
        "user_id": str(by.found.user_id),
        "api_key": by.api_key,
        "auth_method": by.method,
        "privy_user_id": by.subject,
        "is_new_user": by.found.made,
        "display_name": by.name or by.address.partition("@")[0],
        "email": by.address,
        "credits": usd(by.available),
        "timestamp": timestamp(),
    }
    if referral is not None:
        body["referral"] = referral
    if by.second_step is not None:
        # The key waits behind the second step: GET /user/api-keys of the session.
        body = {**admission(by.second_step, made.tokens.access_s), **body}
        body["message"] = "Show a code: POST /auth/login/second-step."
        del body["api_key"], body["email"], body["display_name"], body["credits"]
    return json_reply(body, headers=PRIVATE)


def _set_cookie(answer: Response, public_url: str, value: str, lives_s: int) -> None:
    """For the callback alone; over https it goes out over nothing else."""
    parts = urlsplit(public_url)
    answer.set_cookie(
        COOKIE,
        value,
        max_age=lives_s,
        path=f"{parts.path.rstrip('/')}/auth/oidc",
        secure=parts.scheme == "https",
        httponly=True,
        samesite="lax",
    )
