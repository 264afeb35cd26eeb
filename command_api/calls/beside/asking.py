"""How an attempt asks its provider: with a body, or with a form where it takes those."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from command_api.calls.beside.own_keys import upstream_of
from providers.inference.port import Form, TakesForms, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from command_api.calls.call import Attempt, Call
    from command_api.operations.request import (
        AskedInForm,
        AskedStreamed,
        AskedWhole,
        BoundRequest,
        InferenceRequest,
    )
    from providers.inference.port import Operation, Upstream, UpstreamReply
    from providers.inference.registry.offers import Model
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
    asked = _asked_at(registry, call, offer)
    body = asked.upstream_body(offer, provider, max_tokens=limit)
    upstream = upstream_of(registry, call.caller, offer)
    if isinstance(body, Form):
        return _send_form(provider.name, upstream, asked.operation, body, stream=stream)
    return upstream.send(asked.operation, body, stream=stream)


def asked_whole(registry: Registry, call: Call, offer: Model) -> AskedWhole:
    """The form in which an offer is asked for an answer that comes whole."""
    asked = _asked_at(registry, call, offer)
    assert _answers_whole(asked), "an operation without whole answers is always streamed"
    return asked


def asked_streamed(registry: Registry, call: Call, offer: Model) -> AskedStreamed:
    """The form in which an offer is asked for a stream."""
    asked = _asked_at(registry, call, offer)
    assert _answers_streamed(asked), "a stream is asked only of operations that have one"
    return asked


def _asked_at(registry: Registry, call: Call, offer: Model) -> AskedInForm:
    request = call.request
    assert _is_sent(request), "a session has no body: it is not asked here"
    return request.at(registry.providers[offer.provider], offer)


def _is_sent(request: BoundRequest) -> TypeGuard[InferenceRequest]:
    """Whether a request is sent to providers as a body."""
    return hasattr(request, "at")


def _answers_whole(asked: AskedInForm) -> TypeGuard[AskedWhole]:
    """Whether answers in a form may come whole."""
    return hasattr(asked, "judge")


def _answers_streamed(asked: AskedInForm) -> TypeGuard[AskedStreamed]:
    """Whether answers in a form may come as streams."""
    return hasattr(asked, "scanner")


def _send_form(
    name: str, upstream: Upstream, operation: Operation, form: Form, *, stream: bool
) -> Awaitable[UpstreamReply]:
    if not isinstance(upstream, TakesForms):
        message = f"{name} has no {operation}"
        raise UnsupportedError(message)
    return upstream.send_form(operation, form, stream=stream)
