"""A whole image, where a stream of its events was asked for: it is told as their last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from providers.inference.adapters.whole_reply import WholeReply
from providers.inference.port import Operation, UpstreamBrokenError

if TYPE_CHECKING:
    from providers.inference.port import UpstreamReply

NAMES = {
    Operation.IMAGES: "image_generation.completed",
    Operation.IMAGE_EDITS: "image_edit.completed",
}
"""The last event of each operation (OpenAI, "Create image", "Create image edit")."""
TOLD = ("size", "quality", "background", "output_format", "usage")
"""What an answer says beside its images, and the event too."""


class WholeImages(WholeReply):
    """An image as an event."""

    def __init__(self, reply: UpstreamReply, operation: Operation) -> None:
        """`operation` is what was asked for."""
        super().__init__(reply)
        self._name = NAMES[operation]

    def _events(self, raw: bytes, kind: bytes) -> list[dict[str, Any]]:
        del kind
        try:
            body = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = None
        if not isinstance(body, dict):
            message = "what is no image"
            raise UpstreamBrokenError(message)
        if body.get("error") is not None:
            return [{"error": body["error"]}]
        data = body.get("data")
        if not (isinstance(data, list) and data and isinstance(data[0], dict)):
            message = "no image"
            raise UpstreamBrokenError(message)
        about = {name: body[name] for name in TOLD if body.get(name) is not None}
        return [{**data[0], **about, "type": self._name, "created_at": body.get("created", 0)}]
