"""Decoding of request bodies: what every inference route checks before it looks at a member."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from domain.errors import InvalidAmountError
from domain.pricing.money import parse_usd
from edge.asgi import ClientGoneError, header_of, read_body
from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi import Request

    from edge.errors import ApiError

NAME_CHARACTERS_MAX = 256
JSON_BYTES_MAX = 65_536
"""Largest body of a route that is not an inference route's, unless it says otherwise."""
JSON_TIMEOUT_S = 10.0
AMOUNT_CHARACTERS_MAX = 40
"""More than any amount has, and far fewer than would take long to read."""
T = TypeVar("T")

_BAD_ESCAPE = re.compile(
    rb"\\u(?:0000|[dD](?:[89abAB](?!..\\u[dD][c-fC-F])|[c-fC-F](?<!\\u[dD][89abAB]..\\u[dD].)))",
    re.DOTALL,
)
"""NUL, the first half of a pair without its second, and the second without its first."""
_MISSING = re.compile(r"Object missing required field `(.+)`")
_decode_any = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode
RAW_NULL = msgspec.Raw(b"null")


def decode_body(decode: Callable[[bytes], T], raw: bytes) -> T:
    """The body as a structure; raises ApiError 400 that names what is wrong and where."""
    try:
        if not raw.isascii():
            raw.decode()
        _refuse_bad_text(raw)
        return decode(raw)
    except msgspec.ValidationError as error:
        raise _wrong_member(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"The body is not valid JSON: {error}."
        raise bad_request("invalid_json", message) from None


def _wrong_member(told: str) -> ApiError:
    """A 400 that names the member, from what msgspec says: what is wrong, and the path to where."""
    message, _, where = told.partition(" - at `$")
    # A key of an object is the caller's own, and told as [...].
    param = where.rstrip("`").lstrip(".").partition("[...]")[0]
    missing = _MISSING.fullmatch(message)
    if missing:
        param = f"{param}.{missing[1]}" if param else missing[1]
        message = f"Missing required parameter: {param!r}. Send it."
        return bad_request("missing_required_parameter", message, param)
    if not param:
        return bad_request("invalid_type", f"{message}.")
    return bad_request("invalid_type", f"{message} at {param}.", param)


def _refuse_bad_text(raw: bytes) -> None:
    """NUL and lone surrogates are no text; both are legal in JSON escapes alone.

    The bytes are searched as they are: to decode a large body only for this would keep the event
    loop for a second.
    """
    if b"\\u" not in raw and b"\x00" not in raw:
        return
    # What follows an escaped backslash is no escape.
    escapes = raw.replace(rb"\\", b" ") if rb"\\" in raw else raw
    found = _BAD_ESCAPE.search(escapes)
    if b"\x00" in raw or (found is not None and found[0].endswith(b"0000")):
        message = "The text holds a NUL character (\\u0000): remove it."
        raise bad_request("invalid_text", message)
    if found is not None:
        message = "The text is not valid Unicode: it holds half a pair of surrogates."
        raise bad_request("invalid_text", message)


def amount_of(raw: bytes, name: str) -> int:
    """An amount of USD, written as a number or a text, in nano-USD, exactly.

    Raises ApiError 400, which names the member.
    """
    try:
        if len(raw) > AMOUNT_CHARACTERS_MAX:
            message = f"an amount has at most {AMOUNT_CHARACTERS_MAX} characters"
            raise InvalidAmountError(message)
        return parse_usd(_decode_text(raw) if raw.startswith(b'"') else raw.decode("ascii"))
    except (InvalidAmountError, UnicodeDecodeError) as error:
        raise bad_request("invalid_value", f"{name}: {error}.", name) from None


async def read_json(
    request: Request, decode: Callable[[bytes], T], *, bytes_max: int = JSON_BYTES_MAX
) -> T:
    """The body of a framework's route as a structure; raises ApiError 400, 408 or 413."""
    return decode_body(decode, await read_raw(request, bytes_max=bytes_max))


async def read_raw(request: Request, *, bytes_max: int) -> bytes:
    """The body of a framework's route as it came; raises ApiError 400, 408 or 413."""
    scope = request.scope
    try:
        return await read_body(
            scope,
            header_of(scope, b"content-length"),
            request.receive,
            bytes_max=bytes_max,
            timeout_s=JSON_TIMEOUT_S,
        )
    except ClientGoneError:
        message = "The client hung up before its request was complete."
        raise bad_request("client_gone", message) from None


def check_model(model: str) -> None:
    """A model must be named, by a name that can be one; raises ApiError 400."""
    if not model:
        message = "model is empty: GET /v1/models lists what there is."
        raise bad_request("missing_model", message, "model")
    check_names([model], "model")


def check_names(names: Sequence[str], param: str) -> None:
    """Names of models and providers are kept and repeated, so they are short; raises ApiError 400.

    None that exists is near the maximum.
    """
    if any(len(each) > NAME_CHARACTERS_MAX for each in names):
        message = f"{param} holds a name of more than {NAME_CHARACTERS_MAX} characters."
        raise bad_request("invalid_value", message, param)


def check_range(param: str, value: int | None, most: int, *, called: str = "") -> None:
    """A count, where it is given, lies between 1 and a maximum; raises ApiError 400 of a `param`.

    `called` is what it counts, where it is no member's own value.
    """
    if value is not None and not 1 <= value <= most:
        message = f"{called or param} must be between 1 and {most}."
        raise bad_request("invalid_value", message, param)


def utf8_size(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def replaced_member(raw: bytes, members: dict[str, msgspec.Raw], name: str, value: str) -> bytes:
    """A body with another text for one of its members, and every other byte as it was sent.

    `members` are the body's own. Where one of them stands twice, so that only the last counts,
    each is written once.
    """
    encoded = msgspec.json.encode(value)
    place = _place_of(raw, members, name)
    if place is None:
        return msgspec.json.encode({**members, name: msgspec.Raw(encoded)})
    return raw[:place] + encoded + raw[place + len(members[name]) :]


def _place_of(raw: bytes, members: dict[str, msgspec.Raw], name: str) -> int | None:
    """Where the value of a member begins: all members are walked through in their order."""
    found, at = None, _BEFORE_MEMBERS.match(raw)
    end = at.end() if at else 0
    for each, value in members.items():
        key = _KEY.match(raw, end)
        if key is None or not raw.startswith(bytes(value), key.end()):
            return None
        if each == name:
            found = key.end()
        end = key.end() + len(value)
    return found if _AFTER_MEMBERS.match(raw, end) else None


_BEFORE_MEMBERS = re.compile(rb"\s*\{")
_KEY = re.compile(rb'\s*,?\s*"(?:[^"\\]|\\.)*"\s*:\s*')
_AFTER_MEMBERS = re.compile(rb"\s*\}\s*\Z")

decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_any = _decode_any
