"""Reads a Chat Completions stream as it passes, without re-encoding it.

Lines go through as they came. Only three things are kept back: comments and chunks without
output before the first output (so that a failure can still be an honest status), the usage
chunk the caller did not ask for, and [DONE], which we write ourselves once the charge is
durable. Once output flows, a block without a suspicious word is passed on whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.conform import Chunk, Delta, decode_chunk, mend_chunk
from command_api.replies.usage_report import parse_usage
from domain.pricing.usage import estimate_tokens

if TYPE_CHECKING:
    from domain.pricing.usage import Usage

PENDING_BYTES_MAX = 1024 * 1024
LINE_BYTES_MAX = 16 * 1024 * 1024
UNCOUNTED_BYTES_MAX = 64 * 1024

_USAGE = b'"usage"'
_NO_USAGE = re.compile(rb'"usage"\s*:\s*null')
DONE = b"data: [DONE]\n\n"


_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


def _suspicious(block: bytes, at: int) -> int:
    """Where the next word stands that makes a line worth a look; -1 for nowhere.

    Three plain searches: one regular expression for all of them takes ten times as long.
    """
    usage = block.find(_USAGE, at)
    while usage >= 0 and _NO_USAGE.match(block, usage):
        usage = block.find(_USAGE, usage + len(_USAGE))
    found = (usage, block.find(b'"error"', at), block.find(b"[DONE]", at))
    return min((place for place in found if place >= 0), default=-1)


class BrokenStreamError(Exception):
    """The stream holds something that is not a chunk, or grew past a limit."""

    def __init__(self, message: str, passed: bytes = b"") -> None:
        """`passed` is what may be passed on before it."""
        super().__init__(message)
        self.passed = passed


class StreamErrorChunk(Exception):
    """The provider reported an error inside the stream; `error` is its error member."""

    def __init__(self, error: Any, passed: bytes) -> None:
        """Keep the provider's own error member, and what may be passed on before it."""
        super().__init__("error chunk")
        self.error, self.passed = error, passed


def _delta_texts(delta: Delta) -> list[str]:
    texts = [
        value
        for value in (delta.content, delta.reasoning or delta.reasoning_content, delta.refusal)
        if isinstance(value, str)
    ]
    for call in delta.tool_calls or ():
        if call.function is not None:
            texts += [each for each in (call.function.name, call.function.arguments) if each]
        elif call.custom is not None:
            texts += [value for value in call.custom.values() if isinstance(value, str)]
    if isinstance(delta.function_call, dict):
        texts += [value for value in delta.function_call.values() if isinstance(value, str)]
    return texts


def has_output(chunk: Chunk) -> bool:
    """Whether a chunk carries text, reasoning, a tool call, or any other made thing."""
    for choice in chunk.choices:
        delta = choice.delta
        if (
            delta.content
            or delta.reasoning
            or delta.reasoning_content
            or delta.reasoning_details
            or delta.refusal
            or delta.tool_calls
            or delta.function_call
            or delta.audio
            or delta.images
        ):
            return True
    return False


