"""A provider key's life, its secret's shape, the fee and the order of tries, by their rules."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidCommandError
from domain.events.base import By
from domain.events.profile import UserDeleted
from domain.events.work.provider_keys import (
    ProviderKeyChanged,
    ProviderKeyRemoved,
    ProviderKeyReplaced,
)
from domain.pricing.charges import Prices, version_of
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage
from domain.provider_keys.all import AllProviderKeys
from domain.provider_keys.fee import fee_price
from domain.provider_keys.keys import (
    LABEL_CHARACTERS_MAX,
    Changes,
    Mark,
    NewKey,
    Owner,
    UnknownProviderKeyError,
    change_key,
    evolve_provider_key,
    remove_key,
    replay_provider_key,
    store_key,
)
from domain.provider_keys.offers import Tried, tries_of
from domain.provider_keys.secrets import (
    SECRET_CHARACTERS_MAX,
    SECRET_CHARACTERS_MIN,
    OwnKey,
    check_secret,
    hint_of,
)

if TYPE_CHECKING:
    from domain.events.base import Stamp

KEY = UUID(int=7)
OWNER = Owner("account", "organisation")
MARK, OTHER = Mark("WXYZ", "aa"), Mark("QRST", "bb")
BY = By("user", "origin")
SECRET = "sk-0123456789abcdefWXYZ"
STAMPS: tuple[Stamp, Stamp] = (
    {"id": "1", "effective_at": "t", "actor": "a", "correlation_id": "c"},
    {"id": "2", "effective_at": "t", "actor": "a", "correlation_id": "c"},
)


def stored(**members: Any) -> list[Any]:
    """A key that was stored."""
    return [store_key(KEY, OWNER, NewKey("openai", **members), MARK, BY, STAMPS[0])]


def test_a_key_is_stored_changed_replaced_and_removed() -> None:
    """Each act is an event that tells who did it; removed is for ever (P5, P8)."""
    events = stored(label=" mine ", fallback=True)
    state = replay_provider_key(events)
    assert state is not None
    assert (state.label, state.enabled, state.fallback, state.mark) == ("mine", True, True, MARK)
    assert (events[0].by_user_id, events[0].origin) == ("user", "origin")
    made = change_key(state, Changes("", enabled=False, mark=OTHER), BY, STAMPS)
    assert [type(each) for each in made] == [ProviderKeyReplaced, ProviderKeyChanged]
    assert [(each.id, each.originator_version) for each in made] == [("1", 2), ("2", 3)]
    state = replay_provider_key([*events, *made])
    assert state is not None
    assert (state.version, state.label, state.enabled, state.fallback, state.mark) == (
        *(3, "", False, True),
        OTHER,
    )
    assert change_key(state, Changes("", enabled=False, mark=OTHER), BY, STAMPS) == []
    gone = remove_key(state, BY, STAMPS[0])
    assert isinstance(gone, ProviderKeyRemoved)
    state = evolve_provider_key(state, gone)
    assert state is not None
    assert state.removed
    for nothing in (None, state):
        with pytest.raises(UnknownProviderKeyError):
            remove_key(nothing, BY, STAMPS[0])
        with pytest.raises(UnknownProviderKeyError):
            change_key(nothing, Changes("x"), BY, STAMPS)


def test_what_is_about_something_else_changes_nothing() -> None:
    """Nor does an event of a key that was never stored (P8)."""
    other = UserDeleted(originator_id=KEY, originator_version=1, **STAMPS[0])
    gone = ProviderKeyRemoved(
        originator_id=KEY,
        originator_version=2,
        **STAMPS[0],
        **OWNER._asdict(),
        provider="openai",
    )
    assert evolve_provider_key(None, other) is None
    assert evolve_provider_key(None, gone) is None
    everything = AllProviderKeys()
    for event in (other, gone):
        everything.apply(event)
    assert everything.keys == {}
    for event in (*stored(), gone):
        everything.apply(event)
    assert [(each.id, each.removed) for each in everything.keys.values()] == [(KEY, True)]


def test_whose_key_it_is() -> None:
    """A project's, or the user's for the API keys of none (P10)."""
    assert OWNER.scope_id == "organisation"
    assert OWNER._replace(project_id="project").scope_id == "project"


@pytest.mark.parametrize("label", ["x" * (LABEL_CHARACTERS_MAX + 1), "a\nb", "a\0"])
def test_a_label_is_short_and_printable(label: str) -> None:
    """Refused, naming the member (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match="label: "):
        stored(label=label)


