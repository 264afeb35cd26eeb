"""For each operation the stream of a whole answer, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from command_api.replies.replayed import chat, messages, responses, texts
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from command_api.replies.replayed.parts import Object


class Form(NamedTuple):
    """`told` says a whole answer as a stream; `read` raises NotWholeError."""

    told: Callable[..., Iterator[bytes]]
    read: Callable[[bytes], Object]


FORMS = {
    Operation.CHAT: Form(chat.chunks, chat.completion),
    Operation.COMPLETIONS: Form(texts.chunks, texts.completion),
    Operation.MESSAGES: Form(messages.events, messages.message),
    Operation.RESPONSES: Form(responses.events, responses.response),
}
"""Of the operations that have streams; embeddings are only whole."""
