"""Errors that callers see, and the envelopes they come in.

ApiError carries a status, a stable code and a message that says what to do. Under /v1 it is
written in OpenAI's envelope, elsewhere as {"detail", "code"}.
"""

from __future__ import annotations

from typing import Any

import msgspec

INVALID_REQUEST = "invalid_request_error"
AUTHENTICATION = "authentication_error"
INSUFFICIENT_QUOTA = "insufficient_quota"
UPSTREAM = "upstream_error"
SERVER = "server_error"
RATE_LIMIT = "rate_limit_error"
PERMISSION = "permission_error"

RETRY_AFTER_S = 2


class ApiError(Exception):
    """One refusal."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = INVALID_REQUEST,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """`extra` are more members of the error object, such as amounts."""
        super().__init__(message)
        self.status, self.code, self.message, self.kind = status, code, message, kind
        self.param, self.headers, self.extra = param, headers or {}, extra or {}

    def openai(self) -> bytes:
        """OpenAI's envelope."""
        return msgspec.json.encode(
            {
                "error": {
                    "message": self.message,
                    "type": self.kind,
                    "param": self.param,
                    "code": self.code,
                    **self.extra,
                }
            }
        )

    def plain(self) -> bytes:
        """The envelope outside /v1."""
        return msgspec.json.encode({"detail": self.message, "code": self.code, **self.extra})


def sentence(error: Exception) -> str:
    """What a domain's error says, as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def bad_request(code: str, message: str, param: str | None = None) -> ApiError:
    """A 400 for input that cannot be used."""
    return ApiError(400, code, message, param=param)


def unavailable(code: str, message: str, *, kind: str = SERVER) -> ApiError:
    """A 503 for what is away for a moment, with the time after which to try again."""
    after = {"retry-after": str(RETRY_AFTER_S)}
    return ApiError(503, code, message, kind=kind, headers=after)


def ledger_unavailable() -> ApiError:
    """A 503: no hold can be placed, so no call is made (P10, P12)."""
    message = "The ledger cannot be reached, so the call was not made. Nothing was charged: "
    return unavailable("ledger_unavailable", message + "try again.")


def invalid_key(message: str) -> ApiError:
    """A 401, with the cure."""
    return ApiError(401, "invalid_api_key", message, kind=AUTHENTICATION)


def internal_error(*, charged: bool = False) -> ApiError:
    """A 500: a defect of ours. `charged` says that it came after the charge, or after output."""
    charge = "What was made is charged." if charged else "Nothing was charged: try again."
    message = f"Something went wrong in the gateway. {charge}"
    return ApiError(500, "internal_error", message, kind=SERVER)


def gateway_stopping(*, charged: bool = False) -> ApiError:
    """A 503: the process ends, and the call with it; `charged` as for a defect."""
    charge = "What was made is charged." if charged else "Nothing was charged: try again."
    return unavailable("gateway_stopping", f"The gateway stops before the call is done. {charge}")


def too_large(limit: int) -> ApiError:
    """A 413 that names the limit."""
    message = f"The body is larger than {limit} bytes. Send less text, or smaller images."
    return ApiError(413, "request_too_large", message)


def file_too_large(limit: int, param: str) -> ApiError:
    """A 413 for a file of a form; it names the limit and the field."""
    message = (
        f"The field `{param}` holds more than {limit} bytes. Nothing was charged: send a smaller "
        "file, or its parts one by one."
    )
    return ApiError(413, "request_too_large", message, param=param)
