"""The life of a hold is one table; its bound never exceeds what the call can cost."""

from __future__ import annotations

import itertools

import pytest

from domain.errors import InvalidTransitionError
from domain.ledger.holds import (
    TRANSITIONS,
    HoldMove,
    HoldState,
    PromptSize,
    next_state,
    output_bound,
)

LEGAL = {
    ("none", "place"): "held",
    ("none", "refuse"): "refused",
    ("held", "extend"): "held",
    ("held", "settle"): "settled",
    ("held", "void"): "voided",
    ("held", "expire"): "expired",
    ("voided", "place"): "held",
    ("voided", "refuse"): "refused",
    ("expired", "place"): "held",
    ("expired", "refuse"): "refused",
    ("settled", "book_late"): "settled",
    ("voided", "book_late"): "voided",
    ("expired", "book_late"): "expired",
    ("held", "book_late"): "held",
    ("refused", "book_late"): "refused",
    ("settled", "correct"): "settled",
}


@pytest.mark.parametrize(("state", "move"), list(itertools.product(HoldState, HoldMove)))
def test_every_pair_of_state_and_move(state: HoldState, move: HoldMove) -> None:
    """What the table lacks is refused (P2)."""
    expected = LEGAL.get((str(state), str(move)))
    if expected is None:
        with pytest.raises(InvalidTransitionError, match=f"^a hold that is {state} cannot {move}$"):
            next_state(state, move)
    else:
        assert next_state(state, move) == expected


def test_a_settled_hold_never_changes() -> None:
    """Once charged, no move leads anywhere else (P3)."""
    ends = {after for (before, _), after in TRANSITIONS.items() if before == HoldState.SETTLED}
    assert ends == {HoldState.SETTLED}


SIZES = [
    (PromptSize(text_bytes=0, messages=1), None, 8),
    (PromptSize(text_bytes=9, messages=2), None, 5 + 16),
    (PromptSize(text_bytes=10**6, messages=1), 8_000, 8_000),
    (PromptSize(text_bytes=0, messages=1, images=2), None, 8 + 2 * 16_386),
    (PromptSize(text_bytes=0, messages=1, audio_minutes=3), None, 8 + 3 * 2_000),
    (PromptSize(text_bytes=0, messages=1, files=1), None, 8 + 460_000),
]


@pytest.mark.parametrize(("size", "context", "tokens"), SIZES)
def test_input_bound(size: PromptSize, context: int | None, tokens: int) -> None:
    """Bytes by two, an overhead a message, maxima for parts, at most the context (money rule 2)."""
    assert size.tokens_bound(context) == tokens


BOUNDS = [
    # requested, choices, model's maximum → tokens, extendable
    (100, 1, 16_384, 100, False),
    (100, 3, 16_384, 300, False),
    (100_000, 1, 16_384, 16_384, False),
    (None, 1, 16_384, 4_096, True),
    (None, 1, None, 4_096, True),
    (None, 2, 1_000, 2_000, False),
    (100_000, 1, None, 100_000, False),
]


@pytest.mark.parametrize(("requested", "choices", "most", "tokens", "extendable"), BOUNDS)
def test_output_bound(
    requested: int | None, choices: int, most: int | None, tokens: int, extendable: bool
) -> None:
    """A bound that the provider enforces never grows; our own default may (money rule 2)."""
    bound = output_bound(
        requested=requested, choices=choices, default_tokens=4_096, model_max_tokens=most
    )
    assert (bound.tokens, bound.extendable) == (tokens, extendable)
