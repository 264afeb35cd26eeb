"""The router starts from what the log says of offers that this process has not tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.operations.chat import parse_chat
from command_api.routing.router import Router, now_ms
from command_api.settings import Settings
from domain.routing.health import BreakerState
from providers.inference.adapters.http1.limits import ClientLimits
from providers.inference.registry.loading import load_registry

if TYPE_CHECKING:
    from pathlib import Path

    from providers.inference.registry.registry import Registry

FILE = """
[[provider]]
name = "{name}"
base_url = "http://127.0.0.1:9/v1"
[[provider.model]]
id = "org/model"
input_per_million = "1"
output_per_million = "1"
"""
BODY = b'{"model":"org/model","messages":[{"role":"user","content":"Hi"}]}'


def registry_of(path: Path, routing: str = "") -> Registry:
    """Three providers of one model."""
    file = path / "providers.toml"
    file.write_text("".join(FILE.format(name=name) for name in "abc") + routing)
    return load_registry(
        environment={}, providers_file=file, effective_at="now", limits=ClientLimits()
    )


def told(provider: str, *, latency_ms: int = 0, attempts: int = 9, ppm: int = 0) -> dict[str, Any]:
    """A row of the read model `provider_health`."""
    return {
        "provider": provider,
        "model": "org/model",
        "attempts": attempts,
        "success_ppm": ppm,
        "latency_ms": latency_ms,
    }


def order(router: Router) -> str:
    """Providers in the order in which a call would try them."""
    plan = router.plan(parse_chat(BODY, Settings().requests), "account")
    return "".join(each.provider for each in plan.offers)


def test_latency_and_failures_are_learned_from_the_log(tmp_path: Path) -> None:
    """The fastest comes first; one that only failed starts broken, and last (rule: routing)."""
    registry = registry_of(tmp_path, '[routing]\npolicy = "fastest"\n')
    router = Router(registry, Settings().routing)
    assert order(router) == "abc"
    router.seed(told("a", latency_ms=900, ppm=1_000_000))
    router.seed(told("b"))
    router.seed(told("c", latency_ms=30, ppm=500_000))
    assert order(router) == "cab"
    offers = {each.provider: each for each in registry.offers("org/model")}
    assert router.health(offers["b"]).state(now_ms()) is BreakerState.OPEN


def test_what_this_process_knows_itself_is_not_overruled(tmp_path: Path) -> None:
    """Neither by an older failure nor by a few that open no breaker (rule: routing)."""
    registry = registry_of(tmp_path)
    router = Router(registry, Settings().routing)
    offers = {each.provider: each for each in registry.offers("org/model")}
    router.health(offers["a"]).succeeded(5)
    router.seed(told("a"))
    router.seed(told("b", attempts=2))
    assert order(router) == "abc"


def test_a_policy_may_be_of_one_model(tmp_path: Path) -> None:
    """By its canonical id, however a caller writes it (rule: routing)."""
    routing = '[routing]\n[[routing.model]]\nid = "org/model"\norder = ["c"]\n'
    router = Router(registry_of(tmp_path, routing), Settings().routing)
    assert order(router) == "cab"
    other = BODY.replace(b"org/model", b"Org/Model")
    plan = router.plan(parse_chat(other, Settings().requests), "account")
    assert plan.offers[0].provider == "c"
