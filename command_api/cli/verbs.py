"""Which verbs there are, and where each is; a run loads only the one that it is asked for.

A verb that reads a statement needs neither Kafka nor a web framework, and a person who types it
waits for every module that is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.main import get_command, get_group

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACES = {
    "up": "server.up",
    "serve": "server.serve",
    "migrate": "server.migrate",
    "user": "users.users",
    "key": "people.keys.keys",
    "org": "people.organisations.app",
    "role": "people.roles.app",
    "coupon": "people.coupons.app",
    "plan": "people.plans.app",
    "audit": "people.audit.app",
    "limit": "limits.app",
    "quota": "quotas.app",
    "grant": "users.grant",
    "debit": "money.debits.debit",
    "transfer": "money.debits.transfer",
    "ledger": "ledger.verbs.app",
    "finance": "books.finance.app",
    "payments": "money.payments.app",
    "reconcile": "money.payments.reconciling",
    "approvals": "money.approvals.app",
    "call": "money.corrections.calls",
    "rerate": "money.corrections.rerate",
    "projections": "projections.app",
    "relay": "streams.relay",
    "worker": "streams.worker",
    "managers": "managers.verbs.app",
    "health": "upkeep.health.app",
    "secrets": "secrets.app",
    "database": "database.app",
}
"""In the order of the help: a function, or a group of verbs, by its place in this room."""


MORE = {
    "user": {"reset-second-factors": "people.second_factors.reset"},
    "reconcile": {"provider": "money.invoices.provider_"},
}
"""Verbs of a group that stand in another module than the group."""


class Verbs(Mapping[str, Any]):
    """The verbs by name; each is loaded when it is looked up."""

    def __init__(self) -> None:
        """None is loaded."""
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """A verb, or a group of them; raises KeyError."""
        if name not in self._loaded:
            found = _load(PLACES[name])
            if isinstance(found, typer.Typer):
                for more, place in MORE.get(name, {}).items():
                    found.command(more)(_load(place))
                verb: Any = get_group(found)
            else:
                alone = typer.Typer(add_completion=False)
                alone.command()(found)
                verb = get_command(alone)
            verb.name = name
            self._loaded[name] = verb
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of the help."""
        return iter(PLACES)

    def __len__(self) -> int:
        """How many there are."""
        return len(PLACES)


def _load(place: str) -> Any:
    module, _, attribute = place.rpartition(".")
    return getattr(import_module(f"{__package__}.{module}"), attribute)
