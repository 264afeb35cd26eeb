"""Calls that would be refused are refused before anything is made of them: ADR 0037.

Only where the answer is sure: the key is known to the process, so its class is, and a call of that
class would find the queue full and nobody in it to take the place of. All others go the usual way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from command_api.shedding.queue import overloaded
from edge.asgi import JSON, Headers, ReplyHeaders, request_id_of
from event_store.ids import new_uuid7_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from command_api.shedding.queue import CallQueue
    from edge.asgi import Header
    from edge.caller import Caller
    from edge.envelopes import Envelope


class Shedding(Protocol):
    """What is asked of a route: its path, its errors' form, whether it has headers of its own."""

    @property
    def path(self) -> str:
        """Where it is."""
        ...

    @property
    def envelope(self) -> Envelope:
        """What its errors come in."""
        ...

    @property
    def take_headers(self) -> Any:
        """None where it has none."""
        ...


class EarlyRefusal:
    """Of one route."""

    def __init__(
        self,
        known: Callable[[bytes], Caller | None],
        queue: CallQueue,
        envelope: Envelope,
        *,
        api_keys: bool,
    ) -> None:
        """`known` is the caller of a header, without a lookup; `api_keys` may come in their own."""
        self._known, self._queue, self._envelope = known, queue, envelope
        self._api_keys = api_keys

    def __call__(self, headers: list[Header]) -> tuple[int, list[Header], bytes] | None:
        """Status, headers and body of the refusal; None for a call that goes on."""
        if not self._queue.full:
            return None
        asked = Headers({"headers": headers})
        if self._api_keys:
            asked.take_api_key(dict(headers).get(b"x-api-key", b""))
        caller = self._known(asked.authorization)
        if caller is None or not self._queue.sheds(caller.priority):
            return None
        envelope, error = self._envelope, overloaded()
        head = ReplyHeaders(envelope.id_headers)
        head.call_id = new_uuid7_text()
        head.request_id = request_id_of(asked.request_id, head.call_id)
        more = [(name.encode(), value.encode("latin-1")) for name, value in error.headers.items()]
        found = [(b"content-type", JSON), *head.listed(), *more]
        return envelope.status(error), found, envelope.body(error, head.request_id)


def early_refusals(
    known: Callable[[bytes], Caller | None], queue: CallQueue, routes: Iterable[Shedding]
) -> dict[str, EarlyRefusal]:
    """Those of all these routes, by their paths."""
    return {
        route.path: EarlyRefusal(
            known, queue, route.envelope, api_keys=route.take_headers is not None
        )
        for route in routes
    }
