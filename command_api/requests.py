"""The inference operations: how each one's body is read and its answer judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from command_api.body import decode_members
from command_api.chat_request import parse_chat
from command_api.embeddings import in_encoding
from command_api.media_requests import EmbeddingsRequest, parse_embeddings, parse_images
from command_api.outcomes import failure_of_nothing, read_completion, read_reply
from command_api.sse import count_message
from command_api.usage_report import parse_usage
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.call import Call
    from command_api.routing_request import Routing
    from command_api.settings import Settings
    from domain.holds import CallBound
    from domain.usage import Usage
    from providers.inference.offers import Model, Provider


class InferenceRequest(Protocol):
    """A checked body, as far as the pipeline needs to know it."""

    operation: Operation
    raw: bytes
    model: str
    routing: Routing | None
    stream: bool
    include_usage: bool
    choices: int
    max_tokens: int | None

    def bound(self, model: Model, settings: Settings, /) -> CallBound:
        """The most that the call can use at an offer."""
        ...

    def estimated_input_tokens(self) -> int:
        """Our own count of the prompt."""
        ...

    def estimated(self, output_tokens: int, /) -> Usage:
        """Our own count of the call."""
        ...

    def counted(self, usage: Usage, raw: bytes, /) -> Usage:
        """A provider's report with what it leaves out and the reply shows."""
        ...

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The body for the provider."""
        ...


class Answer(NamedTuple):
    """A reply that counts as an answer, and what it used."""

    raw: bytes
    request_id: str | None
    usage: Usage


def read_answer(call: Call, offer: Model, raw: bytes) -> Answer:
    """Judge the body of a 200 by its operation; raises UpstreamFailure when it is no answer."""
    request, provider = call.request, offer.provider
    if request.operation is Operation.CHAT:
        found = read_completion(provider, raw, call_id=call.id, model=offer.id)
        usage = found.usage or request.estimated(count_message(found.choices))
        return Answer(found.raw, found.request_id, request.counted(usage, raw))
    reply = read_reply(provider, raw)
    if not isinstance(reply.data, list) or not (reply.data or request.operation is _EMBEDDINGS):
        raise failure_of_nothing(provider, "no data")
    report = parse_usage(reply.usage) if reply.usage is not None else None
    usage = report or request.estimated(0)
    request_id = reply.id if isinstance(reply.id, str) else None
    try:
        mended = MENDERS[request.operation](raw, call, usage)
        return Answer(mended, request_id, request.counted(usage, raw))
    except msgspec.DecodeError:
        raise failure_of_nothing(provider, "data of another shape") from None


_EMBEDDINGS = Operation.EMBEDDINGS
_encode = msgspec.json.encode


def _mend_embeddings(raw: bytes, call: Call, usage: Usage) -> bytes:
    """OpenAI's list has `object`, `model` and `usage`; some providers leave one out."""
    assert isinstance(call.request, EmbeddingsRequest)
    raw = in_encoding(raw, call.request.encoding)
    members = decode_members(raw)
    if all(bytes(members.get(name, b"null")) != b"null" for name in ("object", "model", "usage")):
        return raw
    tokens = usage.input_tokens
    members["object"] = msgspec.Raw(b'"list"')
    members.setdefault("model", msgspec.Raw(_encode(call.model.id)))
    report = {"prompt_tokens": tokens, "total_tokens": tokens}
    members["usage"] = msgspec.Raw(_encode(report))
    return _encode(members)


def _mend_images(raw: bytes, call: Call, _: Usage) -> bytes:
    """OpenAI's images have `created`; Together leaves it out."""
    members = decode_members(raw)
    if bytes(members.get("created", b"null")) != b"null":
        return raw
    members["created"] = msgspec.Raw(b"%d" % (int.from_bytes(call.id_bytes[:6], "big") // 1_000))
    return _encode(members)


MENDERS: dict[Operation, Callable[[bytes, Call, Usage], bytes]] = {
    Operation.EMBEDDINGS: _mend_embeddings,
    Operation.IMAGES: _mend_images,
}


class Route(NamedTuple):
    """One operation's route."""

    path: str
    operation: Operation
    parse: Callable[[bytes, Settings], InferenceRequest]


ROUTES = (
    Route("/v1/chat/completions", Operation.CHAT, parse_chat),
    Route("/v1/embeddings", Operation.EMBEDDINGS, parse_embeddings),
    Route("/v1/images/generations", Operation.IMAGES, parse_images),
)
"""The inference routes, in front of the framework's router (ADR 0007)."""
