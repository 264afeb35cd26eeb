"""The catalog: fetched, priced, told to the log, restored from it, and asked by anybody."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from domain.events.catalog import ListConfirmed, ModelDelisted, ModelListed, PricePublished
from event_store.log.reading import read_after
from providers.inference.lists import model_list
from tests.support.harness import (
    RunningGateway,
    ScriptedUpstream,
    eventually,
    reply,
    running_gateway,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request

MODELS = """
[[provider]]
name = "{name}"
base_url = "{base_url}"
api_key = "k"
"""


def item(model: str, price: str | None, **more: Any) -> dict[str, Any]:
    """An entry of an OpenRouter-like list; USD per token."""
    pricing = None if price is None else {"prompt": price, "completion": price}
    return {"id": model, "name": model.title(), "pricing": pricing, **more}


class Lists:
    """An upstream that serves lists which tests change."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        """Nothing is listed yet."""
        self.data: list[dict[str, Any]] | None = []
        self.asked = 0
        upstream.answer = self.answer

    def answer(self, connection: socket.socket, request: Request) -> None:
        """Serve the list; None is a provider that is down."""
        if request.method != "GET":
            message = {"role": "assistant", "content": "hi"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            reply(connection, json.dumps({"choices": [choice]}).encode())
            return
        self.asked += 1
        if self.data is None:
            reply(connection, b"down", status=503)
        else:
            reply(connection, json.dumps({"data": self.data}).encode())


def catalog_events(database: Database, provider: str = "openrouter") -> list[Any]:
    """What the log says of a provider's catalog."""
    kinds = (ModelListed, ModelDelisted, PricePublished, ListConfirmed)
    with database.connect() as connection:
        found = [each.event for each in read_after(connection, 0, 10_000)]
    return [each for each in found if isinstance(each, kinds) and each.provider == provider]


def kinds_of(events: list[Any]) -> list[str]:
    """Their types in short, with the model."""
    return [f"{type(each).__name__} {getattr(each, 'model', '')}".strip() for each in events]


def get(served: RunningGateway, path: str, /, **query: Any) -> httpx.Response:
    """Ask the public catalog."""
    return httpx.get(served.url + path, params=query or None, timeout=20)


def listed(gateway: RunningGateway) -> dict[str, dict[str, Any]]:
    """The model list by id."""
    return {each["id"]: each for each in get(gateway, "/v1/models").json()["data"]}


@pytest.fixture
def lists(upstream: ScriptedUpstream) -> Lists:
    """The upstream's lists."""
    made = Lists(upstream)
    made.data = [
        item("org/a", "0.000001", context_length=8_000, description="A small model."),
        item("org/free", None),
    ]
    return made


@pytest.fixture
def serve(database: Database, tmp_path: Path, upstream: ScriptedUpstream, lists: Lists) -> Any:
    """Start gateways on one home, with OpenRouter played by the upstream's lists."""
    text = MODELS.format(name="openrouter", base_url=upstream.base_url)

    def start(**settings: Any) -> Any:
        options: dict[str, Any] = {"model_list_interval_s": 3_600, **settings}
        return running_gateway(database, tmp_path / "home", upstream, providers=text, **options)

    return start


def test_a_list_is_told_to_the_log_and_only_what_is_new(
    serve: Any, lists: Lists, database: Database
) -> None:
    """Listed, priced, confirmed; then only a new price and a model that went (money rule 12)."""
    with serve(model_list_interval_s=0.3) as gateway:
        eventually(lambda: len(catalog_events(database)) >= 4)
        first = catalog_events(database)[:4]
        assert kinds_of(first) == [
            "ModelListed org/free",
            "ModelListed org/a",
            "PricePublished org/a",
            "ListConfirmed",
        ]
        published = first[2]
        assert published.price == {"input_per_million": "1", "output_per_million": "1"}
        shown = listed(gateway)["openrouter/org/a"]["price"]
        assert (published.version, published.effective_at) == (
            shown["version"],
            shown["effective_at"],
        )
        assert (published.source, published.version[:17]) == (
            "provider_list",
            "openrouter/org/a@",
        )
        assert first[1].facts["context_length"] == 8_000
        lists.data = [item("org/a", "0.000002", context_length=8_000, description="A small model.")]
        news = eventually(
            lambda: [
                name for name in kinds_of(catalog_events(database)[4:]) if name != "ListConfirmed"
            ]
        )
        assert news == ["PricePublished org/a", "ModelDelisted org/free"]
        assert "openrouter/org/free" not in listed(gateway)
        with database.connect() as connection:

            def history() -> list[str]:
                rows = connection.execute(
                    "SELECT price FROM read_catalog_price WHERE provider = 'openrouter' "
                    "AND model = 'org/a' ORDER BY position DESC"
                ).fetchall()
                return [json.loads(price)["input_per_million"] for (price,) in rows]

            eventually(lambda: len(history()) == 2)
            assert history() == ["2", "1"]
        gateway.verified()


