"""What an upstream's answer means for the caller, in one table.

429 stays 429 with its Retry-After; 400, 404, 413 and 422 stay; the provider's 401, 402 and 403
are ours to mend and become 502, never the caller's; 5xx and errors without a code become 502,
503 or 504. Errors inside HTTP 200 count as failures of the same kind.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.error_objects import details_of, message_of, status_of
from command_api.replies.retry_after import retry_after_s
from command_api.replies.shapes import UNREADABLE
from domain.overload.upstream import Backoff
from edge.errors import (
    INVALID_REQUEST,
    RATE_LIMIT,
    RETRY_AFTER_S,
    SERVER,
    UPSTREAM,
    ApiError,
)
from providers.inference.port import (
    UnsupportedError,
    UpstreamBusyError,
    UpstreamConnectError,
    UpstreamError,
    UpstreamTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


MESSAGE_CHARACTERS_MAX = 2_000
HIDDEN = "[hidden]"
"""What a caller reads in place of a key of ours."""

KEPT = frozenset({400, 404, 413, 422, 429})
STATUS_OF: dict[int, int] = {
    HTTPStatus.REQUEST_TIMEOUT: 504,
    HTTPStatus.SERVICE_UNAVAILABLE: 503,
    HTTPStatus.GATEWAY_TIMEOUT: 504,
    529: 503,
}
"""Other upstream statuses that do not become 502."""
CODES: dict[int, str] = {
    400: "upstream_bad_request",
    404: "upstream_not_found",
    413: "upstream_request_too_large",
    422: "upstream_unprocessable",
    429: "upstream_rate_limited",
    502: "upstream_error",
    503: "upstream_unavailable",
    504: "upstream_timeout",
}
OURS_TO_MEND = frozenset({401, 402, 403})
PROVIDERS_BUSY = "providers_busy"
TOO_MUCH = frozenset({429, 503, 529})
"""Upstream statuses that ask for fewer calls."""
BAD_KEY = re.compile(
    r"(incorrect|invalid|expired|missing|no|wrong)\s+(x-)?api[ _-]?key"
    r"|api[ _-]?key\s+(is\s+)?(not\s+valid|invalid|expired|missing|not\s+found)"
    r"|API_KEY_INVALID",
    re.IGNORECASE,
)
"""How providers say with 400 that our key is wrong (measured: xAI, Gemini)."""


_MEMBER = re.compile(r"([a-z_]+): ")
"""What cannot be done is told behind the member that asks for it."""
_decode_any = msgspec.json.Decoder().decode


class UpstreamFailure(Exception):
    """An attempt that gave the caller nothing, or that broke off in the middle.

    `status` is the upstream's own, if any. `code` goes into the attempt's record; neither it nor
    `said` holds text of the prompt. `skipped` means that the provider was never asked, for it has
    no way to do it. `retry_after_s` is the wait that the provider asked for, in seconds.
    """

    def __init__(
        self,
        said: str,
        told: Told,
        *,
        status: int | None,
        code: str,
        retry_after_s: int | None = None,
        skipped: bool = False,
    ) -> None:
        """`said` is the message, without what it means for the charge; `told` is the rest.

        `said` may quote the provider: `hide` what it must not tell before anybody reads it.
        """
        super().__init__(code)
        self.said, self.told = said, told
        self.status, self.code = status, code
        self.retry_after_s, self.skipped = retry_after_s, skipped

    def hide(self, secrets: Iterable[str]) -> None:
        """Take our own keys out of the message, however the provider came to quote them."""
        for secret in secrets:
            self.said = self.said.replace(secret, HIDDEN)

    @property
    def error(self) -> ApiError:
        """The refusal of a call that gave no output: nothing is charged for it."""
        after = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        return ApiError(
            self.told.status,
            self.told.code,
            self._message("Nothing was charged"),
            kind=self.told.kind,
            param=self.told.param,
            headers=after,
        )

    @property
    def error_in_stream(self) -> ApiError:
        """The same for a stream that had output, which is charged."""
        message = self._message("What was made is charged")
        return ApiError(self.told.status, self.told.code, message, kind=UPSTREAM)

    def _message(self, charge: str) -> str:
        again = ": try again" if self.told.again else ""
        return f"{self.said[:MESSAGE_CHARACTERS_MAX]}. {charge}{again}."


class Told(NamedTuple):
    """What the caller is told beside the message; `again` where trying once more may help."""

    status: int
    code: str
    kind: str = UPSTREAM
    again: bool = False
    param: str | None = None


def failure_of_status(
    provider: str, status: int | None, body: Any, headers: Mapping[bytes, bytes] | None = None
) -> UpstreamFailure:
    """The failure for an upstream's error status (None: an error without one)."""
    said = message_of(body)
    if status == HTTPStatus.BAD_REQUEST and (BAD_KEY.search(said or "") or _names_bad_key(body)):
        status = 401
    ours = 502
    if status is not None:
        ours = status if status in KEPT else STATUS_OF.get(status, 502)
    after = retry_after_s(headers or {}, body) if ours in (429, 503) else None
    if status in OURS_TO_MEND:
        text = f"{provider} refused this gateway's own credentials or funds; yours are fine"
    else:
        text = f"{provider} answered {status or 'with an error'}"
        text += f": {said}" if said else ""
    kind = {400: INVALID_REQUEST, 404: INVALID_REQUEST, 413: INVALID_REQUEST}.get(ours, UPSTREAM)
    if ours in (422, 429):
        kind = RATE_LIMIT if ours == 429 else INVALID_REQUEST
    return UpstreamFailure(
        text,
        Told(ours, CODES[ours], kind),
        status=status,
        code=f"status_{status}" if status else "error",
        retry_after_s=after,
    )


