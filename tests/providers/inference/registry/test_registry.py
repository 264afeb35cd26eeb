"""The providers file, built-in providers, and model lists."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from providers.inference.adapters.http_client import ClientLimits
from providers.inference.lists.listings import FORMS, read_list
from providers.inference.lists.model_list import ModelLists
from providers.inference.registry.providers_file import ProvidersFileError
from providers.inference.registry.registry import Registry, load_registry
from providers.redis.cache import MemoryCache, RedisCache
from tests.support.harness import ScriptedUpstream, reply

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-01-01T00:00:00.000000Z"
MODEL = '[[provider.model]]\nid = "m"\ninput_per_million = "1"\noutput_per_million = "2"\n'


def load(path: Path | None, text: str = "", **environment: str) -> Registry:
    """A registry from this file and environment."""
    if path is not None:
        path.write_text(text)
    return load_registry(
        environment=environment, providers_file=path, effective_at=NOW, limits=ClientLimits()
    )


def test_the_simulator_is_always_there() -> None:
    """Everything can be tried without a key (rule: two commands)."""
    registry = load(None)
    model = registry.resolve("simulator/echo")
    assert model is not None
    assert model.price.terms.as_strings() == {
        "input_per_million": "0.15",
        "output_per_million": "0.60",
    }
    assert registry.resolve("echo") is model


def test_a_first_segment_that_is_a_provider_pins_the_call(tmp_path: Path) -> None:
    """The rest, slashes included, is the provider's id (rule: routing)."""
    text = f'[[provider]]\nname = "a"\nbase_url = "http://a/v1"\n{MODEL}'
    text += '[[provider]]\nname = "b"\nbase_url = "http://b/v1"\n' + MODEL.replace('"m"', '"a/m"')
    registry = load(tmp_path / "p.toml", text)
    found = {name: registry.resolve(name) for name in ("a/m", "b/a/m", "m", "b/m", "c/m")}
    assert {k: v and (v.provider, v.id) for k, v in found.items()} == {
        "a/m": ("a", "m"),
        "b/a/m": ("b", "a/m"),
        "m": ("a", "m"),
        "b/m": None,
        "c/m": None,
    }


def test_a_built_in_needs_a_key_and_may_be_overridden(tmp_path: Path) -> None:
    """Unconfigured without one; environment and file name other base URLs (rule: contract)."""
    assert "openrouter" not in load(None).providers
    from_environment = load(None, OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL="http://x/v1/")
    assert from_environment.providers["openrouter"].base_url == "http://x/v1"
    text = f'[[provider]]\nname = "openrouter"\nbase_url = "http://y/v1"\napi_key = "k"\n{MODEL}'
    from_file = load(tmp_path / "p.toml", text, OPENROUTER_API_KEY="k")
    assert from_file.providers["openrouter"].base_url == "http://y/v1"
    assert from_file.resolve("openrouter/m") is not None
    assert (
        load(None, OPENROUTER_API_KEY="k")
        .providers["openrouter"]
        .base_url.startswith("https://openrouter.ai/")
    )


WRONG = [
    ("not toml [", "line 1"),
    ('[[provider]]\nname = "a"\n' + MODEL, "base_url"),
    ('[[provider]]\nname = "a"\nbase_url = "ftp://x"\n' + MODEL, "http"),
    ('[[provider]]\nname = "a/b"\nbase_url = "http://x"\n' + MODEL, "slash"),
    ('[[provider]]\nname = "a"\nbase_url = "http://x"\nprice = 1\n', "price"),
    ('[[provider]]\nname = "a"\nbase_url = "http://x"\n' + MODEL.replace('"1"', "1.0"), "decimal"),
    ('[[provider]]\nname = "a"\nbase_url = "http://x"\n' + MODEL.replace('"1"', '"x"'), "'m'"),
    (
        '[[provider]]\nname = "a"\nbase_url = "http://x"\n[[provider.model]]\nid = "m"\n',
        "input_per_million",
    ),
]