def test_the_log_serves_while_a_provider_is_down(serve: Any, lists: Lists) -> None:
    """A restart offers what was listed, as it was; past its limit it is refused (P10, P12)."""
    with serve() as gateway:
        eventually(lambda: "openrouter/org/a" in listed(gateway))
        first = listed(gateway)["openrouter/org/a"]
        eventually(lambda: get_position(gateway) > 0)
    lists.data = None
    with serve() as gateway:
        eventually(lambda: lists.asked >= 2)
        again = listed(gateway)["openrouter/org/a"]
        assert again["price"] == first["price"], "the same version, counting since the same instant"
        assert again["context_length"] == 8_000
        user = gateway.user()
        got = gateway.chat(user, {"model": "openrouter/org/a"})
        assert got.status_code == 200
    time.sleep(1.1)
    with serve(model_list_stale_s=1) as gateway:
        eventually(lambda: lists.asked >= 3)
        eventually(lambda: "openrouter/org/a" not in listed(gateway))
        got = gateway.chat(gateway.user(), {"model": "openrouter/org/a"})
        assert (got.status_code, got.json()["error"]["code"]) == (503, "catalog_stale")
        assert "retry-after" in got.headers
        status = {each["slug"]: each["status"] for each in providers(gateway)}
        assert status["openrouter"] == "stale"


