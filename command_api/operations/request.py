"""A checked body and its answer, as far as the pipeline needs to know them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import msgspec

from command_api.operations.extras import kinds_of, priced_extras
from command_api.replies.completions import read_reply
from command_api.replies.failures import failure_of_nothing
from command_api.replies.told import tell, tell_cost
from command_api.replies.usage_report import parse_usage
from command_api.routing.wishes import Routing, RoutingMembers, members_for, read_routing
from domain.ledger.holds import BYTES_PER_TOKEN_BOUND, MESSAGE_OVERHEAD_TOKENS
from domain.pricing.extras import TABLE, extras_of
from domain.pricing.uses import AUTO, USE_OF_TERM, Asked, tier_term, uses_asked
from edge.asgi import JSON
from edge.body import RAW_NULL, decode_any, utf8_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.replies.completions import Reply
    from command_api.replies.scanning import Scanner
    from command_api.settings.calls import HoldSettings, RequestSettings
    from domain.ledger.holds import CallBound
    from domain.pricing.extras import Extra
    from domain.pricing.usage import Usage
    from edge.errors import ApiError
    from providers.inference.port import Form, Operation
    from providers.inference.registry.offers import Model, Provider

NOTHING_ASKED = Asked()
"""Of nearly all bodies."""
_encode = msgspec.json.encode


class Answer(NamedTuple):
    """A reply that counts as an answer, what it used, and what kind of content it is."""

    raw: bytes
    request_id: str | None
    usage: Usage
    kind: str = JSON.decode()


class AskedInForm(Protocol):
    """A request in one form: what is sent."""

    operation: Operation

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes | Form:
        """The body for the provider; raises UnsupportedError for what has no counterpart there."""
        ...


class AskedWhole(AskedInForm, Protocol):
    """One whose answers may come whole: what they mean."""

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage], /
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer.

        `charged` says what of a usage the caller pays, as his reply tells him.
        """
        ...


class AskedStreamed(AskedInForm, Protocol):
    """One whose answers may come as streams: what reads them."""

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]], /
    ) -> Scanner:
        """What reads an offer's stream.

        `charge` says what is charged for a report of usage, and how much in nano-USD.
        """
        ...


class BoundRequest(Protocol):
    """A checked request, as far as its hold and its settlement need to know it."""

    raw: bytes
    model: str
    routing: Routing | None
    stream: bool
    include_usage: bool
    choices: int
    max_tokens: int | None
    maximum_named: str
    """What the body calls its maximum of output; empty where it has none."""
    cheaper: str
    """What would cost less, for the error of who cannot pay; empty where nothing would."""

    def unpriced(self, model: Model, provider: Provider, /) -> ApiError | None:
        """The refusal where an offer's price lacks what the call can use (P10)."""
        ...

    def bound(self, model: Model, holds: HoldSettings, /) -> CallBound:
        """The most that the call can use at an offer."""
        ...

    def estimated_input_tokens(self) -> int:
        """Our own count of the prompt."""
        ...

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int], /) -> Usage:
        """What a stream used: the provider's report where it can be, else our own count.

        `made` counts the output that was received, in tokens.
        """
        ...

    def let_go(self) -> None:
        """Keep nothing of the body's bytes: there will be no other `upstream_body`."""
        ...


class InferenceRequest(BoundRequest, Protocol):
    """A checked body, as far as the pipeline needs to know it."""

    def at(self, provider: Provider, offer: Model, /) -> AskedInForm:
        """The request in the form in which a provider is asked for an offer of its."""
        ...


class CommonBody(RoutingMembers, kw_only=True):
    """Members of every body that cost extra, as they were sent; those of `extras.TABLE`."""

    service_tier: msgspec.Raw = RAW_NULL
    speed: msgspec.Raw = RAW_NULL
    web_search_options: msgspec.Raw = RAW_NULL
    search_parameters: msgspec.Raw = RAW_NULL
    enable_search: msgspec.Raw = RAW_NULL
    plugins: msgspec.Raw = RAW_NULL
    modalities: msgspec.Raw = RAW_NULL
    inference_geo: msgspec.Raw = RAW_NULL
    mcp_servers: msgspec.Raw = RAW_NULL

    def extras(self, tools: msgspec.Raw = RAW_NULL) -> tuple[Extra, ...]:
        """What of it costs extra; nearly always nothing."""
        given = {
            name: decode_any(raw) for name in TABLE if (raw := getattr(self, name)) is not RAW_NULL
        }
        if not given and tools is RAW_NULL:
            return ()
        return extras_of(given, kinds_of(tools))

    def asked(self, extras: tuple[Extra, ...], raw: bytes, choices: int = 1) -> Asked:
        """What of it is charged by what is used of it: searches and the like, a service tier."""
        tier = "" if self.service_tier is RAW_NULL else decode_any(self.service_tier)
        asks = tier if tier == AUTO or tier_term(tier) else ""
        names = [USE_OF_TERM[each.term] for each in extras if each.term in USE_OF_TERM]
        if not names:
            return Asked(tier=asks) if asks else NOTHING_ASKED
        body = decode_any(raw)
        listed = body.get("tools")
        tools = listed if isinstance(listed, list) else []
        return Asked(uses_asked(body, tools, dict.fromkeys(names), choices), asks)