@pytest.mark.parametrize(
    "secret",
    [
        *("", "x" * (SECRET_CHARACTERS_MIN - 1), "x" * (SECRET_CHARACTERS_MAX + 1)),
        *("sk-0123456789\r\nx-evil: 1", "sk-0123456789 abcdef", "sk-0123456789\x00abcdef"),
        *("sk-0123456789abcdéf", '{"type": "service_account"}', "sk-0123456789\x7fabcdef"),
        "sk-0123456789abcdef\t",
    ],
)
def test_a_secret_may_stand_in_a_header_or_is_refused(secret: str) -> None:
    """And the refusal does not quote it (rule: refuse clearly, P5)."""
    with pytest.raises(InvalidCommandError, match="key: ") as refused:
        check_secret(secret)
    assert not secret or secret not in str(refused.value)


@given(st.text(max_size=60))
def test_no_text_passes_that_could_break_a_head(text: str) -> None:
    """Whatever passes is visible ASCII, whole (rule: bounded)."""
    try:
        passed = check_secret(text)
    except InvalidCommandError:
        return
    assert passed == text.strip(" ")
    assert passed.isascii()
    assert passed.isprintable()
    assert " " not in passed


def test_of_a_secret_four_characters_are_shown() -> None:
    """And none by an own key's name in a log or a trace (P5)."""
    assert hint_of(check_secret(SECRET)) == "WXYZ"
    own = OwnKey("id", "openai", secret=SECRET, hint="WXYZ", fallback=False)
    assert repr(own) == "OwnKey(id, openai, ...WXYZ)"
    assert SECRET not in f"{own!s}{own!r}{[own]}"


def own_of(provider: str, *, fallback: bool = False) -> OwnKey:
    """An own key."""
    return OwnKey(provider, provider, secret=SECRET, hint="WXYZ", fallback=fallback)


def test_own_keys_are_tried_alone_unless_they_allow_the_houses() -> None:
    """In the order of the offers; without one for any of them all is as usual (P10)."""
    providers = ["a", "b", "a", "c"]
    b, c, other = own_of("b"), own_of("c", fallback=True), own_of("x", fallback=True)
    house = [Tried(place, None) for place in range(4)]
    assert tries_of(providers, ()) == house
    assert tries_of(providers, (other,)) == house
    assert tries_of(providers, (b, other)) == [Tried(1, b)]
    assert tries_of(providers, (c, b)) == [Tried(1, b), Tried(3, c), *house]
    a = own_of("a")
    assert tries_of(providers, (a,)) == [Tried(0, a), Tried(2, a)]


def price_of(terms: dict[str, str]) -> PriceVersion:
    """A price of the catalog."""
    return PriceVersion(
        version=version_of("p", "m", "list", terms),
        source="list",
        effective_at="2026-01-01T00:00:00.000000Z",
        terms=PriceTerms.parse(terms),
    )


@given(
    percent=st.integers(0, 100),
    rates=st.tuples(*[st.decimals(0, 1_000, places=6)] * 3),
    tokens=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
)
def test_a_fee_is_the_exact_share_of_what_the_price_would_charge(
    percent: int, rates: tuple[Decimal, ...], tokens: tuple[int, int]
) -> None:
    """Whoever checks the event finds the same: its name is made of its terms (P4, money rule 1)."""
    names = ("input_per_million", "output_per_million", "cached_input_per_million")
    whole = price_of({name: format(each, "f") for name, each in zip(names, rates, strict=True)})
    fee = fee_price("p", "m", whole, percent)
    usage = Usage(*tokens, cached_input_tokens=tokens[0] // 2)
    exact = Decimal(whole.cost(usage).exact_nano_usd) * percent / 100
    assert Decimal(fee.cost(usage).exact_nano_usd) == exact
    assert abs(fee.cost(usage).nano_usd - exact) <= Decimal("0.5")
    stated = {
        "version": fee.version,
        "source": fee.source,
        "effective_at": fee.effective_at,
        **fee.terms.as_strings(),
    }
    assert not isinstance(Prices().stated("p", "m", stated), str)


def test_no_share_is_below_nothing_or_above_all() -> None:
    """An operator's setting cannot be so either (money rule 1)."""
    for percent in (-1, 101):
        with pytest.raises(ValueError, match="share"):
            fee_price("p", "m", price_of({"per_image": "1"}), percent)