@pytest.mark.parametrize(("text", "named"), WRONG)
def test_a_wrong_file_stops_the_start_and_names_the_place(
    tmp_path: Path, text: str, named: str
) -> None:
    """Never a guessed price; a missing file is told too (P10, rule: refuse clearly)."""
    with pytest.raises(ProvidersFileError, match=named):
        load(tmp_path / "p.toml", text)
    with pytest.raises(ProvidersFileError, match="does not exist"):
        load_registry(
            environment={},
            providers_file=tmp_path / "none.toml",
            effective_at=NOW,
            limits=ClientLimits(),
        )


def test_the_same_price_has_the_same_version(tmp_path: Path) -> None:
    """Restarts change no version; another price does (money rule 12)."""
    text = f'[[provider]]\nname = "a"\nbase_url = "http://a/v1"\n{MODEL}'
    versions = []
    for body in (text, text, text.replace('"2"', '"3"')):
        model = load(tmp_path / "p.toml", body).resolve("a/m")
        assert model is not None
        versions.append(model.price.version)
    assert versions[0] == versions[1] != versions[2]


LIST = {
    "data": [
        {
            "id": "org/model",
            "created": 1_700_000_000,
            "context_length": 8192,
            "pricing": {
                "prompt": "0.00000015",
                "completion": "0.0000006",
                "input_cache_read": "0.000000075",
                "internal_reasoning": "0",
                "request": "0.01",
            },
            "top_provider": {"max_completion_tokens": 4096},
        },
        {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"id": "no/price"},
        {"id": "free/model", "pricing": {"prompt": "0", "completion": "0"}},
    ]
}


def test_a_model_list_is_read_exactly() -> None:
    """USD a token become decimals a million; what has no fixed price is left out (P4, P10)."""
    found = {each.id: each for each in read_list(FORMS["openrouter"], json.dumps(LIST).encode())}
    priced = {name for name, each in found.items() if each.terms is not None}
    assert priced == {"org/model", "free/model"}
    assert set(found) - priced == {"openrouter/auto", "no/price"}
    assert found["org/model"].terms == {
        "input_per_million": "0.15",
        "output_per_million": "0.6",
        "cached_input_per_million": "0.075",
        "per_request": "0.01",
    }
    assert found["org/model"].facts.max_output_tokens == 4096
    assert found["free/model"].terms == {"input_per_million": "0", "output_per_million": "0"}


def test_a_list_is_kept_while_the_provider_is_down_and_dropped_when_stale(
    upstream: ScriptedUpstream,
) -> None:
    """A price past its limit is no price (P10, P12)."""
    registry = load(None, OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL=upstream.base_url)
    provider = registry.providers["openrouter"]
    kept = ModelLists(registry, MemoryCache(9), interval_s=0, stale_s=60)
    stale = ModelLists(registry, MemoryCache(9), interval_s=0, stale_s=0)
    upstream.answer = lambda connection, _: reply(connection, json.dumps(LIST).encode())
    asyncio.run(kept.refresh(provider))
    assert registry.resolve("openrouter/org/model") is not None
    upstream.answer = lambda connection, _: reply(connection, b"oops", status=500)
    asyncio.run(kept.refresh(provider))
    assert registry.resolve("openrouter/org/model") is not None
    upstream.answer = lambda connection, _: reply(connection, json.dumps(LIST).encode())
    asyncio.run(stale.refresh(provider))
    upstream.answer = lambda connection, _: reply(connection, b"not json")
    asyncio.run(stale.refresh(provider))
    assert registry.resolve("openrouter/org/model") is None


def test_gateways_share_a_fetched_list(upstream: ScriptedUpstream, empty_redis: str) -> None:
    """Within the interval the second asks Redis alone; versions agree (money rule 12)."""
    asked = []

    def answer(connection: Any, request: Any) -> None:
        asked.append(request.path)
        reply(connection, json.dumps(LIST).encode())

    upstream.answer = answer
    versions = set()
    for _ in range(2):
        registry = load(None, OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL=upstream.base_url)

        async def refresh(registry: Registry = registry) -> None:
            cache = RedisCache(empty_redis, 9)
            lists = ModelLists(registry, cache, interval_s=60, stale_s=60)
            await lists.refresh(registry.providers["openrouter"])
            await cache.close()

        asyncio.run(refresh())
        model = registry.resolve("openrouter/org/model")
        assert model is not None
        versions.add(model.price.version)
    assert asked == ["/v1/models"]
    assert len(versions) == 1