class MediaBody(CommonBody, kw_only=True):
    """What the bodies of media have in common."""

    model: str


class MediaRequest(ABC):
    """What media have in common: one JSON answer with `data`, no stream."""

    operation: Operation
    stream = False
    include_usage = False
    choices = 1
    max_tokens: int | None = 0
    maximum_named = ""
    cheaper = "fewer or shorter texts"
    named = False
    """Whether an answer names its model and always has a report of usage."""
    items_name = "data"
    """What an answer's items are called."""

    def __init__(self, raw: bytes, body: MediaBody, limits: RequestSettings) -> None:
        """Take over what was checked."""
        self.raw, self.model = raw, body.model
        self._usage_tokens_max = limits.usage_tokens_max
        # Nothing here is counted by uses or told its tier: only a price of the whole call counts.
        self._extras = tuple(each._replace(term="") for each in body.extras())
        self.routing: Routing | None = read_routing(body) if body.routes else None

    @abstractmethod
    def unpriced(self, model: Model, provider: Provider, /) -> ApiError | None:
        """The refusal where an offer's price lacks what the call can use (P10)."""

    def at(self, provider: Provider, offer: Model) -> Self:
        """Every provider is asked in OpenAI's form."""
        del provider, offer
        return self

    def extras_at(self, offer: Model) -> tuple[Extra, ...]:
        """What of the call costs extra at an offer."""
        del offer
        return self._extras

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes | Form:
        """The body for the provider."""
        del max_tokens
        return _encode(members_for(self, model, provider))

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        provider = offer.provider
        reply = read_reply(provider, raw)
        items = self.items_of(reply)
        if not isinstance(items, list) or not items:
            raise failure_of_nothing(provider, f"no {self.items_name}")
        usage = self.used(self.report_of(reply), offer, lambda: len(items))
        request_id = reply.id if isinstance(reply.id, str) else None
        try:
            mended = self.mended(raw, offer, call_id, usage)
            paid = self.counted(usage, raw)
            if extras := self.extras_at(offer):
                paid = paid._replace(extras=priced_extras(extras, offer))
            cost = offer.price.cost(charged(paid)).nano_usd
            told = (
                tell(mended, offer.public_id, paid, cost)
                if self.named
                else tell_cost(mended, paid, cost)
            )
            return Answer(told, request_id, paid)
        except msgspec.DecodeError:
            raise failure_of_nothing(provider, "data of another shape") from None

    def items_of(self, reply: Reply) -> Any:
        """The items of an answer, which should be a list."""
        return reply.data

    def report_of(self, reply: Reply) -> Usage | None:
        """The provider's report of tokens, if there is one."""
        return self.read_report(reply.usage)

    def read_report(self, told: Any) -> Usage | None:
        """A report of tokens; None for none."""
        report = parse_usage(told) if told is not None else None
        if report is not None and (report.uses or report.service_tier):
            return report._replace(uses=(), service_tier="")
        return report

    def let_go(self) -> None:
        """Keep nothing of the body's bytes; the answer was judged."""
        self.raw = b""

    @abstractmethod
    def used(self, report: Usage | None, offer: Model, made: Callable[[], int], /) -> Usage:
        """The provider's report where it can be, else our own count; `made` counts the items."""

    @abstractmethod
    def counted(self, usage: Usage, raw: bytes, /) -> Usage:
        """A provider's report with what it leaves out and the reply shows."""

    @abstractmethod
    def mended(self, raw: bytes, offer: Model, call_id: str, usage: Usage, /) -> bytes:
        """The reply with what OpenAI's types want and the provider left out."""


def tokens_bound(item: str | list[int]) -> int:
    """The most tokens that a text, or a list of tokens, can be (money rule 2)."""
    if isinstance(item, str):
        return -(-utf8_size(item) // BYTES_PER_TOKEN_BOUND) + MESSAGE_OVERHEAD_TOKENS
    return len(item)
