"""What the routes are given: the board of this moment, names read, checks made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from command_api.health.checks import Checker, is_checkable
from command_api.health.queries import make_board, state_of
from domain.availability.maintenance import Place
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import check_names
from edge.caller import Caller
from edge.errors import ApiError, bad_request
from edge.lanes import Flights
from event_store.beside.upkeep.reading import keep_checks
from providers.inference.registry.built_in import OTHER_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from command_api.health.commands import Upkeep
    from command_api.health.queries import Board, ModelState
    from command_api.identity.people import People
    from command_api.routing.router import Router
    from event_store.beside.upkeep.reading import Check, WindowNow
    from providers.inference.registry.offers import Model, Provider
    from providers.inference.registry.registry import Registry
    from query_api.parts import Reads

KEPT_S = 2.0
"""How long a board is shown before it is made anew, seconds."""
FRESH_S = 60.0
"""A check that is no older needs not be made again, unless it is forced."""
LINES_MAX = 1_000
"""Most lines of a page."""
LASTS_MIN = 60
"""How long maintenance lasts that is set without an end, minutes."""
WHOLE = "*"
"""In the place of a model: the provider as a whole."""


class HealthDesk:
    """One for each process."""

    def __init__(
        self,
        registry: Registry,
        router: Router,
        reads: Reads,
        people: People,
        upkeep: Upkeep,
        *,
        interval_s: float,
        timeout_s: float,
    ) -> None:
        """`interval_s` is the monitor's; a check's answer takes at most `timeout_s`."""
        self.registry, self.router, self.people, self.upkeep = registry, router, people, upkeep
        self.interval_s, self._reads = interval_s, reads
        self.checker = Checker(timeout_s=timeout_s)
        self._flights = Flights(keep_s=KEPT_S)
        self._changed = 0

    async def board(self) -> Board:
        """What is known, no older than two seconds or the last change made here.

        Raises ApiError 503, psycopg.OperationalError.
        """
        of = (self.registry, self.router, self.interval_s)
        return await self._flights.get(str(self._changed), lambda: self._reads.run(make_board, *of))

    def gateway(self, name: str | None) -> str | None:
        """The provider that a parameter means, None for all; raises ApiError 400."""
        if name is None or name == "all":
            return None
        name = OTHER_NAMES.get(name, name)
        if name not in self.registry.providers:
            cure = "set its key" if name in self.registry.unconfigured else "GET /v1/provider lists"
            message = f"There is no gateway {name[:64]!r} here: {cure}."
            raise bad_request("unknown_gateway", message, "gateway")
        return name

    def offers(self, model: str, gateway: str | None) -> list[Model]:
        """The offers of a model in the order in which they are tried, at one gateway or all.

        Raises ApiError 400, 404, 503.
        """
        check_names([model], "model_id")
        wanted = self.gateway(gateway)
        found = self.router.in_order(model)
        if not found:
            raise self.router.refusal(model)
        found = [each for each in found if wanted in {None, each.provider}]
        if not found:
            message = f"{wanted} does not offer {model!r}: GET /v1/models lists who does."
            raise ApiError(404, "model_not_found", message, param="model_id")
        return found

    async def states(self, model: str, gateway: str | None) -> list[ModelState]:
        """How each offer of a model is doing, in the order in which they are tried."""
        offers, board = self.offers(model, gateway), await self.board()
        return [state_of(board.facts, self.router, each) for each in offers]

    def places(self, model: str, gateway: str | None) -> list[Place]:
        """What maintenance of a model is about; raises ApiError 400, 404."""
        if model == WHOLE:
            name = self.gateway(gateway)
            if name is None:
                message = f"{WHOLE} stands for all models of one gateway: name it."
                raise bad_request("unknown_gateway", message, "gateway")
            return [Place(name)]
        return [Place(each.provider, each.id) for each in self.offers(model, gateway)]

    async def lasting_places(self, model: str, gateway: str | None) -> list[Place]:
        """The same, for maintenance that may last of what is not offered any more."""
        wanted = self.gateway(gateway)
        windows = (await self.board()).facts.windows
        found = [Place(*each) for each in windows if each[1] == model and wanted in {None, each[0]}]
        try:
            found += [each for each in self.places(model, gateway) if each not in found]
        except ApiError:
            if not found:
                raise
        return found

    def changed(self, lasting: Iterable[WindowNow] | None = None) -> None:
        """Something was done here: it is shown, and kept to, at once."""
        self._changed += 1
        if lasting is not None:
            self.router.closed.take(lasting)

    async def check(self, providers: Sequence[Provider], *, force: bool) -> dict[str, Check]:
        """What these providers say, by name; raises ApiError 503, psycopg.OperationalError."""
        chosen = [each for each in providers if is_checkable(each)]
        known = (await self.board()).facts.checks
        now = datetime.now(UTC)

        def fresh(name: str) -> bool:
            last = known.get(name)
            return last is not None and (now - last.checked_at).total_seconds() < FRESH_S

        asked = [each for each in chosen if force or not fresh(each.name)]
        found = await self.checker.check(asked)
        await self.people.run(self._keep, found)
        self.changed()
        kept = {each.name: known[each.name] for each in chosen if each not in asked}
        return kept | {each.provider: each for each in found}

    def _keep(self, found: list[Check]) -> None:
        with self.people.connect() as connection, connection.transaction():
            keep_checks(connection, found)

    def close(self) -> None:
        """Begin no more checks."""
        self.checker.close()


async def _desk_of(request: Request) -> HealthDesk:
    found: HealthDesk = request.app.state.health
    return found


Desk = Annotated[HealthDesk, Depends(_desk_of)]
Reader = Annotated[Caller, Depends(Needs(Permission.READ_MODELS).caller)]
Keeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_SYSTEM).caller)]
