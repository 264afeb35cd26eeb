"""The catalog: one id for a model whoever serves it, and its state as the log tells it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalog import (
    PLAIN,
    SYNONYMS,
    CatalogState,
    IdRules,
    ModelFacts,
    OfferRecord,
    canonical_id,
    canonical_of_request,
)
from domain.events.catalog import ListConfirmed, ModelDelisted, ModelListed, PricePublished
from domain.events.identity import ApiKeyRevoked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.events.base import Event

IDS = [
    ("openai/gpt-4o", PLAIN, "openai/gpt-4o"),
    ("GPT-4o", PLAIN, "openai/gpt-4o"),
    ("some-model", PLAIN, "some-model"),
    ("some-model", IdRules(organisation="acme"), "acme/some-model"),
    # Who stands in the id comes before whom the provider means.
    ("meta/llama-9", IdRules(organisation="acme"), "meta-llama/llama-9"),
    ("google/gemini-9", IdRules(prefix="google/", organisation="google"), "google/gemini-9"),
    ("models/qwen9p1", IdRules(prefix="models/", points_as_p=True), "qwen/qwen9.1"),
    # Only between digits is a p a point.
    ("ps/top-p9p5p", IdRules(points_as_p=True), "ps/top-p9.5p"),
    ("acme/m9p5", PLAIN, "acme/m9p5"),
    ("acme/m:free", IdRules(route_suffix=True), "acme/m"),
    ("acme/m:free", PLAIN, "acme/m:free"),
    ("fast:acme/m", IdRules(route_prefix=True), "acme/m"),
    ("acme/m", IdRules(route_prefix=True, route_suffix=True), "acme/m"),
    ("acme/deep/m", PLAIN, "acme/deep/m"),
    ("llama3.1-8b", PLAIN, "meta-llama/llama-3.1-8b-instruct"),
]


@pytest.mark.parametrize(("written", "rules", "canonical"), IDS)
def test_one_id_for_a_model(written: str, rules: IdRules, canonical: str) -> None:
    """Each line: an id as a provider writes it, the provider's rules, the canonical id (P10)."""
    assert canonical_id(written, rules) == canonical


def test_a_callers_id_is_read_without_a_providers_rules() -> None:
    """A caller finds a model by any name of it, and a route stays part of the id (P10)."""
    for written, canonical in SYNONYMS.items():
        assert canonical_of_request(written) == canonical_of_request(canonical) == canonical
    assert canonical_of_request("acme/m:free") == "acme/m:free"


@given(st.text(alphabet="abAB/:p19-", max_size=20))
def test_a_canonical_id_is_its_own(written: str) -> None:
    """What is canonical stays as it is, or two offers of a model would not meet (P10)."""
    once = canonical_of_request(written)
    assert canonical_of_request(once) == once


FACTS = ModelFacts(
    name="M", created=5, context_length=9, input_modalities=("text", "image"), tokenizer="t"
)


def test_facts_travel_through_an_event() -> None:
    """What says nothing is left out, and what a later version wrote is passed over (P5)."""
    stored = FACTS.as_dict()
    assert stored == {
        "name": "M",
        "created": 5,
        "context_length": 9,
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "tokenizer": "t",
    }
    assert ModelFacts.of({**stored, "colour": "red"}) == FACTS
    assert FACTS.modality == "text+image->text"


def offer(price: str = "", *, model: str = "acme/m", effective_at: str = "") -> OfferRecord:
    """An offer as a list tells it; its price, if any, is its version as well."""
    return OfferRecord(
        canonical_id=model,
        facts=FACTS.as_dict(),
        version=price,
        source="list" if price else "",
        price={"input_per_million": price, "output_per_million": price} if price else {},
        effective_at=effective_at,
    )


def told(state: CatalogState, offers: Mapping[str, OfferRecord]) -> list[str]:
    """Append what the log does not say yet, and name it."""
    changes = state.changes(offers)
    for kind, members in changes:
        state.apply(kind(**envelope(state.version + 1), provider="p", **members))
    return [f"{kind.__name__} {members['model']}" for kind, members in changes]


def envelope(version: int) -> dict[str, Any]:
    """What every event carries."""
    return {
        "originator_id": UUID(int=1),
        "originator_version": version,
        "id": "e",
        "effective_at": f"t{version}",
        "actor": "a",
        "correlation_id": "c",
    }


STORY: list[tuple[dict[str, OfferRecord], list[str]]] = [
    ({"m": offer("1")}, ["ModelListed m", "PricePublished m"]),
    ({"m": offer("1")}, []),
    ({"m": offer("2")}, ["PricePublished m"]),
    # New facts keep the price that is known.
    ({"m": replace(offer("2"), facts={"name": "N"})}, ["ModelListed m"]),
    ({"m": offer("2", model="acme/n")}, ["ModelListed m"]),
    # A price that is gone is told as none.
    ({"m": offer(model="acme/n")}, ["PricePublished m"]),
    ({"m": offer(model="acme/n"), "n": offer()}, ["ModelListed n"]),
    ({"n": offer("3")}, ["PricePublished n", "ModelDelisted m"]),
    ({}, ["ModelDelisted n"]),
]


def test_the_log_is_told_what_changed_and_nothing_else() -> None:
    """Each line: what a list says now, and the events that it takes to say so (P8)."""
    state = CatalogState()
    for offers, events in STORY:
        assert told(state, offers) == events
        assert state.offers == offers
        assert state.changes(offers) == []


def test_a_price_may_count_from_a_time_of_its_own() -> None:
    """The event takes the time that the operator gave, else that of its append (money rule 12)."""
    (_, (_, plain)) = CatalogState().changes({"m": offer("1")})
    (_, (_, timed)) = CatalogState().changes({"m": offer("1", effective_at="2026-01-01")})
    assert "effective_at" not in plain
    assert timed == {**plain, "effective_at": "2026-01-01"}


def test_each_event_moves_the_version_and_only_its_own_offer() -> None:
    """A confirmation says when; foreign and repeated events change no offer (P7)."""
    state = CatalogState()
    events: list[Event] = [
        ModelListed(**envelope(1), provider="p", model="m", canonical_id="acme/m"),
        PricePublished(**envelope(2), provider="p", model="m", version="v", source="s"),
        ListConfirmed(**envelope(3), provider="p", models=1),
        ModelDelisted(**envelope(4), provider="p", model="other"),
        ApiKeyRevoked(**envelope(5), reason=""),
    ]
    for number, event in enumerate(events, 1):
        state.apply(event)
        assert state.version == number
    assert state.confirmed_at == "t3"
    assert list(state.offers) == ["m"]
    assert (state.offers["m"].version, state.offers["m"].source) == ("v", "s")
