"""Calls that would be refused are refused before anything is made of them: ADR 0037.

Only where the answer is sure: the key is known to the process, so its class is, and a call of that
class would find the queue full and nobody in it to take the place of. All others go the usual way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from command_api.shedding.queue import overloaded
from edge.asgi import JSON, NO_STORE, Headers, request_id_of
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
        self._known, self._queue = known, queue
        self._api_keys = api_keys
        error = overloaded()
        self._status = envelope.status(error)
        self._body: Callable[[str], bytes] = lambda request_id: envelope.body(error, request_id)
        ids = b"".join(b"%b: %%(id)b\r\n" % name for name in envelope.id_headers)
        more = "".join(f"{name}: {value}\r\n" for name, value in error.headers.items())
        self._lines = b"content-type: %b\r\n%b: %b\r\nx-gatewayz-call-id: %%(call)b\r\n%b%b" % (
            JSON,
            *NO_STORE,
            ids,
            more.encode("latin-1"),
        )

    def __call__(self, headers: list[Header]) -> tuple[int, bytes, bytes] | None:
        """Status, lines of headers and body of the refusal; None for a call that goes on."""
        if not self._queue.full:
            return None
        asked = Headers({"headers": headers})
        if self._api_keys:
            asked.take_api_key(dict(headers).get(b"x-api-key", b""))
        caller = self._known(asked.authorization)
        if caller is None or not self._queue.sheds(caller.priority):
            return None
        call_id = new_uuid7_text()
        request_id = request_id_of(asked.request_id, call_id)
        ids = {b"call": call_id.encode(), b"id": request_id.encode()}
        return self._status, self._lines % ids, self._body(request_id)


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
