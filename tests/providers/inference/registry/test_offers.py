"""What a provider offers, and under which of its own ids."""

from __future__ import annotations

from domain.catalog import ModelFacts
from providers.inference.adapters.simulator.upstream import Simulator
from providers.inference.registry.built_in import BY_NAME
from providers.inference.registry.offers import Listed, Provider


def listed(model_id: str, price: str | None = "1") -> Listed:
    """An entry of a list."""
    terms = {"input_per_million": price, "output_per_million": price} if price else None
    return Listed(id=model_id, facts=ModelFacts(), terms=terms, source="t")


def test_ids_may_be_written_in_other_ways() -> None:
    """Without the provider's prefix, in lower case, without a route: the cheapest route then
    (rule: routing).
    """
    fireworks = Provider(
        name="fireworks",
        base_url="",
        upstream=Simulator(),
        rules=BY_NAME["fireworks"].rules,
    )
    full = "accounts/fireworks/models/llama-v3p1-8b"
    fireworks.take_list([listed(full)], "now")
    for way in (full, "llama-v3p1-8b", "Llama-v3p1-8B", "llama-v3.1-8b"):
        found = fireworks.find(way)
        assert found is not None
        assert found.id == full
    router = Provider(
        name="huggingface", base_url="", upstream=Simulator(), rules=BY_NAME["huggingface"].rules
    )
    router.take_list([listed("o/m:x", "3"), listed("o/m:y", "2"), listed("o/m:z", None)], "now")
    cheapest = router.find("o/m")
    assert cheapest is not None
    assert cheapest.id == "o/m:y"
    assert router.find("o/m:z") is None
    assert set(router.unpriced) == {"o/m:z"}


def test_a_price_counts_since_it_was_first_seen() -> None:
    """The same price in a newer list is the same version, effective as before; another is not
    (money rule 12).
    """
    provider = Provider(name="p", base_url="", upstream=Simulator())
    provider.take_list([listed("m")], "monday")
    first = provider.listed["m"].price
    provider.take_list([listed("m")], "tuesday")
    assert provider.listed["m"].price is first
    provider.take_list([listed("m", "2")], "wednesday")
    assert provider.listed["m"].price.effective_at == "wednesday"
    assert provider.listed["m"].price.version != first.version
