"""The pictures of a prompt, in whichever of the four APIs, as addresses that a model may be sent.

Source of the parts: OpenAI's OpenAPI document, version 2.3.0 (chat's `image_url`, Responses'
`input_image`), and Anthropic's "Vision" (`image` with a `source`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.guardrails.walking import DEPTH_MAX, TooDeepError

if TYPE_CHECKING:
    from collections.abc import Iterator


def pictures_of(value: Any, depth: int = 0) -> Iterator[str | None]:
    """Each picture's address, `data:` or other; None for one that only its provider can find.

    Raises TooDeepError.
    """
    if depth > DEPTH_MAX:
        message = f"a body has more than {DEPTH_MAX} levels"
        raise TooDeepError(message)
    if isinstance(value, list):
        for each in value:
            yield from pictures_of(each, depth + 1)
    elif isinstance(value, dict):
        kind = value.get("type")
        if kind in ("image_url", "input_image"):
            yield _address(value.get("image_url"))
        elif kind == "image" and "source" in value:
            yield _source(value["source"])
        else:
            for each in value.values():
                yield from pictures_of(each, depth + 1)


def _address(given: Any) -> str | None:
    """Chat has an object there, Responses a text; a file's id is none."""
    if isinstance(given, dict):
        given = given.get("url")
    return given if isinstance(given, str) and given else None


def _source(given: Any) -> str | None:
    if not isinstance(given, dict):
        return None
    if given.get("type") == "base64":
        kind, data = given.get("media_type"), given.get("data")
        if isinstance(kind, str) and isinstance(data, str):
            return f"data:{kind};base64,{data}"
        return None
    return _address(given)
