"""What is answered to requests that no endpoint gets to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from command_api.front.limits import HEADERS_MAX, PIPELINED_MAX, URL_BYTES_MAX
from edge.envelopes import ANTHROPIC, envelope_of
from edge.errors import ApiError, unavailable
from event_store.ids import new_uuid7_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.asgi import Header


def malformed() -> ApiError:
    """A 400 for what cannot be parsed."""
    return ApiError(400, "malformed_request", "What was sent is not HTTP/1.1: look at the client.")


def too_many_pipelined() -> ApiError:
    """A 400 for more requests in a row than may wait."""
    message = f"More than {PIPELINED_MAX} requests wait on this connection: read the answers first."
    return ApiError(400, "too_many_pipelined", message)


def url_too_long() -> ApiError:
    """A 414 that names the limit."""
    message = f"The URL is longer than {URL_BYTES_MAX} bytes: what is long belongs in the body."
    return ApiError(414, "url_too_long", message)


def headers_too_large(bytes_max: int) -> ApiError:
    """A 431 that names the limit."""
    message = f"The headers are larger than {bytes_max} bytes: send fewer, or shorter ones."
    return ApiError(431, "headers_too_large", message)


def too_many_headers() -> ApiError:
    """A 431 for their number."""
    message = f"There are more than {HEADERS_MAX} headers: send fewer."
    return ApiError(431, "too_many_headers", message)


def headers_too_slow(timeout_s: float) -> ApiError:
    """A 408: nothing of a call has begun."""
    message = f"The headers did not arrive within {timeout_s:g} s: send the request again."
    return ApiError(408, "headers_timeout", message)


def too_many_connections() -> ApiError:
    """A 503: every connection that this process may have waits for an answer."""
    message = "As many connections as this process may have wait for their answers: try again."
    return unavailable("too_many_connections", message)


def too_many_bodies() -> ApiError:
    """A 503: the requests under way hold all that this process may keep of bodies."""
    message = (
        "The requests under way fill the room for large bodies. Nothing was charged: try again."
    )
    return unavailable("too_many_bodies", message)


def refusal(error: ApiError, url: bytes, headers: Iterable[Header]) -> bytes:
    """The last response of a connection, in the envelope of the path that was asked for."""
    envelope = envelope_of(url.partition(b"?")[0].decode("latin-1"))
    request_id = new_uuid7_text()
    status, body = envelope.status(error), envelope.body(error, request_id)
    more = {
        **error.headers,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
    }
    if envelope is ANTHROPIC:
        more["request-id"] = request_id
    lines = [b"%b: %b\r\n" % each for each in headers]
    lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in more.items()]
    return b"%b%b\r\n%b" % (STATUS_LINE[status], b"".join(lines), body)
