"""The life of a hold, in one table, and the bound that a hold reserves.

Everything that decides whether a hold may change state is `TRANSITIONS`; nothing else
compares states. Keeps P1, P2 and P3; money rules 2, 3, 4 and 11.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, cast

from domain.errors import InvalidTransitionError
from domain.images.models import UNKNOWN_RULE

if TYPE_CHECKING:
    from domain.images.models import MediaRule
    from domain.images.sizes import Picture
    from domain.pricing.prices import Beside


class HoldState(StrEnum):
    """Where a call's hold stands. `NONE` is a call without one."""

    NONE = "none"
    HELD = "held"
    SETTLED = "settled"
    VOIDED = "voided"
    EXPIRED = "expired"
    REFUSED = "refused"


class HoldMove(StrEnum):
    """What may happen to a hold, named after the event that records it."""

    PLACE = "place"
    EXTEND = "extend"
    SETTLE = "settle"
    VOID = "void"
    EXPIRE = "expire"
    REFUSE = "refuse"
    BOOK_LATE = "book_late"
    CORRECT = "correct"


TRANSITIONS: dict[tuple[HoldState, HoldMove], HoldState] = {
    (HoldState.NONE, HoldMove.PLACE): HoldState.HELD,
    (HoldState.NONE, HoldMove.REFUSE): HoldState.REFUSED,
    (HoldState.HELD, HoldMove.EXTEND): HoldState.HELD,
    (HoldState.HELD, HoldMove.SETTLE): HoldState.SETTLED,
    (HoldState.HELD, HoldMove.VOID): HoldState.VOIDED,
    (HoldState.HELD, HoldMove.EXPIRE): HoldState.EXPIRED,
    # A repeated request with the same idempotency key is a new attempt of the same call.
    (HoldState.VOIDED, HoldMove.PLACE): HoldState.HELD,
    (HoldState.VOIDED, HoldMove.REFUSE): HoldState.REFUSED,
    (HoldState.EXPIRED, HoldMove.PLACE): HoldState.HELD,
    (HoldState.EXPIRED, HoldMove.REFUSE): HoldState.REFUSED,
    # An outcome that finds its hold resolved is booked as house loss and changes nothing.
    (HoldState.SETTLED, HoldMove.BOOK_LATE): HoldState.SETTLED,
    (HoldState.VOIDED, HoldMove.BOOK_LATE): HoldState.VOIDED,
    (HoldState.EXPIRED, HoldMove.BOOK_LATE): HoldState.EXPIRED,
    # What a settled call costs by another price is booked, and the call stays settled.
    (HoldState.SETTLED, HoldMove.CORRECT): HoldState.SETTLED,
    # Meanwhile the call may have been tried again: its present hold stays as it is.
    (HoldState.HELD, HoldMove.BOOK_LATE): HoldState.HELD,
    (HoldState.REFUSED, HoldMove.BOOK_LATE): HoldState.REFUSED,
}


def next_state(state: HoldState, move: HoldMove) -> HoldState:
    """The state after a move; raises InvalidTransitionError for one the table lacks."""
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        message = f"a hold that is {state} cannot {move}"
        raise InvalidTransitionError(message) from None


BYTES_PER_TOKEN_BOUND = 2
MESSAGE_OVERHEAD_TOKENS = 8
AUDIO_MINUTE_TOKENS_MAX = 2_000


class PromptSize(NamedTuple):
    """What of a prompt costs tokens: UTF-8 bytes of text and schemas, and counted parts.

    `other_bytes` are those of parts that nobody here knows, as they were sent. `pictures` are those
    of the images of which something is known.
    """

    text_bytes: int
    messages: int
    images: int = 0
    audio_minutes: int = 0
    files: int = 0
    other_bytes: int = 0
    pictures: tuple[Picture, ...] = ()

    def tokens_bound(self, context_length: int | None, media: MediaRule = UNKNOWN_RULE) -> int:
        """The most input tokens this prompt can be at a model (money rule 2)."""
        bound = (
            -(-(self.text_bytes + self.other_bytes) // BYTES_PER_TOKEN_BOUND)
            + self.messages * MESSAGE_OVERHEAD_TOKENS
            + media.images(self.pictures, self.images - len(self.pictures))
            + self.audio_minutes * AUDIO_MINUTE_TOKENS_MAX
            + self.files * media.document
        )
        return bound if context_length is None else min(bound, context_length)


class CallBound(NamedTuple):
    """The most that a call can use at one offer: tokens, images, seconds, searches, characters.

    `extras` are those that it pays for, `uses` the most of each that is priced by its uses,
    `service_tiers` the tiers that the call may be served at beside the plain one.
    """

    input_tokens: int
    output_tokens: int = 0
    extendable: bool = False
    input_images: int = 0
    images: int = 0
    image_pixels: int = 0
    audio_seconds: int = 0
    extras: tuple[str, ...] = ()
    searches: int = 0
    uses: tuple[tuple[str, int], ...] = ()
    service_tiers: tuple[str, ...] = ()
    characters: int = 0

    @property
    def beside_tokens(self) -> Beside:
        """What else than tokens makes its price, by its names there; nearly always nothing."""
        if not any(self[TOKEN_FIELDS:]):
            return {}
        found = self._asdict()
        return cast("Beside", {name: found[name] for name in BESIDE_TOKENS})


TOKEN_FIELDS = CallBound._fields.index("input_images")
BESIDE_TOKENS = CallBound._fields[TOKEN_FIELDS:]
"""Fields of a bound that are none of its tokens."""


class OutputBound(NamedTuple):
    """The most output tokens of a call, and whether a hard limit stands behind it."""

    tokens: int
    extendable: bool


def output_bound(
    *,
    requested: int | None,
    choices: int,
    default_tokens: int,
    model_max_tokens: int | None,
) -> OutputBound:
    """Bound the output of a call (money rule 2).

    `requested` is the caller's own maximum, if any: then the provider enforces the bound and
    it need never grow. Without one the default is held, and a stream may extend it.
    """
    each = default_tokens if requested is None else requested
    if model_max_tokens is not None:
        each = min(each, model_max_tokens)
    at_limit = model_max_tokens is not None and each >= model_max_tokens
    return OutputBound(tokens=each * choices, extendable=requested is None and not at_limit)
