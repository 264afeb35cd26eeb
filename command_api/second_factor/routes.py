"""`/auth/totp…` and the second step of signing in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.second_factor.schemas import decode_confirm, decode_proof, decode_second_step
from command_api.sessions.replies import PRIVATE, admitted, message, need_session, whence_of
from domain.identity.permissions import Permission
from edge.access import OPEN, Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import origin_of
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.second_factor.commands import SecondFactor

router = APIRouter()
Signer = Annotated[Caller, Depends(Needs(Permission.WRITE_PROFILE).caller)]


def _second_factor(request: Request) -> SecondFactor:
    found: SecondFactor = request.app.state.second_factor
    return found


@router.post("/auth/login/second-step", dependencies=[OPEN])
async def second_step(request: Request) -> Response:
    """A session for the token that the first step gave, and a code."""
    given = await read_json(request, decode_second_step)
    made = _second_factor(request)
    pair = await made.second_step(given.second_step_token, given.code, whence_of(request))
    return admitted(pair, made.tokens.access_s)


@router.get("/auth/second-factor")
async def second_factor(request: Request, caller: Signer) -> Response:
    """What opens the account beside the password."""
    return json_reply(await _second_factor(request).shown(caller))


@router.post("/auth/totp")
async def enrol(request: Request, caller: Signer) -> Response:
    """A secret for an authenticator, shown this once; it counts once it is confirmed."""
    need_session(caller)
    proof = await read_json(request, decode_proof)
    secret, uri = await _second_factor(request).enrol(caller, proof, origin_of(request))
    return json_reply({"secret": secret, "otpauth_url": uri}, headers=PRIVATE)


@router.post("/auth/totp/confirm")
async def confirm(request: Request, caller: Signer) -> Response:
    """Show a first code: from now on one is asked for. The recovery codes are shown this once."""
    need_session(caller)
    given = await read_json(request, decode_confirm)
    codes = await _second_factor(request).confirm(caller, given.code, origin_of(request))
    return json_reply({"recovery_codes": codes}, headers=PRIVATE)


@router.post("/auth/totp/recovery-codes")
async def recovery_codes(request: Request, caller: Signer) -> Response:
    """Other recovery codes, for the password or a code; the earlier ones are good no more."""
    need_session(caller)
    proof = await read_json(request, decode_proof)
    codes = await _second_factor(request).new_codes(caller, proof, origin_of(request))
    return json_reply({"recovery_codes": codes}, headers=PRIVATE)


@router.delete("/auth/totp")
async def disable(request: Request, caller: Signer) -> Response:
    """No second step any more, for the password or a code."""
    need_session(caller)
    proof = await read_json(request, decode_proof)
    await _second_factor(request).disable(caller, proof, origin_of(request))
    return message("No code is asked for any more.")
