"""What calls of other APIs have in common at a provider that speaks chat: its form, its answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from command_api.operations.request import Answer
from command_api.replies.completions import read_completion
from command_api.replies.failures import failure_of_nothing
from command_api.replies.own_count import count_reply
from command_api.replies.sse import StreamScanner
from providers.inference.adapters.translation import ODD, decode_object
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.routing.wishes import Routing
    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model


class Asking(Protocol):
    """A call of another API, as far as its translation goes."""

    raw: bytes
    model: str
    routing: Routing | None
    stream: bool

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int], /) -> Usage:
        """The provider's report where it can be, else our own count."""
        ...


A = TypeVar("A", bound=Asking)


class SentAsChat:
    """A call's body in chat's form, for what makes it one of a provider's."""

    def __init__(self, asking: Asking, raw: bytes, *, include_usage: bool = False) -> None:
        """The same call, with another body."""
        self.raw, self.model, self.routing = raw, asking.model, asking.routing
        self.stream, self.include_usage = asking.stream, include_usage


class AsChat(ABC, Generic[A]):
    """A call of another API in the form of Chat Completions."""

    operation = Operation.CHAT
    called: ClassVar[str]
    """What a whole reply is called in the caller's API."""

    __slots__ = ("_asking",)

    def __init__(self, asking: A) -> None:
        """Nothing is translated before it is sent."""
        self._asking = asking

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        found = read_completion(offer.provider, raw, call_id=call_id, model=offer.id)
        usage = self._asking.used(found.usage, offer, lambda: count_reply(found.raw))
        paid = charged(usage)
        cost = offer.price.cost(paid).nano_usd
        try:
            whole = decode_object(found.raw.strip())
            return Answer(self.made(whole, offer, call_id, (paid, cost)), found.request_id, usage)
        except (*ODD, msgspec.DecodeError):
            what = f"a reply that is no {self.called}"
            raise failure_of_nothing(offer.provider, what) from None

    @abstractmethod
    def made(
        self, whole: dict[str, Any], offer: Model, call_id: str, paid: tuple[Usage, int]
    ) -> bytes:
        """A completion as the caller's API has it; `paid` is the usage charged for, in nano-USD.

        Raises one of `ODD` for a completion of an odd shape.
        """


def chat_scanner(offer: Model, call_id: str) -> StreamScanner:
    """What reads a stream of chat that is translated: its cost is told by who translates."""
    return StreamScanner(
        keep_usage=False, call_id=call_id, model=offer.id, full_name=offer.public_id
    )
