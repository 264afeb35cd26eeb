"""The walk over the texts of a request or an answer, in whichever of the four APIs.

What is no text of a prompt stays as it is: names of models, roles and types, ids, addresses and
bytes of pictures, sealed thoughts. What a tool was given is the caller's own JSON, in which
everything is looked at: names of members and numbers as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Callable

    Take = Callable[[str], str]

DEPTH_MAX = 100
"""Most levels of lists and objects that are looked into."""
NO_TEXT = frozenset(
    {
        *("model", "type", "role", "object", "status", "name", "format", "detail", "effort"),
        *("id", "call_id", "item_id", "tool_call_id", "tool_use_id", "file_id", "container"),
        *("previous_response_id", "service_tier", "finish_reason", "stop_reason", "phase"),
        *("url", "image_url", "file_url", "file_data", "data", "media_type", "mime_type"),
        *("encrypted_content", "signature", "pattern", "$ref", "$schema", "obfuscation"),
    }
)
"""Members whose texts are none of a prompt; lists and objects in them are looked into."""
TOOL_GIVEN = frozenset({"input", "metadata"})
"""Members that are the caller's own JSON where they are an object."""
SCHEMA_GIVEN = frozenset({"default", "const", "enum", "examples"})
"""The same of a schema, where they are lists as well (JSON Schema, "Validation", 6.1 and 9)."""
JSON_TEXT = frozenset({"arguments", "partial_json"})
"""Members that are JSON written as a text."""
UNSEEN = frozenset({"logprobs", "top_logprobs"})


class TooDeepError(DomainError):
    """A body has more levels than are looked into."""


class Walk(NamedTuple):
    """What is done with texts, and with texts that are JSON."""

    text: Take
    json_text: Take
    given: Take | None = None
    """With texts of a tool's own JSON; None is as with any other."""

    def over(self, value: Any, depth: int = 0) -> Any:
        """The same with each of its texts taken; raises TooDeepError."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            _check(depth)
            return [self.over(each, depth + 1) for each in value]
        if isinstance(value, dict):
            _check(depth)
            said = _said_by(value)
            return {
                name: self._member(name, each, depth + 1, said=name == said)
                for name, each in value.items()
            }
        return value

    def _member(self, name: str, value: Any, depth: int, *, said: bool) -> Any:
        if name in UNSEEN:
            return value
        if isinstance(value, str):
            if name in NO_TEXT and not said:
                return value
            return self.json_text(value) if name in JSON_TEXT else self.text(value)
        if (name in TOOL_GIVEN and isinstance(value, dict)) or (
            name in SCHEMA_GIVEN and isinstance(value, dict | list)
        ):
            return everything(value, self.given or self.text, depth)
        return self.over(value, depth)


def _said_by(value: dict[str, Any]) -> str | None:
    """The member that is a text here, though elsewhere one of its name is none.

    A document's plain text (Anthropic, "PDF support", plain text documents), and what somebody who
    takes part calls himself (OpenAI, "Create chat completion"); a function's name is its name.
    """
    if value.get("type") == "text" and "media_type" in value:
        return "data"
    return "name" if "role" in value and value["role"] != "function" else None


def everything(value: Any, take: Take, depth: int = 0) -> Any:
    """The same with each text, name and number taken; a number that is changed becomes a text.

    Raises TooDeepError.
    """
    if isinstance(value, str):
        return take(value)
    if isinstance(value, list):
        _check(depth)
        return [everything(each, take, depth + 1) for each in value]
    if isinstance(value, dict):
        _check(depth)
        return {take(name): everything(each, take, depth + 1) for name, each in value.items()}
    if isinstance(value, bool) or value is None:
        return value
    written = str(value)
    taken = take(written)
    return value if taken == written else taken


def _check(depth: int) -> None:
    if depth >= DEPTH_MAX:
        message = f"a body has more than {DEPTH_MAX} levels"
        raise TooDeepError(message)
