"""Whose is what Stripe tells: the table of handlers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import pytest

from command_api.payments.handling import FailedError, Handling, Part, watched_by
from command_api.payments.inbox import Taken
from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from command_api.payments.handling import Handler
    from providers.payments.told import Notice


class Opened:
    """An inbox in which nothing is sealed."""

    def opened(self, taken: Taken) -> bytes:
        """The body."""
        return taken.sealed


class Room:
    """A handler that notes what it is asked, and says whether that is its own."""

    def __init__(self, *kinds: str, own: bool, error: Exception | None = None) -> None:
        self.kinds, self.own, self.error = frozenset(kinds), own, error
        self.seen: list[tuple[str, str]] = []

    async def handle(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> bool:
        """Note it."""
        assert as_of == 5
        self.seen.append((notice.type, thing["id"]))
        if self.error is not None:
            raise self.error
        return self.own


def handled(kind: str, *rooms: Handler) -> str:
    """The state in which an event about an object of this kind ends."""
    thing = {"id": "x", "object": kind, "status": "new"}
    said = {"id": "evt", "object": "event", "type": "odd", "created": 5, "data": {"object": thing}}
    taken = Taken(str(uuid4()), "odd", msgspec.json.encode(said), 1, None)  # type: ignore[arg-type]
    handling = Handling(Opened(), None, rooms)  # type: ignore[arg-type]
    return asyncio.run(handling.handle(taken))


def test_each_room_is_asked_for_its_kinds_until_one_says_it_is_theirs() -> None:
    """Who takes no such kind is not asked; what is nobody's is let be (P3, rule: routing)."""
    other, first = Room("invoice", own=True), Room("invoice", "refund", own=False)
    second, third = Room("refund", own=True), Room("refund", own=True)
    assert handled("refund", other, first, second, third) == "done"
    assert [len(each.seen) for each in (other, first, second, third)] == [0, 1, 1, 0]
    assert handled("charge", other, first) == "ignored"
    assert handled("refund", first) == "ignored"


def test_what_can_never_be_fails_with_its_code() -> None:
    """Any other error is of the moment, and is not caught here (P2, rule: refuse clearly)."""
    with pytest.raises(FailedError, match=r"invalid_command: never|never"):
        handled("refund", Room("refund", own=True, error=InvalidCommandError("never")))
    with pytest.raises(TimeoutError):
        handled("refund", Room("refund", own=True, error=TimeoutError()))


def test_what_is_watched_is_the_union_of_what_rooms_want() -> None:
    """Each type once, in the rooms' order (rule: routing)."""
    parts = [Part(("a", "b"), _none), Part(("b", "c"), _none)]
    assert watched_by(parts) == ("a", "b", "c")


def _none(_: Any) -> Any:
    raise AssertionError
