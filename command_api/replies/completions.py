"""What the body of a 200 holds: a reply, an answer, or an error after all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.failures import failure_of_error, failure_of_nothing
from command_api.replies.mending import mend_completion
from command_api.replies.shapes import UNREADABLE, decode_completion
from command_api.replies.usage_report import at_tier, parse_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.pricing.usage import Usage


class Reply(msgspec.Struct):
    """The members of a JSON reply that matter here."""

    id: Any = None
    choices: Any = None
    data: Any = None
    results: Any = None
    meta: Any = None
    usage: Any = None
    error: Any = None
    service_tier: Any = None


_decode = msgspec.json.Decoder(Reply).decode
_decode_any = msgspec.json.Decoder().decode


class ChatAnswer(NamedTuple):
    """A chat reply that counts as an answer; `raw` is what the caller gets."""

    raw: bytes
    request_id: str | None
    usage: Usage | None


def read_reply(provider: str, raw: bytes) -> Reply:
    """The body of a 200; raises UpstreamFailure for an error, or for what is not JSON.

    Leading white space is legal: some upstreams send it to keep the connection alive.
    """
    try:
        reply = _decode(raw.strip())
    except UNREADABLE:
        what = "a body that is not a JSON object" if raw.strip() else "an empty body"
        raise failure_of_nothing(provider, what) from None
    if reply.error is not None:
        raise failure_of_error(provider, reply.error)
    return reply


def read_completion(provider: str, raw: bytes, *, call_id: str, model: str) -> ChatAnswer:
    """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
    try:
        fit = decode_completion(raw)
    except UNREADABLE:
        return _misfit(provider, raw, call_id, model)
    if fit.error is None and fit.choices and fit.usage is not None:
        usage = fit.usage.usage()
        if fit.service_tier and usage is not None:
            usage = at_tier(usage, fit.service_tier)
        return ChatAnswer(raw, fit.id, usage)
    return _misfit(provider, raw, call_id, model)


def _misfit(provider: str, raw: bytes, call_id: str, model: str) -> ChatAnswer:
    """The same for a reply that is no plain answer of OpenAI's."""
    mend = partial(mend_completion, call_id=call_id, model=model)
    return read_choices(provider, raw, decode_completion, mend, "chat completion")


def read_choices(
    provider: str,
    raw: bytes,
    fits: Callable[[bytes], object],
    mend: Callable[[Any], Any],
    what: str,
) -> ChatAnswer:
    """Judge a reply with `choices`; raises UpstreamFailure when it is none, or no `what`.

    What `fits` cannot read is mended, and must fit then.
    """
    reply = read_reply(provider, raw)
    if not isinstance(reply.choices, list) or not reply.choices:
        raise failure_of_nothing(provider, "no choices")
    try:
        fits(raw)
    except UNREADABLE:
        try:
            raw = msgspec.json.encode(mend(_decode_any(raw.strip())))
            fits(raw)
        except (*UNREADABLE, AttributeError, TypeError):
            raise failure_of_nothing(provider, f"a reply that is no {what}") from None
    return ChatAnswer(
        raw=raw,
        request_id=reply.id if isinstance(reply.id, str) else None,
        usage=usage_in(reply),
    )


def usage_in(reply: Reply) -> Usage | None:
    """What a reply reports, and the service tier that it says it was served at."""
    usage = parse_usage(reply.usage) if reply.usage is not None else None
    return usage if usage is None or not reply.service_tier else at_tier(usage, reply.service_tier)