def test_a_list_that_could_not_be_fetched_is_asked_for_again_soon(
    serve: Any, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before its next turn: a provider down at the start is there a minute later (P12)."""
    monkeypatch.setattr(model_list, "RETRY_S", 0.2)
    data, lists.data = lists.data, None
    with serve() as gateway:
        eventually(lambda: lists.asked >= 2)
        assert "openrouter/org/a" not in listed(gateway)
        lists.data = data
        eventually(lambda: "openrouter/org/a" in listed(gateway))
        asked = lists.asked
        time.sleep(0.5)
        assert lists.asked == asked, "a list that is there waits for its turn"


def get_position(gateway: RunningGateway) -> int:
    """Rows of the read model of the catalog."""
    with gateway.database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM read_catalog_provider").fetchone()
    assert row is not None
    return int(row[0])


def providers(gateway: RunningGateway) -> list[dict[str, Any]]:
    """All providers."""
    found: list[dict[str, Any]] = get(gateway, "/v1/provider", limit=100).json()["data"]
    return found


def test_a_model_without_a_price_is_listed_and_refused(serve: Any) -> None:
    """As unpriced; a call holds nothing (P10, money rule 1)."""
    with serve() as gateway:
        shown = eventually(lambda: listed(gateway).get("openrouter/org/free"))
        assert (shown["unpriced"], shown["price"], shown["pricing"]) == (True, None, None)
        one = get(gateway, "/v1/models/openrouter/org/free").json()
        assert (one["unpriced"], one["data"]["raw_openrouter"]["id"]) == (True, "org/free")
        got = gateway.chat(gateway.user(), {"model": "openrouter/org/free"})
        assert (got.status_code, got.json()["error"]["code"]) == (400, "model_unpriced")
        assert gateway.open_holds() == 0


def test_the_operators_own_prices_are_told_as_well(gateway: RunningGateway) -> None:
    """Those of the providers file, with their source (money rule 12)."""
    found = eventually(
        lambda: [
            each
            for each in catalog_events(gateway.database, "local")
            if isinstance(each, PricePublished)
        ]
    )
    assert {each.model for each in found} == {"m", "org/long/name", "free"}
    assert {each.source for each in found} == {"providers_file"}


FLEET = """
[[provider]]
name = "one"
base_url = "{base_url}"
[[provider.model]]
id = "org/Big"
name = "The big one"
input_per_million = "4"
output_per_million = "8"
context_length = 200000
[[provider.model]]
id = "org/eyes"
input_per_million = "1"
output_per_million = "1"
input_modalities = ["text", "image"]
[[provider]]
name = "two"
base_url = "{base_url}"
[[provider.model]]
id = "big"
input_per_million = "3"
output_per_million = "6"
[[provider.model]]
id = "org/big"
input_per_million = "2"
output_per_million = "4"
context_length = 100000
[aliases]
best = "one/org/Big"
"""


@pytest.fixture
def fleet(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """Two providers that share a model."""
    text = FLEET.format(base_url=upstream.base_url)
    options: dict[str, Any] = {"public_statistics": True, "ranking_cache_s": 0}
    with running_gateway(database, tmp_path / "home", upstream, providers=text, **options) as made:
        yield made


SEARCHES: list[tuple[dict[str, Any], list[str]]] = [
    ({"q": "big"}, ["org/big", "big"]),
    ({"q": "THE one"}, ["org/big"]),
    ({"q": "big " * 50}, ["org/big", "big"]),
    ({"q": "org", "sort_by": "name"}, ["org/big", "org/eyes", "org/long/name"]),
    ({"q": "org", "sort_by": "name", "order": "desc"}, ["org/long/name", "org/eyes", "org/big"]),
    ({"modality": "image", "gateway": "one"}, ["org/eyes"]),
    (
        {"modality": "multimodal"},
        [
            *("simulator/listen", "org/eyes", "simulator/paint"),
            *("simulator/recite", "simulator/speak", "simulator/talk"),
        ],
    ),
    ({"min_context": 150_000}, ["org/big"]),
    ({"min_price": "2", "max_price": "2.5"}, ["org/big"]),
    ({"q": "big", "gateway": "two"}, ["org/big", "big"]),
    ({"q": "org", "sort_by": "context", "order": "desc", "limit": 1}, ["org/big"]),
    ({"q": "org", "sort_by": "name", "offset": 2}, ["org/long/name"]),
    ({"q": "nothing like it"}, []),
]


@pytest.mark.parametrize(("query", "expected"), SEARCHES)
def test_search(fleet: RunningGateway, query: dict[str, Any], expected: list[str]) -> None:
    """Words, modality, context, price, provider; sorted and paged (rule: contract)."""
    got = get(fleet, "/v1/models/search", **query).json()
    assert [each["id"] for each in got["data"]] == expected
    assert got["meta"]["returned"] == len(expected)


def test_one_model_at_many_providers_is_one_entry_with_offers(fleet: RunningGateway) -> None:
    """Under its canonical id, cheapest offer first; aliases lead to it (rule: contract)."""
    (entry,) = get(fleet, "/v1/models/search", q="the big one").json()["data"]
    assert [each["id"] for each in entry["offers"]] == ["two/org/big", "one/org/Big"]
    assert entry["pricing"]["prompt"] == "0.000002"
    for path in ("one/org/Big", "best", "org/BIG"):
        one = get(fleet, f"/v1/models/{path}").json()
        assert (one["object"], one["canonical_id"]) == ("model", "org/big")
        assert one["data"]["source_gateway"] == one["gateway"]
        assert [each["id"] for each in one["offers"]] == ["two/org/big", "one/org/Big"]
    assert get(fleet, "/v1/models/org/big", gateway="two").json()["id"] == "two/org/big"
    assert get(fleet, "/models/one/org/Big").json()["id"] == "one/org/Big"
    developer = get(fleet, "/v1/models/org").json()
    assert (developer["developer"], developer["total"]) == ("org", 3)


def test_comparison(fleet: RunningGateway) -> None:
    """Side by side, with what the cheapest saves (rule: contract)."""
    got = get(fleet, "/v1/models/org/big/compare", gateways="one,two,simulator").json()
    rows = {each["gateway"]: each for each in got["comparisons"]}
    assert {name: each["available"] for name, each in rows.items()} == {
        "one": True,
        "two": True,
        "simulator": False,
    }
    assert rows["one"]["pricing"]["prompt_cost_per_1m"] == "4"
    assert got["recommendation"]["gateway"] == "two"
    assert got["savings"]["potential_savings_per_1m_tokens"] == "6"
    assert got["savings"]["savings_percentage"] == "50.00"
    assert (got["available_count"], got["total_gateways_checked"]) == (2, 3)
    batch = httpx.post(
        fleet.url + "/models/batch-compare",
        params={"model_ids": ["org/big", "no/such", "org/eyes"], "criteria": "availability"},
    ).json()
    assert [each["model_id"] for each in batch["results"]] == ["org/big", "org/eyes", "no/such"]
    assert batch["results"][0]["gateways_available"] == ["two", "one"]


def test_traffic_of_providers_and_models(fleet: RunningGateway) -> None:
    """Requests, tokens and money of our own calls, exact (P4, rule: observable)."""
    user = fleet.user()
    for _ in range(3):
        assert fleet.chat(user, {"model": "one/org/eyes"}).status_code == 200
    assert fleet.chat(user, {"model": "local/m"}).status_code == 200
    eventually(lambda: get(fleet, "/v1/gateways/summary").json()["data"]["totals"]["requests"] == 4)
    one = get(fleet, "/v1/provider/one/stats").json()["data"]
    assert (one["total_requests"], one["total_tokens"], one["unique_users"]) == (3, 45, 1)
    assert (one["total_cost"], one["top_model"]) == (0.000045, "org/eyes")
    gateway = get(fleet, "/v1/gateway/one/stats", time_range="7d").json()["data"]
    assert gateway["provider_breakdown"] == {"org": {"requests": 3, "tokens": 45}}
    (top,) = get(fleet, "/v1/provider/one/top-models").json()["data"]
    assert top == {"model": "org/eyes", "requests": 3, "tokens": 45, "cost": 0.000045}
    trending = get(fleet, "/v1/models/trending", limit=1).json()["data"]
    assert [each["model"] for each in trending] == ["org/eyes"]
    popular = get(fleet, "/v1/models/search", sort_by="popularity", order="desc").json()["data"]
    assert popular[0]["id"] == "org/eyes"


def test_providers_without_a_key_are_listed_as_unconfigured(gateway: RunningGateway) -> None:
    """All that are known by name; a call of one is told what it lacks (rule: refuse clearly)."""
    status = {each["slug"]: each["status"] for each in providers(gateway)}
    assert len(status) == 23
    assert (status["local"], status["simulator"], status["groq"]) == (
        "ready",
        "ready",
        "unconfigured",
    )
    got = gateway.chat(gateway.user(), {"model": "groq/llama-3.3-70b-versatile"})
    assert got.status_code == 404
    assert "not configured" in got.json()["error"]["message"]


BAD = [
    ("/v1/models/search?limit=101", 400),
    ("/v1/models/search?sort_by=beauty", 422),
    ("/v1/models/search?min_price=cheap", 400),
    ("/v1/models/search?gateway=nobody", 400),
    ("/v1/models/search?q=one+two+three+four+five+six+seven+eight+nine", 400),
    ("/v1/models?limit=-1", 400),
    ("/v1/models/trending?time_range=1y", 422),
    ("/v1/gateway/nobody/stats", 400),
    ("/v1/provider/one/top-models?limit=0", 400),
    ("/v1/models/no/such/compare", 404),
    ("/v1/models/no/such", 404),
    ("/v1/models/nobody", 404),
]


@pytest.mark.parametrize(("path", "status"), BAD)
def test_odd_questions_are_told(fleet: RunningGateway, path: str, status: int) -> None:
    """In OpenAI's envelope (rule: refuse clearly)."""
    got = get(fleet, path)
    assert got.status_code == status
    assert got.json()["error"]["message"]


def test_modelz(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its tokens, filtered; kept while it is down, 503 if there are none (P12, rule: contract)."""
    asked: list[str] = []

    def answer(connection: socket.socket, request: Request) -> None:
        asked.append(request.path)
        reply(connection, json.dumps([{"Handle": "m1", "isGraduated": True}]).encode())

    upstream.answer = answer
    monkeypatch.setenv("MODELZ_BASE_URL", f"http://127.0.0.1:{upstream.port}")
    home = tmp_path / "home"
    with running_gateway(database, home, upstream, model_list_interval_s=0.2) as gateway:
        got = get(gateway, "/modelz/models", is_graduated=True).json()
        assert (got["total_count"], got["models"][0]["model_id"]) == (1, "m1")
        assert asked == ["/api/tokens?isGraduated=true"]
        upstream.answer = lambda connection, _: reply(connection, b"down", status=500)
        time.sleep(0.3)
        assert get(gateway, "/modelz/ids", is_graduated=True).json()["model_ids"] == ["m1"]
        assert get(gateway, "/modelz/check/m1", is_graduated=True).json()["exists_on_modelz"]
        none = get(gateway, "/modelz/ids")
        assert (none.status_code, none.json()["code"]) == (503, "modelz_unavailable")
