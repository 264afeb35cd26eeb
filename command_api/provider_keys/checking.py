"""Whether a provider takes a key, asked for its list of models: that costs nothing."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from edge.errors import bad_request, unavailable
from providers.fetching.fetch import Rules, fetch
from providers.fetching.tls import authorities
from providers.inference.lists.model_list import has_list, list_url
from providers.inference.registry.built_in import BY_NAME

if TYPE_CHECKING:
    from domain.provider_keys.secrets import OwnKey
    from providers.inference.registry.registry import Registry

AT_ONCE_MAX = 4
LIST_BYTES_MAX = 32 * 2**20
WAIT_S, TOTAL_S = 5.0, 10.0
REJECTED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class KeyChecks:
    """One for each process."""

    def __init__(self, registry: Registry) -> None:
        """Nothing is under way."""
        self._registry, self._under_way = registry, 0

    async def check(self, own: OwnKey) -> tuple[str, int | None]:
        """`accepted`, `rejected` or `unclear`, and the provider's status where it gave one.

        Some lists are open to anybody, so that `accepted` says there only that the provider is
        reached. Raises ApiError 400 for a provider without a list, 503 where too many are asked.
        """
        provider = self._registry.providers.get(own.provider)
        if provider is None or provider.keyed is None or not has_list(provider):
            message = f"{own.provider} has no list of models here that a key could be checked by."
            raise bad_request("provider_key_not_checkable", message)
        if not own.secret:
            return "unclear", None
        if self._under_way >= AT_ONCE_MAX:
            message = "Too many provider keys are being checked here: try again."
            raise unavailable("provider_key_checks_busy", message)
        self._under_way += 1
        try:
            tls = await asyncio.to_thread(authorities)
            await fetch(
                list_url(provider, BY_NAME[provider.name]),
                Rules(bytes_max=LIST_BYTES_MAX, wait_s=WAIT_S, total_s=TOTAL_S),
                headers=provider.keyed.headers(own.secret),
                tls=tls,
            )
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            return ("rejected" if status in REJECTED else "unclear"), status
        except httpx.HTTPError:
            return "unclear", None
        finally:
            self._under_way -= 1
        return "accepted", int(HTTPStatus.OK)
