"""The items of a Responses body, and how many tokens they can be (money rule 2).

An item or part that is known, and has no member that is not, is measured by what it says; any other
by its bytes, as they were sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.operations.measured import Sums
from command_api.operations.prompts import (
    BASE64_BYTES_PER_AUDIO_MINUTE,
    known,
)
from domain.images.sizes import picture_of_url
from domain.pricing.usage import estimate_tokens
from edge.body import RAW_NULL, utf8_size
from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable


PARTS_MAX = 100_000
"""Most parts in all items of a body."""
ID_BYTES_MAX = 256
"""A longer id is text."""


class _Item(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    id: str | None = None
    status: str | None = None


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    content: str | list[msgspec.Raw]
    type: str = "message"
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class _Call(_Item, tag="function_call"):
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class _Output(_Item, tag="function_call_output"):
    call_id: str = ""
    output: str | list[msgspec.Raw] = ""


class _CustomCall(_Item, tag="custom_tool_call"):
    call_id: str = ""
    name: str = ""
    input: str = ""


class _CustomOutput(_Item, tag="custom_tool_call_output"):
    call_id: str = ""
    output: str | list[msgspec.Raw] = ""


class _Reasoning(_Item, tag="reasoning"):
    summary: list[msgspec.Raw] = []
    content: list[msgspec.Raw] | None = None
    encrypted_content: str | None = None


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    text: str | None = None
    refusal: str | None = None
    annotations: msgspec.Raw = RAW_NULL
    logprobs: msgspec.Raw = RAW_NULL
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: msgspec.Raw = RAW_NULL


Known = _Call | _Output | _CustomCall | _CustomOutput | _Reasoning
_decode_known = msgspec.json.Decoder(Known).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_part = msgspec.json.Decoder(_Part).decode
TEXTS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
_MEDIA = {
    "input_image": ("image_url", "file_id"),
    "input_file": ("file_data", "file_id", "file_url"),
}


class Measure(Sums):
    """Adds a prompt up."""

    def __init__(self) -> None:
        """Nothing was added."""
        super().__init__()
        self._parts = 0

    def item(self, raw: msgspec.Raw) -> None:
        """One item; raises ApiError 400 for more parts than may be."""
        self._messages += 1
        found = _item_of(raw)
        if found is None:
            self.others(len(raw))
            return
        if any(text and len(text) > ID_BYTES_MAX for text in (found.id, found.status)):
            self.others(len(raw))
        if isinstance(found, _Message):
            if len(found.role) + len(found.type) + len(found.phase or "") > ID_BYTES_MAX:
                self.others(len(raw))
            self.content(found.content)
        elif isinstance(found, _Reasoning):
            self.content(found.summary)
            self.content(found.content or [])
            self.others(len(found.encrypted_content or ""))
        elif isinstance(found, _Output | _CustomOutput):
            self.said(found.call_id[ID_BYTES_MAX:])
            self.content(found.output)
        else:
            self.said(found.call_id[ID_BYTES_MAX:])
            self.said(found.name)
            self.said(found.arguments if isinstance(found, _Call) else found.input)

    def content(self, content: str | Iterable[msgspec.Raw]) -> None:
        """A text, or parts."""
        if isinstance(content, str):
            self.said(content)
            return
        for part in content:
            self._parts += 1
            if self._parts > PARTS_MAX:
                message = f"input holds more than {PARTS_MAX} parts."
                raise bad_request("too_many_parts", message, "input")
            self._part(part)

    def said(self, text: str) -> None:
        """A text."""
        self._text += utf8_size(text)
        self._tokens += estimate_tokens(text)

    def message(self, text: str) -> None:
        """A text that is a message of its own."""
        self._messages += 1
        self.said(text)

    def _part(self, raw: msgspec.Raw) -> None:
        try:
            part = _decode_part(raw)
        except msgspec.DecodeError:
            self.others(len(raw))
            return
        if part.type == "input_image":
            self._images += 1
            # A file's id beside a URL: nobody knows which of them is read.
            url = "" if part.file_id else part.image_url or ""
            self._pictures += known(picture_of_url(url, part.detail or ""))
        elif part.type == "input_file":
            self._files += 1
        elif part.type == "input_audio":
            self._minutes += 1 + len(part.input_audio) // BASE64_BYTES_PER_AUDIO_MINUTE
        elif part.type not in TEXTS and part.type != "refusal":
            self.others(len(raw))
            return
        self.said(part.text or "")
        self.said(part.refusal or "")
        self.said((part.filename or "")[ID_BYTES_MAX:])
        self.raw(part.annotations, part.logprobs)
        self._foreign(part)

    def _foreign(self, part: _Part) -> None:
        """What belongs to parts of another type is measured by its bytes."""
        own = _MEDIA.get(part.type, ())
        for name in ("image_url", "file_data", "file_id", "file_url"):
            text = getattr(part, name)
            if text and name not in own:
                self.others(len(text))
        if part.input_audio is not RAW_NULL and part.type != "input_audio":
            self.others(len(part.input_audio))


def _item_of(raw: msgspec.Raw) -> Any:
    for decode in (_decode_message, _decode_known):
        try:
            found = decode(raw)
        except msgspec.DecodeError:
            continue
        if not isinstance(found, _Message) or found.type == "message":
            return found
    return None
