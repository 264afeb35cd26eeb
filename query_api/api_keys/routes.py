"""GET /user/api-keys and GET /user/api-keys/usage: the caller's own keys, masked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from domain.identity.permissions import Permission
from edge.access import Needs
from edge.caller import Caller
from edge.replies import json_reply, timestamp
from query_api.api_keys.queries import read_environments, read_keys
from query_api.parts import Parts  # noqa: TC001

KeyReader = Annotated[Caller, Depends(Needs(Permission.READ_API_KEYS).caller)]
IN_USAGE = (
    *("api_key", "key_name", "is_active", "is_primary", "requests_used", "max_requests"),
    *("requests_remaining", "usage_percentage", "environment_tag", "created_at", "last_used_at"),
)

router = APIRouter()


@router.get("/user/api-keys")
async def keys(parts: Parts, caller: KeyReader) -> Response:
    """All keys that were not deleted, oldest first."""
    found = await parts.account.run(read_keys, caller.user_id)
    return json_reply({"status": "success", "total_keys": len(found), "keys": found})


@router.get("/user/api-keys/usage")
async def usage(parts: Parts, caller: KeyReader) -> Response:
    """What each key was used for; waits until what was booked before is counted."""
    found = await parts.account.run(read_keys, caller.user_id, wait_s=parts.wait_s)
    return json_reply(
        {
            "user_id": caller.user_id,
            "total_keys": len(found),
            "keys": [
                {"key_id": each["id"], **{name: each[name] for name in IN_USAGE}} for each in found
            ],
            "audit_logging": True,
            "last_used_tracking": True,
        }
    )


@router.get("/user/environment-usage")
async def environments(parts: Parts, caller: KeyReader) -> Response:
    """The same summed by environment (`live`, `test`, `staging`, `development`)."""
    found = await parts.account.run(read_environments, caller.user_id, wait_s=parts.wait_s)
    return json_reply(
        {
            "status": "success",
            "user_id": caller.user_id,
            "environment_usage": found,
            "timestamp": timestamp(),
        }
    )
