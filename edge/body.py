"""Decoding of request bodies: what every inference route checks before it looks at a member."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME_CHARACTERS_MAX = 256
T = TypeVar("T")

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_decode_any = msgspec.json.Decoder().decode
RAW_NULL = msgspec.Raw(b"null")


def decode_body(decode: Callable[[bytes], T], raw: bytes) -> T:
    """The body as a structure; raises ApiError 400 that names what is wrong and where."""
    try:
        if not raw.isascii():
            raw.decode()
        if _SUSPECT.search(raw) or b"\x00" in raw:
            _refuse_bad_text(raw)
        return decode(raw)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        param = where.rstrip("`").lstrip(".") or None
        raise bad_request(
            "invalid_type", f"{message}{f' at {param}' if param else ''}.", param
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"The body is not valid JSON: {error}."
        raise bad_request("invalid_json", message) from None


def _refuse_bad_text(raw: bytes) -> None:
    """NUL and lone surrogates are no text; both are legal in JSON escapes alone."""

    def walk(value: Any) -> None:
        if isinstance(value, str):
            if "\x00" in value:
                message = "The text holds a NUL character (\\u0000): remove it."
                raise bad_request("invalid_text", message)
            value.encode()
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(key)
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    try:
        walk(_decode_any(raw))
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        message = f"The text is not valid Unicode: {error}."
        raise bad_request("invalid_text", message) from None


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


def check_range(name: str, value: int | None, most: int) -> None:
    """A count, where it is given, lies between 1 and a maximum; raises ApiError 400."""
    if value is not None and not 1 <= value <= most:
        message = f"{name} must be between 1 and {most}."
        raise bad_request("invalid_value", message, name)


def utf8_size(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_any = _decode_any
