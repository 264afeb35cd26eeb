"""How an attempt asks its provider: with a body, or with a form where it takes those."""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.calls.beside.own_keys import upstream_of
from providers.inference.port import Form, TakesForms, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from command_api.calls.call import Attempt, Call
    from providers.inference.port import Operation, Upstream, UpstreamReply
    from providers.inference.registry.registry import Registry


def open_upstream(
    registry: Registry, call: Call, attempt: Attempt, *, stream: bool
) -> Awaitable[UpstreamReply]:
    """Ask an offer's provider; raises UpstreamError, also at once.

    Whoever gets the reply releases it.
    """
    offer = attempt.offer
    provider = registry.providers[offer.provider]
    limit = call.output_limit(provider)
    attempt.limit = call.answer_limit(limit)
    asked = call.request.at(provider, offer)
    body = asked.upstream_body(offer, provider, max_tokens=limit)
    upstream = upstream_of(registry, call.caller, offer)
    if isinstance(body, Form):
        return _send_form(provider.name, upstream, asked.operation, body, stream=stream)
    return upstream.send(asked.operation, body, stream=stream)


def _send_form(
    name: str, upstream: Upstream, operation: Operation, form: Form, *, stream: bool
) -> Awaitable[UpstreamReply]:
    if not isinstance(upstream, TakesForms):
        message = f"{name} has no {operation}"
        raise UnsupportedError(message)
    return upstream.send_form(operation, form, stream=stream)