class StreamScanner:
    """Feed it what arrives; it returns what may be passed on."""

    __slots__ = (
        "_call_id",
        "_dropping",
        "_junction",
        "_keep_usage",
        "_model",
        "_pending",
        "_pending_bytes",
        "_prefix",
        "_rest",
        "_rest_of_line",
        "_suffix",
        "_uncounted",
        "done",
        "finished",
        "output_tokens",
        "request_id",
        "started",
        "uncounted_bytes",
        "usage",
    )

    def __init__(self, *, keep_usage: bool, call_id: str = "", model: str = "") -> None:
        """`keep_usage`: the caller asked for the usage chunk. Id and model fill in what lacks."""
        self._keep_usage = keep_usage
        self._call_id, self._model = call_id, model
        self._prefix = self._suffix = self._rest_of_line = self._junction = b""
        self._rest = b""
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._dropping = False
        self._uncounted: list[bytes] = []
        self.uncounted_bytes = 0
        self.output_tokens = 0
        self.started = self.finished = self.done = False
        self.usage: Usage | None = None
        self.request_id: str | None = None

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises StreamErrorChunk or BrokenStreamError."""
        if self.done:
            return b""
        if self._rest:
            data = self._rest + data
        cut = data.rfind(b"\n") + 1
        self._rest, block = data[cut:], data[:cut]
        if len(self._rest) > LINE_BYTES_MAX:
            message = f"a line of the stream is longer than {LINE_BYTES_MAX} bytes"
            raise BrokenStreamError(message)
        if not block:
            return b""
        return self._process(block)

    def end(self) -> bytes:
        """The stream ended cleanly: what a last line without its line break still holds."""
        rest, self._rest = self._rest, b""
        return self._process(rest + b"\n") if rest.strip() else b""

    def take_pending(self) -> bytes:
        """What was kept back before output, for a stream that ended without any."""
        pending = b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        return pending

    def count(self) -> int:
        """Our own count of the output so far, in tokens (money rule 6)."""
        for block in self._uncounted:
            for line in block.split(b"\n"):
                if line.startswith(b"data:"):
                    try:
                        chunk = decode_chunk(line[5:].strip())
                    except msgspec.DecodeError:
                        continue
                    self.output_tokens += _count(chunk)
        self._uncounted, self.uncounted_bytes = [], 0
        return self.output_tokens

    def _count_later(self, block: bytes) -> None:
        self._uncounted.append(block)
        self.uncounted_bytes += len(block)
        if self.uncounted_bytes > UNCOUNTED_BYTES_MAX:
            self.count()

    def _process(self, block: bytes) -> bytes:
        """Take complete lines: those that must be looked at one by one, the others in bulk."""
        out: list[bytes] = []
        at, size, unlike = 0, len(block), 0
        while at < size and not self.done:
            if self.started and not self._dropping and at >= unlike:
                cut, unlike = self._bulk(block, at)
                if cut > at:
                    bulk = block[at:cut]
                    self._count_later(bulk)
                    out.append(bulk)
                    at = cut
                    continue
            end = block.find(b"\n", at) + 1
            self._line(block[at:end], out)
            at = end
        return out[0] if len(out) == 1 else b"".join(out)

    def _line(self, line: bytes, out: list[bytes]) -> None:
        text = line.strip()
        if not text:
            if self._dropping:
                self._dropping = False
            else:
                self._pass(line, out)
        elif text.startswith(b"data:"):
            self._data(line, text[5:].strip(), out)
        elif text.startswith(b":"):
            if self.started:
                out.append(line)
            else:
                self._dropping = True
        else:
            self._dropping = False
            self._pass(line, out)

    def _data(self, line: bytes, payload: bytes, out: list[bytes]) -> None:
        self._dropping = False
        if payload == b"[DONE]":
            self.done = True
            return
        line, chunk, usage = self._read(line, payload, out)
        if usage is not None:
            self.usage = usage
        if self.request_id is None:
            self.request_id = chunk.id
        if chunk.error is not None:
            raise StreamErrorChunk(chunk.error, b"".join(out))
        if any(choice.finish_reason for choice in chunk.choices):
            self.finished = True
        if chunk.usage is not None and not chunk.choices and not self._keep_usage:
            self._dropping = True
            return
        if not self.started and has_output(chunk):
            self.started = True
            out.extend(self._pending)
            self._pending = []
        self._pass(line, out)
        if self.started:
            self._count_later(line)
            self._learn(line, chunk)

    def _read(
        self, line: bytes, payload: bytes, out: list[bytes]
    ) -> tuple[bytes, Chunk, Usage | None]:
        """A chunk: the line that may be passed on, what it says, and its report of usage."""
        try:
            chunk = decode_chunk(payload)
        except msgspec.ValidationError:
            return self._mended(payload, out)
        except msgspec.DecodeError as error:
            message = f"a chunk of the stream is not valid: {error}"
            raise BrokenStreamError(message, b"".join(out)) from None
        return line, chunk, None if chunk.usage is None else chunk.usage.usage()

    def _mended(self, payload: bytes, out: list[bytes]) -> tuple[bytes, Chunk, Usage | None]:
        """A chunk that does not fit OpenAI's types, written anew so that it does."""
        try:
            value = _decode_any(payload)
            if value.get("error") is not None:
                raise StreamErrorChunk(value["error"], b"".join(out))
            usage = parse_usage(value["usage"]) if value.get("usage") is not None else None
            mended = _encode(mend_chunk(value, call_id=self._call_id, model=self._model))
            return b"data: %b\n" % mended, decode_chunk(mended), usage
        except (msgspec.DecodeError, AttributeError, TypeError) as error:
            message = f"a chunk of the stream is not valid: {error}"
            raise BrokenStreamError(message, b"".join(out)) from None

    def _learn(self, line: bytes, chunk: Chunk) -> None:
        """Remember what stands around the text of a chunk that was found to fit.

        Another chunk with the same around its text fits as well, and need not be decoded. (What
        it might have between its text and a like end is not looked at.)
        """
        if len(chunk.choices) != 1 or chunk.choices[0].finish_reason:
            return
        name = b'"content"' if chunk.choices[0].delta.content else b'"reasoning_content"'
        begin = line.find(name)
        begin = line.find(b'"', begin + len(name)) + 1 if begin >= 0 else 0
        end = _end_of_string(line, begin)
        close = line.find(b"}]", end)
        if begin > 0 and 0 < end < close:
            self._prefix, self._rest_of_line = line[:begin], line[end:]
            blank = b"\r\n" if line.endswith(b"\r\n") else b"\n"
            self._junction = self._rest_of_line + blank + self._prefix
            self._suffix = line[end : close + 2]

    def _bulk(self, block: bytes, at: int) -> tuple[int, int]:
        """Up to where a block passes without a look; else up to where each line needs one."""
        if self._prefix:
            last = block.rfind(self._rest_of_line, at)
            cut = last + len(self._rest_of_line)
            if last >= 0 and self._joined(block, at, cut):
                return cut + (block[cut : cut + 1] == b"\n"), 0
        # Chunks whose ends differ, as with OpenAI's padding, are alike up to their choices; then
        # no line with a suspicious word is passed over.
        found = _suspicious(block, at)
        cut = len(block) if found < 0 else block.rfind(b"\n", at, found) + 1
        if cut > at and self._alike(block, at, cut):
            return cut, 0
        return at, cut

    def _joined(self, block: bytes, at: int, cut: int) -> bool:
        """Whether chunks follow each other with nothing between their texts but what fitted."""
        start = at + (block[at : at + 1] == b"\n")
        return block.startswith(self._prefix, start) and (
            block.count(self._junction, start, cut) == block.count(b"data:", start, cut) - 1
        )

    def _alike(self, block: bytes, at: int, cut: int) -> bool:
        """Whether all chunks of a block have beside their text what fitted before."""
        chunks = block.count(b"data:", at, cut)
        if not chunks:
            return True
        return (
            bool(self._prefix)
            and block.count(self._prefix, at, cut) == chunks
            and block.count(self._suffix, at, cut) == chunks
        )

    def _pass(self, line: bytes, out: list[bytes]) -> None:
        if self.started:
            out.append(line)
            return
        self._pending.append(line)
        self._pending_bytes += len(line)
        if self._pending_bytes > PENDING_BYTES_MAX:
            message = f"no output within the first {PENDING_BYTES_MAX} bytes of the stream"
            raise BrokenStreamError(message)


def _end_of_string(line: bytes, begin: int) -> int:
    """Where the JSON string that begins here ends; -1 when it does not."""
    end = line.find(b'"', begin)
    while end > 0:
        escapes = end
        while escapes > begin and line[escapes - 1] == _BACKSLASH:
            escapes -= 1
        if (end - escapes) % 2 == 0:
            return end
        end = line.find(b'"', end + 1)
    return end


_BACKSLASH = ord("\\")


def _count(chunk: Chunk) -> int:
    tokens = 0
    for choice in chunk.choices:
        texts = _delta_texts(choice.delta)
        # A chunk with output is at least one token, however short its text.
        if any(texts):
            tokens += max(1, sum(estimate_tokens(text) for text in texts))
    return tokens


def count_message(choices: list[Any]) -> int:
    """Our own count of the choices of a whole reply, in tokens (money rule 6)."""
    tokens = 0
    for choice in choices:
        message = choice.get("message") if isinstance(choice, dict) else None
        try:
            delta = msgspec.convert(message or {}, Delta)
        except msgspec.ValidationError:
            continue
        tokens += sum(estimate_tokens(text) for text in _delta_texts(delta))
    return tokens
