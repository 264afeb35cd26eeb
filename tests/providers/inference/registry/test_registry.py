"""Who answers to a model id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from providers.inference.lists.forms import FORMS
from providers.inference.lists.listings import read_list
from tests.providers.inference.asking import MODEL, NOW, load

if TYPE_CHECKING:
    from pathlib import Path


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


def test_only_ids_that_somebody_offers_are_remembered(tmp_path: Path) -> None:
    """Of others there is no end, and callers write them (rule: bounded)."""
    registry = load(
        tmp_path / "p.toml", f'[[provider]]\nname = "a"\nbase_url = "http://a/v1"\n{MODEL}'
    )
    for number in range(1_000):
        assert registry.resolve(f"nobody-{number}") is None
    assert registry.resolve("m") is not None
    assert [*registry._resolved] == [*registry._names] == ["m"]


ALIASED = """
[aliases]
fast = "b/m"
"a/m" = "b/m"
c = "m"
"""


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("fast", ["b/m"]), ("a/m", ["a/m"]), ("c", ["a/m", "b/m"]), ("m", ["a/m", "b/m"])],
)
def test_a_pin_comes_before_any_alias_and_an_alias_may_pin(
    tmp_path: Path, asked: str, meant: list[str]
) -> None:
    """An alias neither takes a pinned call elsewhere nor loses its own pin (rule: routing)."""
    providers = "".join(
        f'[[provider]]\nname = "{name}"\nbase_url = "http://{name}/v1"\n{MODEL}' for name in "ab"
    )
    registry = load(tmp_path / "p.toml", providers + ALIASED)
    assert [each.public_id for each in registry.offers(asked)] == meant
    assert registry.name_of(asked).provider == ("a" if asked == "a/m" else None)


def test_who_is_stale_or_lists_without_a_price_is_told_by_the_pinned_provider_alone(
    tmp_path: Path,
) -> None:
    """A provider that is not asked cannot excuse one that is (P10)."""
    providers = "".join(
        f'[[provider]]\nname = "{name}"\nbase_url = "http://{name}/v1"\n{MODEL}' for name in "ab"
    )
    registry = load(tmp_path / "p.toml", providers)
    listed = read_list(FORMS["plain"], b'{"data":[{"id":"free/for/all"}]}')
    registry.providers["b"].take_list(listed, NOW)
    found = {name: registry.unpriced(name) for name in ("free/for/all", "b/free/for/all")}
    for each in found.values():
        assert each is not None and (each[0].name, each[1].id) == ("b", "free/for/all")
    assert registry.unpriced("a/free/for/all") is None
    registry.providers["b"].drop_list()
    stale = {name: registry.stale_provider(name) for name in ("x", "a/x", "b/x")}
    assert stale == {"x": "b", "a/x": None, "b/x": "b"}
