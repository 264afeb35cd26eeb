"""What a caller wants of the routing, and what of it reaches the provider."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from command_api.operations.chat import ChatRequest, parse_chat
from command_api.routing.wishes import MODELS_MAX, NAMES_MAX, RoutingMembers, read_routing
from command_api.settings import Settings
from domain.catalog import NO_FACTS, PLAIN
from domain.routing.order import Sort, Wishes
from edge.body import NAME_CHARACTERS_MAX
from edge.errors import ApiError
from providers.inference.adapters.simulator.upstream import Simulator
from providers.inference.registry.offers import Listed, Model, Provider, offer

SETTINGS = Settings()


def members(**given: Any) -> RoutingMembers:
    """A body's members, as they are decoded."""
    return msgspec.json.decode(msgspec.json.encode(given), type=RoutingMembers)


WISHES: list[tuple[Any, Wishes, str]] = [
    ("openai", Wishes(only=("openai",)), "openai"),
    ("google", Wishes(only=("google-vertex",)), "google-vertex"),
    ({}, Wishes(), ""),
    ({"only": ["openai"]}, Wishes(only=("openai",)), ""),
    ({"order": ["a", "b"]}, Wishes(order=("a", "b")), ""),
    ({"ignore": ["a"]}, Wishes(ignore=("a",)), ""),
    ({"allow_fallbacks": False}, Wishes(allow_fallbacks=False), ""),
    ({"allow_fallbacks": None}, Wishes(), ""),
    ({"sort": "price"}, Wishes(sort=Sort.CHEAPEST), ""),
    ({"sort": "latency"}, Wishes(sort=Sort.FASTEST), ""),
    ({"sort": "throughput"}, Wishes(sort=Sort.FASTEST), ""),
    ({"sort": "sticky"}, Wishes(sort=Sort.STICKY), ""),
    ({"sort": {"by": "price"}}, Wishes(sort=Sort.CHEAPEST), ""),
    ({"sort": {}}, Wishes(), ""),
    ({"max_price": {"prompt": 1.5}}, Wishes(max_input=Decimal("1.5")), ""),
    ({"max_price": {"completion": "0.6"}}, Wishes(max_output=Decimal("0.6")), ""),
    ({"require_parameters": True}, Wishes(), ""),
]


@pytest.mark.parametrize(("asked", "wishes", "named"), WISHES)
def test_a_provider_member_is_a_name_or_an_object(asked: Any, wishes: Wishes, named: str) -> None:
    """As OpenRouter's clients write it; a name alone is a demand (rule: routing)."""
    found = read_routing(members(provider=asked))
    assert (found.wishes, found.named, found.models) == (wishes, named, ())


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"provider": 7}, "provider"),
    ({"provider": ["openai"]}, "provider"),
    ({"provider": {"only": "openai"}}, "provider"),
    ({"provider": {"sort": "beauty"}}, "provider.sort"),
    ({"provider": {"max_price": {"prompt": "cheap"}}}, "provider"),
    ({"provider": {"only": ["a"] * (NAMES_MAX + 1)}}, "provider.only"),
    ({"provider": {"order": ["a"] * (NAMES_MAX + 1)}}, "provider.order"),
    ({"provider": {"ignore": ["a"] * (NAMES_MAX + 1)}}, "provider.ignore"),
    ({"models": ["a"] * (MODELS_MAX + 1)}, "models"),
    ({"models": ["a" * (NAME_CHARACTERS_MAX + 1)]}, "models"),
    ({"provider": "a" * (NAME_CHARACTERS_MAX + 1)}, "provider"),
    ({"provider": {"only": ["a" * (NAME_CHARACTERS_MAX + 1)]}}, "provider.only"),
]


@pytest.mark.parametrize(("given", "param"), REFUSED)
def test_a_wish_that_cannot_be_read_is_named(given: dict[str, Any], param: str) -> None:
    """Refused, never passed over: another provider might cost more (P10)."""
    with pytest.raises(ApiError) as refusal:
        read_routing(members(**given))
    assert (refusal.value.status, refusal.value.param) == (400, param)


def test_a_body_without_wishes_is_not_routed_by_any() -> None:
    """The common body costs nothing (rule: routing)."""
    assert not members(model="m", messages=[]).routes
    assert not members(models=[]).routes
    for given in ({"provider": "a"}, {"provider": None}, {"models": ["a"]}):
        assert members(**given).routes
    assert members(portkey_provider="a").routes and members(portkey_virtual_key="k").routes


def provider(name: str, **more: Any) -> Provider:
    """A provider that routes itself, unless told otherwise."""
    return Provider(name=name, base_url="", upstream=Simulator(), **{"own_routing": True, **more})


def model_of(name: str) -> Model:
    """A model with a price."""
    terms = {"input_per_million": "1", "output_per_million": "1"}
    return offer(name, Listed(id="own/id", facts=NO_FACTS, terms=terms), PLAIN, "now")


def request_for(model: str, **more: Any) -> ChatRequest:
    """A checked chat request."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}
    return parse_chat(msgspec.json.encode(body), SETTINGS.requests)


ORDER = {"order": ["x"]}
KEPT: list[tuple[str, dict[str, Any], Provider, set[str]]] = [
    ("openrouter/m", {"provider": ORDER}, provider("openrouter"), {"provider"}),
    ("m", {"provider": ORDER}, provider("openrouter"), set()),
    ("openrouter", {"provider": ORDER}, provider("openrouter"), set()),
    ("openrouters/m", {"provider": ORDER}, provider("openrouter"), set()),
    ("openrouter/m", {"provider": ORDER}, provider("openrouter", own_routing=False), set()),
    ("openrouter/m", {"provider": "openrouter"}, provider("openrouter"), set()),
    ("openrouter/m", {"provider": ORDER, "models": ["n"]}, provider("openrouter"), {"provider"}),
    ("portkey/m", {"portkey_provider": "x"}, provider("portkey"), {"portkey_provider"}),
    ("m", {"portkey_virtual_key": "v"}, provider("portkey"), {"portkey_virtual_key"}),
    ("m", {"portkey_provider": "x"}, provider("openrouter"), set()),
    ("m", {"portkey_provider": "x"}, provider("portkey", own_routing=False), set()),
]


@pytest.mark.parametrize(("model", "more", "sent_to", "kept"), KEPT)
def test_wishes_reach_only_a_provider_that_they_are_meant_for(
    model: str, more: dict[str, Any], sent_to: Provider, kept: set[str]
) -> None:
    """One that routes itself, where the id pins the call to it (rule: routing)."""
    body = msgspec.json.decode(request_for(model, **more).upstream_body(model_of("p"), sent_to))
    assert body.keys() - {"model", "messages"} == kept
    assert body["model"] == "own/id"


def test_members_that_a_provider_rejects_are_dropped() -> None:
    """With wishes or without; everything else passes (rule: translation)."""
    odd = provider("p", drops=("seed", "user"))
    for more in ({}, {"provider": ORDER}):
        request = request_for("m", seed=1, user="u", top_p=0.5, **more)
        body = msgspec.json.decode(request.upstream_body(model_of("p"), odd))
        assert body.keys() == {"model", "messages", "top_p"}
