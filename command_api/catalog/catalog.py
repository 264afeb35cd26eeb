"""What the catalog's routes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from command_api.catalog.view import CatalogView, entry_of
from edge.errors import bad_request
from edge.lanes import Flights
from providers.inference.registry.built_in import OTHER_NAMES
from query_api.traffic.queries import read_traffic

if TYPE_CHECKING:
    from command_api.catalog.view import Entry
    from command_api.routing.router import Router
    from providers.inference.lists.model_list import ModelLists
    from providers.inference.registry.offers import Model
    from providers.inference.registry.registry import Registry
    from query_api.parts import Reads
    from query_api.traffic.queries import Traffic


ALL = "all"


POPULAR_RANGE = "7d"


class Catalog:
    """What the catalog's routes share."""

    def __init__(
        self,
        registry: Registry,
        router: Router,
        lists: ModelLists,
        reads: Reads,
        *,
        keep_s: float,
    ) -> None:
        """One for each process; figures that cost a query are kept for `keep_s` seconds."""
        self.registry, self.router, self.lists, self.reads = registry, router, lists, reads
        self._flights = Flights(keep_s=keep_s)
        self.view = CatalogView(registry)

    def gateway_named(self, name: str | None) -> str | None:
        """The provider that a `gateway` parameter means, None for all; raises ApiError 400."""
        if name is None or name == ALL:
            return None
        name = OTHER_NAMES.get(name, name)
        if name not in self.registry.providers and name not in self.registry.unconfigured:
            message = f"There is no gateway {name!r}: GET /v1/provider lists them."
            raise bad_request("unknown_gateway", message, "gateway")
        return name

    async def popularity(self) -> dict[str, int]:
        """Requests of the last days by canonical id, for ordering; cached for a moment."""
        traffic = await self.traffic(POPULAR_RANGE)
        found: dict[str, int] = {}
        for each in traffic.by_model:
            provider = self.registry.providers.get(each.provider)
            if provider is not None:
                canonical = provider.canonical_of(each.model)
                found[canonical] = found.get(canonical, 0) + each.requests
        return found

    async def traffic(self, time_range: str) -> Traffic:
        """What was asked in a time range; one query at a time for each, kept for a moment."""
        return await self._flights.get(time_range, lambda: self.reads.run(read_traffic, time_range))

    def entry(self, model: str) -> Entry:
        """The entry of what a caller wrote; raises ApiError 404 or as the router says."""
        offer = self.registry.resolve(model)
        if offer is None:
            raise self.router.refusal(model)
        return self.entry_of(offer)

    def entry_of(self, offer: Model) -> Entry:
        """The entry of the model that is offered."""
        return entry_of(offer.canonical, self.registry.canonical()[offer.canonical])


async def _catalog_of(request: Request) -> Catalog:
    found: Catalog = request.app.state.catalog
    return found


Shown = Annotated[Catalog, Depends(_catalog_of)]
"""The catalog that a route shows."""
