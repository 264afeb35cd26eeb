"""Bodies of the routes about limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from domain.errors import InvalidCommandError
from domain.limits.rates import check_limits
from edge.body import read_json
from edge.errors import bad_request

if TYPE_CHECKING:
    from fastapi import Request

BODY_BYTES_MAX = 16_384


class LimitsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Limits to set; those that are left out stay as they are."""

    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_hour: int | None = None
    tokens_per_day: int | None = None
    burst: int | None = None
    concurrency: int | None = None

    def given(self) -> dict[str, int]:
        """Those that are named; raises ApiError 400 for what cannot be."""
        found = {name: getattr(self, name) for name in self.__struct_fields__}
        limits = {name: value for name, value in found.items() if value is not None}
        try:
            check_limits(limits)
        except InvalidCommandError as error:
            message = f"{error}."
            raise bad_request("invalid_value", message) from None
        return limits


class AdminBody(msgspec.Struct):
    """An operator's limits of a key, which is named by its id or itself."""

    api_key: str
    rate_limits: LimitsBody


_own = msgspec.json.Decoder(LimitsBody).decode
_admin = msgspec.json.Decoder(AdminBody).decode


async def limits_in(request: Request) -> LimitsBody:
    """A body of limits; raises ApiError 400, 408 or 413."""
    return await read_json(request, _own, bytes_max=BODY_BYTES_MAX)


async def admin_limits_in(request: Request) -> AdminBody:
    """The same for a key that is named; raises ApiError 400, 408 or 413."""
    return await read_json(request, _admin, bytes_max=BODY_BYTES_MAX)
