"""POST, PUT and DELETE of /user/api-keys: a user's own keys, made and changed with one of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from command_api.api_keys.commands import KeyCommands, told
from command_api.api_keys.schemas import (
    BODY_BYTES_MAX,
    UNLIMITED,
    ChangeKey,
    CreateKey,
    decode_change,
    decode_create,
    decode_delete,
)
from command_api.identity.key_orders import CACHE, MAX_REQUESTS, Maker, NewKey
from domain.errors import DomainError
from domain.identity.access import access_of
from domain.identity.api_keys import UnknownKeyError
from domain.identity.key_cache import read_key_cache
from domain.identity.key_format import Environment
from domain.identity.permissions import Permission
from domain.organisations.projects import UnknownProjectError
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import client_of, referrers_of
from edge.errors import bad_request, sentence
from edge.replies import json_reply, timestamp
from event_store.ids import to_iso
from query_api.api_keys.queries import read_key
from query_api.parts import Parts  # noqa: TC001 - FastAPI reads annotations at run time.

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.identity.key_orders import Written
    from domain.identity.access import Limits

T = TypeVar("T")
CONFIRMATION = "DELETE_KEY"
PATH = "/user/api-keys"

router = APIRouter()
KeyWriter = Annotated[Caller, Depends(Needs(Permission.WRITE_API_KEYS).caller)]


async def _commands_of(request: Request) -> KeyCommands:
    commands: KeyCommands = request.app.state.key_commands
    return commands


Commands = Annotated[KeyCommands, Depends(_commands_of)]


@router.post(PATH)
async def create(request: Request, commands: Commands, caller: KeyWriter) -> Response:
    """Make another key; it is told this once."""
    asked = await read_json(request, decode_create, bytes_max=BODY_BYTES_MAX)
    new = NewKey(
        name=asked.key_name,
        environment=asked.environment_tag or Environment.LIVE,
        expires_at=_ahead(asked.expiration_days),
        limits=_limits(asked),
        project_id=_project(asked.project_id),
        max_requests=asked.max_requests,
        cache=_cache(asked) or {},
    )
    owner = UUID(caller.user_id), UUID(caller.account_id)
    made = await commands.run(lambda keys: keys.create(*owner, new, _maker(caller)))
    commands.changed(made.key_id)
    return json_reply(
        {
            "status": "success",
            "message": "The key was made. It is shown this once: keep it in a safe place.",
            "key_id": made.key_id,
            "api_key": made.api_key,
            "key_name": made.name,
            "environment_tag": new.environment,
            "project_id": asked.project_id,
            "cache": new.cache,
            "security_features": {
                "ip_allowlist": asked.ip_allowlist or [],
                "domain_referrers": asked.domain_referrers or [],
                "expiration_days": asked.expiration_days,
                "max_requests": asked.max_requests,
                "audit_logging": True,
                "last_used_tracking": True,
            },
            "phase4_integration": True,
        }
    )


@router.put(f"{PATH}/{{key_id}}")
async def change(
    key_id: str, request: Request, commands: Commands, parts: Parts, caller: KeyWriter
) -> Response:
    """Change a key, write it anew (`rotate`), or write all others anew (`bulk_rotate`)."""
    asked, key = await read_json(request, decode_change, bytes_max=BODY_BYTES_MAX), _id_of(key_id)
    known = await parts.account.run(read_key, caller.user_id, str(key))
    if known is None:
        raise told(UnknownKeyError("not this user's"))
    members, limits = _members(asked), _limits(asked)
    if asked.action in {"rotate", "bulk_rotate"}:
        if members or limits:
            message = f"{asked.action} changes nothing else: send the other members by themselves."
            raise bad_request("invalid_value", message, "action")
        return await _rotate(asked, key, commands, parts, caller)
    if asked.environment_tag not in {None, known["environment_tag"]}:
        message = "The environment stands in the key: make a new key for another one."
        raise bad_request("invalid_value", message, "environment_tag")
    if not members and not limits:
        message = "The body changes nothing: name what the key shall be."
        raise bad_request("invalid_value", message)
    admits = _admits(request)
    await commands.run(lambda keys: keys.change(key, _maker(caller), members, limits, admits))
    commands.changed(str(key))
    shown = await parts.account.run(read_key, caller.user_id, str(key))
    message = "The key was changed."
    return json_reply(
        {"status": "success", "message": message, "updated_key": shown, "timestamp": timestamp()}
    )


async def _rotate(
    asked: ChangeKey, key: UUID, commands: KeyCommands, parts: Parts, caller: Caller
) -> Response:
    grace = timedelta(hours=asked.grace_hours or 0)
    if asked.action == "rotate":
        made = await commands.run(lambda keys: keys.rotate(key, _maker(caller), grace))
        commands.changed(made.key_id)
        shown = await parts.account.run(read_key, caller.user_id, made.key_id)
        return json_reply(
            {
                "status": "success",
                "message": "The key was written anew. It is shown this once.",
                **_written(made),
                "updated_key": shown,
                "timestamp": timestamp(),
            }
        )
    environment = str(asked.environment_tag or "")
    all_made = await commands.run(
        lambda keys: keys.rotate_others(UUID(caller.user_id), _maker(caller), grace, environment)
    )
    commands.changed(*(each.key_id for each in all_made))
    return json_reply(
        {
            "status": "success",
            "message": "All other keys were written anew. They are shown this once.",
            "rotated_count": len(all_made),
            "new_keys": [_written(each) for each in all_made],
            "timestamp": timestamp(),
        }
    )


@router.delete(f"{PATH}/{{key_id}}")
async def delete(key_id: str, request: Request, commands: Commands, caller: KeyWriter) -> Response:
    """Delete a key: it opens nothing from now on, and is in no list."""
    asked, key = await read_json(request, decode_delete, bytes_max=BODY_BYTES_MAX), _id_of(key_id)
    if asked.confirmation != CONFIRMATION:
        message = f'Send {{"confirmation": "{CONFIRMATION}"}} to delete the key for ever.'
        raise bad_request("confirmation_needed", message, "confirmation")
    await commands.run(lambda keys: keys.delete(key, _maker(caller)))
    commands.changed(str(key))
    return json_reply(
        {
            "status": "success",
            "message": "The key was deleted.",
            "deleted_key_id": str(key),
            "timestamp": timestamp(),
        }
    )


def _maker(caller: Caller) -> Maker:
    if caller.session_id:
        return Maker(caller.actor, user=caller.user_id)
    return Maker(caller.actor, UUID(caller.key_id))


def _id_of(text: str) -> UUID:
    """The id of a key; raises ApiError 404 for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise told(UnknownKeyError(text)) from None


