"""The blocks of a Messages body, and how many tokens they can be (money rule 2).

A block that is known, and has no member that is not, is measured by what it says; any other by its
bytes, as they were sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from command_api.operations.measured import Sums
from command_api.operations.prompts import (
    IMAGE_SPARE_BYTES_MAX,
    head_of,
    known,
)
from domain.images.sizes import UNKNOWN, picture_of_base64
from domain.pricing.usage import estimate_tokens
from edge.body import RAW_NULL, utf8_size
from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.images.sizes import Picture

BLOCKS_MAX = 100_000
"""Most blocks in a body, those in results of tools with them."""
DEPTH_MAX = 4
"""So deep blocks may lie in blocks before their bytes are measured; Anthropic's lie at 2."""


class _Block(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    cache_control: msgspec.Raw = RAW_NULL


class _Text(_Block, tag="text"):
    text: str = ""
    citations: msgspec.Raw = RAW_NULL


class _Image(_Block, tag="image"):
    source: msgspec.Raw = RAW_NULL


class _Document(_Block, tag="document"):
    source: msgspec.Raw = RAW_NULL
    title: str | None = None
    context: str | None = None
    citations: msgspec.Raw = RAW_NULL


class _ToolUse(_Block, tag="tool_use"):
    id: str = ""
    name: str = ""
    input: msgspec.Raw = RAW_NULL
    caller: msgspec.Raw = RAW_NULL


class _ToolResult(_Block, tag="tool_result"):
    tool_use_id: str = ""
    content: str | list[msgspec.Raw] | None = None
    is_error: bool | None = None


class _Thinking(_Block, tag="thinking"):
    thinking: str = ""
    signature: str = ""


class _Redacted(_Block, tag="redacted_thinking"):
    data: str = ""


class _Source(msgspec.Struct):
    type: str = ""
    data: str = ""


class _ImageSource(msgspec.Struct):
    type: str = ""
    data: msgspec.Raw = RAW_NULL


Known = _Text | _Image | _Document | _ToolUse | _ToolResult | _Thinking | _Redacted
_decode_block = msgspec.json.Decoder(Known).decode
_decode_image_source = msgspec.json.Decoder(_ImageSource).decode
_decode_source = msgspec.json.Decoder(_Source).decode


def _picture(raw: msgspec.Raw) -> Picture:
    """What a source says of its image; nothing where it says anything else beside."""
    try:
        source = _decode_image_source(raw)
    except msgspec.DecodeError:
        return UNKNOWN
    if source.type != "base64" or len(raw) > len(source.data) + IMAGE_SPARE_BYTES_MAX:
        return UNKNOWN
    head, beyond = head_of(source.data)
    return picture_of_base64(head, beyond=beyond)


class Measure(Sums):
    """Adds a prompt up."""

    def __init__(self) -> None:
        """Nothing was added."""
        super().__init__()
        self._blocks = 0

    def message(self, content: str | Iterable[msgspec.Raw]) -> None:
        """A message, or the system prompt; raises ApiError 400 for more blocks than may be."""
        self._messages += 1
        self._content(content, 0)

    def _content(self, content: str | Iterable[msgspec.Raw], depth: int) -> None:
        if isinstance(content, str):
            self._said(content)
            return
        for block in content:
            self._blocks += 1
            if self._blocks > BLOCKS_MAX:
                message = f"messages hold more than {BLOCKS_MAX} blocks."
                raise bad_request("too_many_blocks", message, "messages")
            self._block(block, depth)

    def _said(self, text: str) -> None:
        self._text += utf8_size(text)
        self._tokens += estimate_tokens(text)

    def _block(self, raw: msgspec.Raw, depth: int) -> None:
        try:
            block = _decode_block(raw)
        except msgspec.DecodeError:
            self.others(len(raw))
            return
        if isinstance(block, _Text):
            self._said(block.text)
            self.raw(block.citations)
        elif isinstance(block, _Image):
            self._images += 1
            self._pictures += known(_picture(block.source))
        elif isinstance(block, _Document):
            self._document(block)
        elif isinstance(block, _ToolUse):
            self._said(block.name)
            self.raw(block.input)
        elif isinstance(block, _ToolResult):
            if depth >= DEPTH_MAX:
                self.others(len(raw))
            elif block.content:
                self._content(block.content, depth + 1)
        elif isinstance(block, _Thinking):
            self._said(block.thinking)
        else:
            self.others(len(block.data))

    def _document(self, block: _Document) -> None:
        for text in (block.title, block.context):
            self._said(text or "")
        try:
            source = _decode_source(block.source)
        except msgspec.DecodeError:
            source = _Source()
        if source.type == "text":
            self._said(source.data)
        elif source.type == "content":
            self.raw(block.source)
        else:
            self._files += 1
