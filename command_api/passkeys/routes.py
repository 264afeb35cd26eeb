"""`/auth/passkeys…`: the options that browsers want, and what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.passkeys.schemas import (
    decode_ask,
    decode_register,
    decode_rename,
    decode_sign_in,
)
from command_api.sessions.replies import PRIVATE, admitted, message, need_session, whence_of
from domain.identity.permissions import Permission
from edge.access import OPEN, Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import origin_of
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.passkeys.commands import Passkeys

router = APIRouter()
Signer = Annotated[Caller, Depends(Needs(Permission.WRITE_PROFILE).caller)]


def _passkeys(request: Request) -> Passkeys:
    found: Passkeys = request.app.state.passkeys
    return found


@router.post("/auth/passkeys/register/options")
async def registration_options(request: Request, caller: Signer) -> Response:
    """What `navigator.credentials.create` takes, for who shows the password or a code."""
    need_session(caller)
    ask = await read_json(request, decode_ask)
    options = await _passkeys(request).options(caller, ask, origin_of(request))
    return json_reply(options, headers=PRIVATE)


@router.post("/auth/passkeys/register")
async def register(request: Request, caller: Signer) -> Response:
    """Keep what it gave."""
    need_session(caller)
    given = await read_json(request, decode_register)
    passkey_id = await _passkeys(request).add(caller, given.credential, given.name)
    return message("The passkey opens your account now.", passkey_id=passkey_id)


@router.post("/auth/passkeys/login/options", dependencies=[OPEN])
async def login_options(request: Request) -> Response:
    """What `navigator.credentials.get` takes."""
    options = await _passkeys(request).challenge(origin_of(request))
    return json_reply(options, headers=PRIVATE)


@router.post("/auth/passkeys/login", dependencies=[OPEN])
async def login(request: Request) -> Response:
    """A session for what it gave; no second step is asked for."""
    given = await read_json(request, decode_sign_in)
    made = _passkeys(request)
    pair = await made.sign_in(given.credential, whence_of(request))
    return admitted(pair, made.tokens.access_s)


@router.get("/auth/passkeys")
async def passkeys(request: Request, caller: Signer) -> Response:
    """The caller's passkeys, oldest first."""
    found = await _passkeys(request).listed(caller)
    return json_reply({"passkeys": found, "total": len(found)})


@router.put("/auth/passkeys/{passkey_id}")
async def rename(request: Request, caller: Signer, passkey_id: str) -> Response:
    """Call one otherwise."""
    need_session(caller)
    given = await read_json(request, decode_rename)
    await _passkeys(request).rename(caller, passkey_id, given.name)
    return message("The passkey is renamed.")


@router.delete("/auth/passkeys/{passkey_id}")
async def remove(request: Request, caller: Signer, passkey_id: str) -> Response:
    """One opens nothing any more."""
    need_session(caller)
    await _passkeys(request).remove(caller, passkey_id)
    return message("The passkey opens nothing any more.")
