"""/user/provider-keys: a customer's own keys at providers, managed with the rights of API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from command_api.provider_keys.desk import ProviderKeyDesk, told
from command_api.provider_keys.schemas import BODY_BYTES_MAX, decode_change, decode_store
from domain.events.base import By
from domain.identity.permissions import Permission
from domain.organisations.projects import UnknownProjectError
from domain.provider_keys.keys import Changes, NewKey, UnknownProviderKeyError
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import client_of
from edge.errors import bad_request
from edge.replies import json_reply
from event_store.ids import to_iso

if TYPE_CHECKING:
    from event_store.beside.provider_keys.reading import StoredProviderKey

PATH = "/user/provider-keys"
ONE = f"{PATH}/{{provider_key_id}}"
PRIVATE = {"cache-control": "no-store"}

router = APIRouter()
Reader = Annotated[Caller, Depends(Needs(Permission.READ_API_KEYS).caller)]
Writer = Annotated[Caller, Depends(Needs(Permission.WRITE_API_KEYS).caller)]


async def _desk_of(request: Request) -> ProviderKeyDesk:
    desk: ProviderKeyDesk = request.app.state.provider_keys
    return desk


Desk = Annotated[ProviderKeyDesk, Depends(_desk_of)]


@router.post(PATH)
async def store(request: Request, desk: Desk, caller: Writer) -> Response:
    """Store a key for one provider: a project's, or your own. It is never shown again."""
    asked = await read_json(request, decode_store, bytes_max=BODY_BYTES_MAX)
    project = _project(asked.project_id)
    new = NewKey(desk.check_provider(asked.provider), asked.label, asked.enabled, asked.fallback)
    user, by = UUID(caller.user_id), _by(desk, request, caller)
    made = await desk.run(desk.keys.store, user, project, new, asked.key, by, caller.actor)
    desk.forget(str(made.scope_id))
    return json_reply(_shown(made), headers=PRIVATE)


@router.get(PATH)
async def listed(
    desk: Desk, caller: Reader, project_id: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    """The keys of a project, or those that your own API keys use; by their last characters."""
    found = await desk.run(desk.keys.listed, UUID(caller.user_id), _project(project_id))
    shown = {"object": "list", "data": [_shown(each) for each in found]}
    return json_reply(shown, headers=PRIVATE)


@router.get(ONE)
async def one(provider_key_id: str, desk: Desk, caller: Reader) -> Response:
    """One key, by its last characters."""
    found = await desk.run(desk.keys.found, UUID(caller.user_id), _id_of(provider_key_id))
    return json_reply(_shown(found), headers=PRIVATE)


@router.patch(ONE)
async def change(provider_key_id: str, request: Request, desk: Desk, caller: Writer) -> Response:
    """Change label, `enabled` or `fallback`, or put another `key` in its place."""
    key, asked = (
        _id_of(provider_key_id),
        await read_json(request, decode_change, bytes_max=BODY_BYTES_MAX),
    )
    changes = Changes(asked.label, asked.enabled, asked.fallback)
    if asked.key is None and not any(each is not None for each in changes):
        message = "The body changes nothing: name key, label, enabled or fallback."
        raise bad_request("invalid_value", message)
    user, by = UUID(caller.user_id), _by(desk, request, caller)
    made = await desk.run(desk.keys.change, user, key, changes, asked.key, caller.actor, by)
    desk.forget(str(made.scope_id))
    return json_reply(_shown(made), headers=PRIVATE)


@router.delete(ONE)
async def remove(provider_key_id: str, request: Request, desk: Desk, caller: Writer) -> Response:
    """Remove a key: calls under way end with it, and no other begins."""
    key, by = _id_of(provider_key_id), _by(desk, request, caller)
    gone = await desk.run(desk.keys.remove, UUID(caller.user_id), key, caller.actor, by)
    desk.forget(str(gone.scope_id))
    return json_reply({"id": str(key), "object": "provider_key", "deleted": True})


@router.post(f"{ONE}/check")
async def check(provider_key_id: str, desk: Desk, caller: Writer) -> Response:
    """Ask the provider for its models with the key, which costs nothing."""
    key = _id_of(provider_key_id)
    own = await desk.run(desk.keys.opened, UUID(caller.user_id), key)
    result, status = await desk.checks.check(own)
    shown = {"id": str(key), "object": "provider_key.check", "result": result}
    return json_reply({**shown, "upstream_status": status}, headers=PRIVATE)


def _by(desk: ProviderKeyDesk, request: Request, caller: Caller) -> By:
    return By(caller.user_id, desk.origin(client_of(request)))


def _id_of(text: str) -> UUID:
    """The id of a key; raises ApiError 404 for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise told(UnknownProviderKeyError("no id")) from None


def _project(text: str | None) -> UUID | None:
    """The id of a project; raises ApiError 404 for what is none."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise told(UnknownProjectError("no id")) from None


def _shown(key: StoredProviderKey) -> dict[str, Any]:
    return {
        "id": str(key.provider_key_id),
        "object": "provider_key",
        "provider": key.provider,
        "project_id": None if key.project_id is None else str(key.project_id),
        "label": key.label,
        "hint": f"...{key.hint}",
        "enabled": key.enabled,
        "fallback": key.fallback,
        "created_at": to_iso(key.created_at),
    }
