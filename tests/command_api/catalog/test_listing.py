"""The list of models is written once for a state of the catalog, in slices, and sent in pieces."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from command_api.catalog.listing import PIECE_ROWS, SLICE_ITEMS, Body
from command_api.catalog.view import (
    ROWS_SLICE,
    SEARCHES_KEPT_MAX,
    SEARCHES_WAITING_MAX,
    CatalogView,
    Search,
    Snapshot,
    words_of,
)
from domain.catalog import ModelFacts
from edge.errors import ApiError
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
        view, turns = CatalogView(registry), Turns()
        found = await asyncio.gather(*(view.current() for _ in range(20)))
        assert turns.count > 2 * MODELS // SLICE_ITEMS
        assert len({id(each) for each in found}) == 1
        assert await view.current() is found[0]
        before = found[0].listing.digest
        registry.providers["big"].take_list([], "2026-01-01T00:00:00Z")
        registry.reindex()
        after = await view.current()
        assert after.listing.digest != before
        assert len(after.listing.rows) == 2
        turns.task.cancel()

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
    assert len(asyncio.run(snapshot.search(Search(words=words_of("number")), {}))) == 51
    assert len(snapshot.developers["org0"]) == 4


class Turns:
    """Counts the turns of a loop."""

    def __init__(self) -> None:
        """Counts until its task is cancelled."""
        self.count = 0
        self.task = asyncio.create_task(self._count())

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.count += 1


async def nobody_calls() -> dict[str, int]:
    """No model is popular."""
    return {}


def test_a_search_is_made_once_between_the_turns_of_others() -> None:
    """All who ask the same wait for one, different ones follow each other, and the loop turns
    after each slice; results of a state are kept up to a maximum (P12, rule: bounded).
    """

    async def run() -> None:
        registry = registry_of(MODELS)
        view = CatalogView(registry)
        await view.current()
        turns = Turns()
        wanted = [Search(words=words_of(text)) for text in ("number 7", "7 number  7", "org1")]
        found = await asyncio.gather(*(view.search(each, nobody_calls) for each in wanted))
        assert turns.count > 2 * MODELS // SLICE_ITEMS
        assert found[0][1] is found[1][1]
        before = turns.count
        again = await view.search(wanted[2], nobody_calls)
        assert again[1] is found[2][1]
        assert turns.count - before < MODELS // SLICE_ITEMS
        for number in range(SEARCHES_KEPT_MAX):
            await view.search(Search(min_context=number), nobody_calls)
        assert (await view.search(wanted[2], nobody_calls))[1] is not found[2][1]
        registry.reindex()
        assert (await view.search(wanted[0], nobody_calls))[0] is not found[0][0]
        turns.task.cancel()

    asyncio.run(run())


def test_too_many_searches_are_refused() -> None:
    """Those that wait have a maximum (P12, rule: bounded)."""

    async def run() -> None:
        view = CatalogView(registry_of(100))
        await view.current()
        wanted = [Search(min_context=each) for each in range(SEARCHES_WAITING_MAX + 1)]
        told = await asyncio.gather(
            *(view.search(each, nobody_calls) for each in wanted), return_exceptions=True
        )
        (refused,) = [each for each in told if isinstance(each, BaseException)]
        assert isinstance(refused, ApiError)
        assert (refused.status, refused.code) == (503, "reads_busy")
        assert await view.search(wanted[-1], nobody_calls)

    asyncio.run(run())


def test_the_models_of_a_page_are_written_once() -> None:
    """In slices the first time, and joined from then on (P12, rule: calls first)."""

    async def run() -> None:
        snapshot = await CatalogView(registry_of(MODELS)).current()
        shown = snapshot.developers["org1"]
        turns = Turns()
        rows = await snapshot.rows(shown)
        assert turns.count >= len(shown) // ROWS_SLICE - 1
        assert json.loads(bytes(rows)) == [each.as_object() for each in shown]
        before = turns.count
        assert bytes(await snapshot.rows(shown, "nobody")) == bytes(rows)
        assert turns.count == before
        turns.task.cancel()

    asyncio.run(run())


def test_a_search_is_sorted_as_it_asks() -> None:
    """Either way, by any figure; equal ones are in the order of their ids (rule: contract)."""
    snapshot = snapshot_of(registry_of(4))
    ids = sorted(snapshot.entries)
    called = {ids[2]: 5, ids[1]: 7, "gone": 9}

    def found(**wanted: Any) -> list[int]:
        entries = asyncio.run(snapshot.search(Search(**wanted), called))
        return [ids.index(each.canonical) for each in entries]

    for sort_by in ("price", "context"):
        assert found(sort_by=sort_by) == found(sort_by=sort_by, order="desc") == [0, 1, 2, 3, 4]
    assert found(sort_by="name") == [0, 1, 2, 3, 4]
    assert found(sort_by="name", order="desc") == [4, 3, 2, 1, 0]
    assert found(sort_by="popularity") == [0, 3, 4, 2, 1]
    assert found(sort_by="popularity", order="desc") == [1, 2, 0, 3, 4]


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