def _project(text: str | None) -> UUID | None:
    """The id of a project; raises ApiError 400 for what is none."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise told(UnknownProjectError(text)) from None


def _limits(asked: CreateKey | ChangeKey) -> Limits:
    try:
        return asked.limits()
    except DomainError as error:
        raise told(error) from None


def _cache(asked: CreateKey | ChangeKey) -> dict[str, Any] | None:
    """What it says of the cache, if it says anything; raises ApiError 400."""
    try:
        return None if asked.cache is None else read_key_cache(asked.cache)
    except DomainError as error:
        raise bad_request("invalid_value", sentence(error), "cache") from None


def _members(asked: ChangeKey) -> dict[str, Any]:
    end = _ahead(asked.expiration_days)
    given = {
        "name": asked.key_name,
        "is_active": asked.is_active,
        "expires_at": end and to_iso(end),
        CACHE: _cache(asked),
    }
    members: dict[str, Any] = {name: each for name, each in given.items() if each is not None}
    if asked.max_requests is not None:
        lifted = asked.max_requests == UNLIMITED
        members[MAX_REQUESTS] = None if lifted else asked.max_requests
    return members


def _ahead(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)


def _admits(request: Request) -> Callable[[Limits], bool]:
    """Whether limits would let this very request in."""
    address, referrers = client_of(request), referrers_of(request.scope)

    def admits(limits: Limits) -> bool:
        access = access_of(limits)
        return access is None or (
            access.admits_address(address) and access.admits_referrers(referrers)
        )

    return admits


def _written(made: Written) -> dict[str, Any]:
    return {
        "key_id": made.key_id,
        "key_name": made.name,
        "api_key": made.api_key,
        "old_until": made.old_until,
    }