def _names_bad_key(body: Any) -> bool:
    """Whether Gemini's error details say that the key is wrong."""
    return any(each.get("reason") == "API_KEY_INVALID" for each in details_of(body))


def failure_of_body(
    provider: str, status: int, raw: bytes, headers: Mapping[bytes, bytes]
) -> UpstreamFailure:
    """The failure for a reply with an error status; its body may be anything."""
    try:
        body = _decode_any(raw)
    except UNREADABLE:
        body = raw.decode("utf-8", "replace").strip()
    return failure_of_status(provider, status, body, headers)


def failure_of_error(provider: str, error: Any) -> UpstreamFailure:
    """The failure for an error inside HTTP 200, in a body or a chunk."""
    return failure_of_status(provider, status_of(error), error)


def failure_of_exception(provider: str, error: UpstreamError) -> UpstreamFailure:
    """The failure for an attempt that broke below HTTP."""
    if isinstance(error, UnsupportedError):
        text = f"{provider} cannot do what was asked: {error}"
        member = _MEMBER.match(str(error))
        param = member[1] if member else None
        told = Told(400, "unsupported_by_provider", INVALID_REQUEST, param=param)
        return UpstreamFailure(text, told, status=None, code=error.code, skipped=True)
    if isinstance(error, UpstreamBusyError):
        return _full(provider, error.code)
    if isinstance(error, UpstreamTimeoutError):
        status, text = 504, f"{provider} took too long"
    elif isinstance(error, UpstreamConnectError):
        status, text = 503, f"{provider} could not be reached"
    else:
        status, text = 502, f"{provider} broke its reply off"
    told = Told(status, CODES[status], again=True)
    return UpstreamFailure(text, told, status=None, code=error.code)


def failure_of_full_providers(providers: Iterable[str]) -> UpstreamFailure:
    """The failure for a call whose providers all had as many calls of ours as they take."""
    return _full(", ".join(providers), PROVIDERS_BUSY)


def _full(providers: str, code: str) -> UpstreamFailure:
    text = f"{providers} had no room for another call within the time for that"
    told = Told(503, "providers_busy", SERVER, again=True)
    return UpstreamFailure(
        text, told, status=None, code=code, retry_after_s=RETRY_AFTER_S, skipped=True
    )


def had_too_much(failure: UpstreamFailure) -> Backoff | None:
    """Whether a failure says that its provider gets more calls than it can serve."""
    if failure.status in TOO_MUCH:
        return Backoff.REFUSED
    return Backoff.SLOW if failure.code == UpstreamTimeoutError.code else None


def failure_of_nothing(provider: str, what: str) -> UpstreamFailure:
    """The failure for HTTP 200 with nothing usable in it."""
    told = Told(502, CODES[502], again=True)
    return UpstreamFailure(
        f"{provider} answered 200 with {what}", told, status=200, code="unusable_reply"
    )


def failure_of_no_stream(provider: str, raw: bytes) -> UpstreamFailure:
    """The failure of a body that came in the place of a stream."""
    try:
        body: Any = msgspec.json.decode(raw)
    except UNREADABLE:
        body = None
    if isinstance(body, dict) and body.get("error"):
        return failure_of_error(provider, body["error"])
    return failure_of_nothing(provider, "no stream")
