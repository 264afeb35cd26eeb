"""What a caller wants of the routing: `provider` and `models` in a body.

`provider` is a provider's name, or OpenRouter's object: `order`, `only`, `ignore`,
`allow_fallbacks`, `sort` (`price`, `latency`, `throughput`) and `max_price` (`prompt` and
`completion`, USD per million tokens). `models` are tried after `model`, in their order.
"""

from __future__ import annotations

from decimal import Decimal  # noqa: TC003 - a structure is read at run time.
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from domain.routing.order import Sort, Wishes
from edge.body import RAW_NULL, check_names, decode_members
from edge.errors import bad_request
from providers.inference.registry.built_in import OTHER_NAMES
from providers.inference.registry.names import ModelName

if TYPE_CHECKING:
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

ROUTING_MEMBERS = ("provider", "models", "portkey_provider", "portkey_virtual_key")
MODELS_MAX = 16
NAMES_MAX = 64
SORTS = {
    "price": Sort.CHEAPEST,
    "latency": Sort.FASTEST,
    "throughput": Sort.FASTEST,
    **{str(each): each for each in Sort},
}


class _MaxPrice(msgspec.Struct):
    prompt: Decimal | None = None
    completion: Decimal | None = None


class _Provider(msgspec.Struct):
    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    allow_fallbacks: bool | None = None
    sort: Any = None
    max_price: _MaxPrice | None = None


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(str | _Provider | None, strict=False).decode


class RoutingMembers(msgspec.Struct, kw_only=True):
    """The members of a body that decide about its route, or are meant for Portkey alone."""

    provider: msgspec.Raw = RAW_NULL
    models: list[str] | None = None
    portkey_provider: str | None = None
    portkey_virtual_key: str | None = None

    @property
    def routes(self) -> bool:
        """Whether any of them is there."""
        return bool(
            self.provider is not RAW_NULL
            or self.models
            or self.portkey_provider
            or self.portkey_virtual_key
        )


class Routing(NamedTuple):
    """The wishes, and the models to fall back to."""

    wishes: Wishes
    models: tuple[str, ...]
    named: str = ""
    """The provider that `provider` names, where it is a name: stronger than the model's id."""

    def dropped(self, provider: Provider, model: str) -> tuple[str, ...]:
        """The members of a body that do not go to a provider.

        `provider` goes to one that routes itself, where the id pins the call to it; Portkey's
        members go to Portkey.
        """
        if not provider.own_routing:
            return ROUTING_MEMBERS
        pinned = not self.named and ModelName.read(model, (provider.name,)).provider is not None
        own = f"{provider.name}_"
        return tuple(
            each
            for each in ROUTING_MEMBERS
            if not each.startswith(own) and not (pinned and each == "provider")
        )


def members_for(request: WithBody, model: Model, provider: Provider) -> dict[str, msgspec.Raw]:
    """A body's members as the provider gets them: its own model id, nothing of the routing."""
    members = decode_members(request.raw)
    members["model"] = msgspec.Raw(_encode(model.id))
    for name in dropped_members(request, provider):
        members.pop(name, None)
    return members


def dropped_members(request: WithBody, provider: Provider) -> tuple[str, ...]:
    """The members of a body that a provider does not get."""
    dropped = request.routing.dropped(provider, request.model) if request.routing else ()
    return (*dropped, *provider.drops)


class WithBody(Protocol):
    """What of a request decides about the members that its provider gets."""

    raw: bytes
    model: str
    routing: Routing | None


class Routed(WithBody, Protocol):
    """What of a request decides about its route."""

    def unpriced(self, model: Model, provider: Provider, /) -> ApiError | None:
        """The refusal where an offer's price lacks what the call can use (P10)."""
        ...


def _names(name: str, given: list[str] | None) -> tuple[str, ...]:
    if given is not None and len(given) > NAMES_MAX:
        message = f"provider.{name} holds more than {NAMES_MAX} names."
        raise bad_request("invalid_value", message, f"provider.{name}")
    check_names(given or (), f"provider.{name}")
    return tuple(OTHER_NAMES.get(each, each) for each in given or ())


def read_routing(body: RoutingMembers) -> Routing:
    """Read them; raises ApiError 400."""
    models = body.models
    if models is not None and len(models) > MODELS_MAX:
        message = f"models holds more than {MODELS_MAX} models."
        raise bad_request("invalid_value", message, "models")
    check_names(models or (), "models")
    try:
        asked = _decode(body.provider)
    except msgspec.DecodeError as error:
        message = f"provider must be a provider's name, or an object: {error}."
        raise bad_request("invalid_type", message, "provider") from None
    if isinstance(asked, str):
        check_names([asked], "provider")
    wishes = _wishes(asked)
    named = wishes.only[0] if isinstance(asked, str) else ""
    return Routing(wishes, tuple(models or ()), named)


def _wishes(asked: str | _Provider | None) -> Wishes:
    if asked is None:
        return Wishes()
    if isinstance(asked, str):
        return Wishes(only=_names("only", [asked]))
    sort = asked.sort.get("by") if isinstance(asked.sort, dict) else asked.sort
    if sort is not None and sort not in SORTS:
        message = f"provider.sort must be one of {', '.join(SORTS)}."
        raise bad_request("invalid_value", message, "provider.sort")
    price = asked.max_price or _MaxPrice()
    return Wishes(
        order=_names("order", asked.order),
        only=_names("only", asked.only),
        ignore=_names("ignore", asked.ignore),
        allow_fallbacks=asked.allow_fallbacks is not False,
        sort=None if sort is None else SORTS[sort],
        max_input=price.prompt,
        max_output=price.completion,
    )
