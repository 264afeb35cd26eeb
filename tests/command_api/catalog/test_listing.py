"""The list of models is written once for a state of the catalog, in slices, and sent in pieces."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from command_api.catalog.listing import PIECE_ROWS, SLICE_ITEMS, Body
from command_api.catalog.view import CatalogView, Search, Snapshot
from domain.catalog import ModelFacts
from providers.inference.registry.offers import Listed, Provider
from providers.inference.registry.registry import Registry
from tests.command_api.catalog.test_catalog import Lists, get, item, lists, serve
from tests.support.harness import eventually

__all__ = ["lists", "serve"]
MODELS = 2_000
DEVELOPERS = 20


def registry_of(models: int, price: str = "1") -> Registry:
    """Two providers; the second has one model of its own, and one without a price."""
    made = Registry()
    for name, count in (("big", models), ("small", 2)):
        items = [
            Listed(
                id=f"org{number % DEVELOPERS}/{name}-{number}",
                facts=ModelFacts.of({"name": f"Number {number}"}),
                terms=None
                if (name, number) == ("small", 1)
                else {
                    "input_per_million": price,
                    "output_per_million": "2",
                },
            )
            for number in range(count)
        ]
        upstream: Any = None
        provider = Provider(name=name, base_url="http://127.0.0.1", upstream=upstream)
        provider.take_list(items, "2026-01-01T00:00:00Z")
        made.providers[name] = provider
    made.reindex()
    return made


def test_it_is_made_once_between_the_turns_of_others() -> None:
    """All who ask wait for the same making, and the loop turns after each slice (P12,
    rule: calls first).
    """

    async def run() -> None:
        registry = registry_of(MODELS)
        view, turns = CatalogView(registry), 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.create_task(others())
        found = await asyncio.gather(*(view.current() for _ in range(20)))
        assert turns > 2 * MODELS // SLICE_ITEMS
        assert len({id(each) for each in found}) == 1
        assert await view.current() is found[0]
        before = found[0].listing.digest
        registry.providers["big"].take_list([], "2026-01-01T00:00:00Z")
        registry.reindex()
        after = await view.current()
        assert after.listing.digest != before
        assert len(after.listing.rows) == 2
        beside.cancel()

    asyncio.run(run())


def snapshot_of(registry: Registry) -> Snapshot:
    """Made in a loop of its own."""
    return asyncio.run(CatalogView(registry).current())


def test_pieces_are_the_whole_body() -> None:
    """Small ones, that make JSON of the length that was told; packed they say the same
    (rule: wire, rule: bounded).
    """
    listing = snapshot_of(registry_of(200)).listing
    for places in (listing.places(None, None), listing.places("small", None), [], [7]):
        body = Body(listing, places, {"total": len(places)})
        pieces = list(body.pieces())
        told = json.loads(b"".join(pieces))
        assert len(told["data"]) == told["total"] == len(places)
        assert sum(map(len, pieces)) == body.length
        assert len(pieces) == 2 + -(-len(places) // PIECE_ROWS)
    body = Body(listing, listing.places(None, None), {"total": 202})
    assert gzip.decompress(listing.compress(body)) == b"".join(body.pieces())


@pytest.mark.parametrize(
    ("gateway", "name", "expected"),
    [
        (None, None, 202),
        ("big", None, 200),
        ("small", None, 2),
        (None, "org1", 11),
        (None, "big", 200),
        ("small", "org1", 1),
        ("big", "small", 0),
        (None, "nobody", 0),
    ],
)
def test_whose_rows_they_are(gateway: str | None, name: str | None, expected: int) -> None:
    """Of a provider, of a developer, or both; each selection has its own tag (rule: contract)."""
    listing = snapshot_of(registry_of(200)).listing
    assert len(listing.places(gateway, name)) == expected
    assert (listing.tag(gateway, name) == listing.tag()) is (gateway is name is None)


def test_a_search_sees_one_state() -> None:
    """Whatever becomes of the registry meanwhile (rule: contract)."""
    registry = registry_of(50)
    snapshot = snapshot_of(registry)
    registry.providers.clear()
    registry.reindex()
    assert len(snapshot.search(Search(text="number"), {})) == 51
    assert len(snapshot.developers["org0"]) == 4


def test_who_has_the_list_is_told_so(serve: Any, lists: Lists) -> None:
    """304 until the catalog changes; plain or packed it is the same (rule: contract)."""
    with serve(model_list_interval_s=0.3) as gateway:
        eventually(lambda: "openrouter/org/a" in get(gateway, "/v1/models").text)
        url = f"{gateway.url}/v1/models"
        plain = httpx.get(url, headers={"Accept-Encoding": "identity"})
        packed = httpx.get(url, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert plain.content == packed.content
        assert int(plain.headers["content-length"]) == len(plain.content)
        tag = plain.headers["etag"]
        assert packed.headers["etag"] == tag
        for told in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
            same = httpx.get(url, headers={"If-None-Match": told})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert httpx.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
        one = httpx.get(url, params={"limit": 1}, headers={"If-None-Match": tag})
        assert (one.status_code, one.json()["returned"]) == (200, 1)
        assert one.headers["etag"] != tag
        lists.data = [item("org/b", "0.000001")]
        eventually(lambda: httpx.get(url, headers={"If-None-Match": tag}).status_code == 200)
        assert "openrouter/org/b" in get(gateway, "/v1/models").text
