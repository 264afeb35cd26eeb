"""Reads a stream of completions as it passes, and one of chat for a caller of completions.

Both are read as chat's are (`replies/sse`): lines pass as they came, or as what they become. A
caller who asked for usage is told it in any case, by our own count where the provider gave none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from command_api.replies.own_count import answer_tokens, lines_within
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.sse import CHAT, DONE, Form, StreamScanner
from command_api.replies.texts.mending import mend_text_chunk
from command_api.replies.texts.shapes import decode_text_chunk
from command_api.replies.told import tell
from providers.inference.adapters.texts.of_chat import TextChunks
from providers.inference.adapters.translation import ODD, decode_object, encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from command_api.replies.scanning import Paid
    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model

TEXTS = Form(decode_text_chunk, mend_text_chunk)
ALIVE = b": alive\n\n"
"""What a chunk becomes that tells nothing of the text, such as one of reasoning."""


class TextScanner(StreamScanner):
    """A scanner of chunks of completions (`replies/scanning`)."""

    __slots__ = ("_echoed",)

    def __init__(
        self,
        offer: Model,
        call_id: str,
        charge: Callable[[Usage], tuple[Usage, int]],
        *,
        keep_usage: bool,
        echoed: int = 0,
        form: Form = TEXTS,
    ) -> None:
        """`echoed` is our own count of the prompts that stand before what is made, in tokens."""
        super().__init__(
            keep_usage=keep_usage,
            call_id=call_id,
            model=offer.id,
            full_name=offer.public_id,
            charge=charge,
            form=form,
        )
        self._echoed = echoed

    @property
    def output_tokens(self) -> int:
        """Our own count of what was made."""
        return max(0, super().output_tokens - self._echoed)

    @property
    def answer_tokens(self) -> int:
        """The same without reasoning."""
        return max(0, super().answer_tokens - self._echoed)

    def within(self, out: bytes, most: int) -> bytes:
        """Of the last output, what lies within so many tokens of answer altogether."""
        before = self.answer_tokens - answer_tokens(out, decode_text_chunk)
        return lines_within(out, most - before, decode_text_chunk)

    def ending(self, paid: Paid) -> bytes:
        """The end of a stream that ended by itself, with its usage where that was not told."""
        return self._last_usage(paid) + DONE

    def cut_short(self, paid: Paid) -> bytes:
        """The end of a stream that has reached its maximum."""
        choice = {"text": "", "index": 0, "logprobs": None, "finish_reason": "length"}
        return _line(self._own([choice])) + self._last_usage(paid) + DONE

    def _last_usage(self, paid: Paid) -> bytes:
        if not self._keep_usage or self.usage is not None:
            return b""
        return b"data: %b\n\n" % tell(encode(self._own([])), self._full.name, *paid())

    def _own(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        told = {"id": self.request_id, "choices": choices}
        return mend_text_chunk(told, call_id=self._call_id, model=self._full.name)


class TranslatedScanner(TextScanner):
    """A scanner of chunks of chat, whose output is completions' (`replies/scanning`)."""

    __slots__ = ("_texts",)

    def __init__(
        self,
        offer: Model,
        call_id: str,
        charge: Callable[[Usage], tuple[Usage, int]],
        *,
        keep_usage: bool,
        begin: int,
    ) -> None:
        """`begin` is the length of the prompt, characters."""
        super().__init__(offer, call_id, charge, keep_usage=keep_usage, form=CHAT)
        self._texts = TextChunks(begin)

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises StreamErrorChunk or BrokenStreamError."""
        return self._told(lambda: super(TranslatedScanner, self).feed(data))

    def end(self) -> bytes:
        """The provider's bytes are over; raises StreamErrorChunk or BrokenStreamError."""
        return self._told(super().end)

    def take_pending(self) -> bytes:
        """What was kept back before output, for a stream that ended without any."""
        return self._told(super().take_pending)

    def _told(self, read: Callable[[], bytes]) -> bytes:
        try:
            out = read()
        except (BrokenStreamError, StreamErrorChunk) as error:
            error.passed = self._translated(error.passed)
            raise
        return self._translated(out)

    def _translated(self, block: bytes) -> bytes:
        """Whole lines of chat's chunks as completions'."""
        made: list[bytes] = []
        try:
            for line in block.split(b"\n"):
                if line.startswith(b"data:"):
                    chunk = self._texts.chunk(decode_object(line[5:]))
                    made.append(ALIVE if chunk is None else _line(chunk))
                elif line.startswith(b":"):
                    made.append(line + b"\n\n")
        except (*ODD, msgspec.DecodeError) as error:
            message = f"a chunk of the stream cannot be translated: {error}"
            raise BrokenStreamError(message, b"".join(made)) from None
        return b"".join(made)


def _line(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % encode(chunk)
