"""Reads a Chat Completions stream as it passes, without re-encoding it.

Lines go through as they came, but for the model's full id and the cost beside a report of usage.
Only three things are kept back: comments and chunks without
output before the first output (so that a failure can still be an honest status), the usage
chunk the caller did not ask for, and [DONE], which we write ourselves once the charge is
durable. Once output flows, a block without a suspicious word is passed on whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.likeness import Likeness
from command_api.replies.mending import mend_chunk
from command_api.replies.own_count import OutputCount, has_output, lines_within
from command_api.replies.own_count import answer_tokens as tokens_of_answer
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.shapes import UNREADABLE, Chunk, decode_chunk
from command_api.replies.told import FullName, tell
from command_api.replies.usage_report import at_tier, parse_usage
from providers.inference.adapters.lines import LineTooLongError, WholeLines

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.replies.scanning import Paid
    from domain.pricing.usage import Usage

PENDING_BYTES_MAX = 1024 * 1024
LINE_BYTES_MAX = 16 * 1024 * 1024
UNCOUNTED_BYTES_MAX = 64 * 1024

DONE = b"data: [DONE]\n\n"


_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


class Form(NamedTuple):
    """What a stream's chunks are, and how those that are not become so."""

    decode: Callable[[bytes], Chunk]
    mend: Callable[..., dict[str, Any]]


CHAT = Form(decode_chunk, mend_chunk)


class StreamScanner:
    """Feed it what arrives; it returns what may be passed on."""

    __slots__ = (
        "_call_id",
        "_charge",
        "_counted",
        "_dropping",
        "_form",
        "_full",
        "_keep_usage",
        "_like",
        "_lines",
        "_model",
        "_pending",
        "_pending_bytes",
        "_uncounted",
        "done",
        "finished",
        "request_id",
        "started",
        "uncounted_bytes",
        "usage",
    )

    def __init__(
        self,
        *,
        keep_usage: bool,
        call_id: str = "",
        model: str = "",
        full_name: str = "",
        charge: Callable[[Usage], tuple[Usage, int]] | None = None,
        form: Form = CHAT,
    ) -> None:
        """`keep_usage`: the caller asked for the usage chunk. Id and model fill in what lacks.

        `full_name` is what chunks call the model; `charge` says what is charged for a report, and
        how much in nano-USD.
        """
        self._keep_usage, self._form = keep_usage, form
        self._full, self._charge = FullName(full_name), charge
        self._call_id, self._model = call_id, model
        self._like = Likeness()
        self._lines = WholeLines(LINE_BYTES_MAX)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._dropping = False
        self._uncounted: list[bytes] = []
        self.uncounted_bytes = 0
        self._counted = OutputCount()
        self.started = self.finished = self.done = False
        self.usage: Usage | None = None
        self.request_id: str | None = None

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises StreamErrorChunk or BrokenStreamError."""
        if self.done:
            return b""
        try:
            block = self._lines.add(data)
        except LineTooLongError as error:
            raise BrokenStreamError(str(error)) from None
        return self._process(block) if block else b""

    def end(self) -> bytes:
        """The stream ended cleanly: what a last line without its line break still holds."""
        rest = self._lines.rest()
        return self._process(rest + b"\n") if rest.strip() else b""

    def take_pending(self) -> bytes:
        """What was kept back before output, for a stream that ended without any."""
        pending = b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        return pending

    def within(self, out: bytes, answer_tokens: int) -> bytes:
        """Of the last output, what lies within so many tokens of answer altogether."""
        before = self.answer_tokens - tokens_of_answer(out)
        return lines_within(out, answer_tokens - before)

    def ending(self, paid: Paid) -> bytes:
        """The end of a stream that ended by itself."""
        del paid  # It was told with the report.
        return DONE

    def cut_short(self, paid: Paid) -> bytes:
        """The end of a stream that has reached its maximum."""
        del paid
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}
        value = {"id": self.request_id, "choices": [choice]}
        mended = mend_chunk(value, call_id=self._call_id, model=self._full.name or self._model)
        return b"data: %b\n\n" % _encode(mended) + DONE

    def count(self) -> int:
        """Our own count of the output so far, in tokens (money rule 6)."""
        for block in self._uncounted:
            for line in block.split(b"\n"):
                if line.startswith(b"data:"):
                    try:
                        chunk = self._form.decode(line[5:].strip())
                    except UNREADABLE:
                        continue
                    self._counted.add(chunk)
        self._uncounted, self.uncounted_bytes = [], 0
        return self.output_tokens

    @property
    def output_tokens(self) -> int:
        """Our own count as far as it has been made."""
        return self._counted.whole.tokens

    @property
    def answer_tokens(self) -> int:
        """The same without reasoning, which has a maximum of its own at some providers."""
        return self._counted.answer.tokens

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
                cut, unlike = self._like.bulk(block, at)
                if cut > at:
                    bulk = block[at:cut]
                    self._count_later(bulk)
                    out.append(self._full.put(bulk))
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
        self._full.learn(line, chunk.model)
        if self.started:
            self._count_later(line)
            self._like.learn(line, chunk)
        if usage is not None and self._charge is not None:
            told, cost = self._charge(usage)
            line = b"data: %b\n" % tell(line[5:], self._full.name, told, cost)
        self._pass(line, out)

    def _read(
        self, line: bytes, payload: bytes, out: list[bytes]
    ) -> tuple[bytes, Chunk, Usage | None]:
        """A chunk: the line that may be passed on, what it says, and its report of usage."""
        try:
            chunk = self._form.decode(payload)
        except msgspec.ValidationError:
            return self._mended(payload, out)
        except UNREADABLE as error:
            message = f"a chunk of the stream is not valid: {error}"
            raise BrokenStreamError(message, b"".join(out)) from None
        usage = None if chunk.usage is None else chunk.usage.usage()
        if usage is not None and chunk.service_tier:
            usage = at_tier(usage, chunk.service_tier)
        return line, chunk, usage

    def _mended(self, payload: bytes, out: list[bytes]) -> tuple[bytes, Chunk, Usage | None]:
        """A chunk that does not fit OpenAI's types, written anew so that it does."""
        try:
            value = _decode_any(payload)
            if value.get("error") is not None:
                raise StreamErrorChunk(value["error"], b"".join(out))
            usage = parse_usage(value["usage"]) if value.get("usage") is not None else None
            if usage is not None:
                usage = at_tier(usage, value.get("service_tier"))
            mended = _encode(self._form.mend(value, call_id=self._call_id, model=self._model))
            return b"data: %b\n" % mended, self._form.decode(mended), usage
        except (*UNREADABLE, AttributeError, TypeError) as error:
            message = f"a chunk of the stream is not valid: {error}"
            raise BrokenStreamError(message, b"".join(out)) from None

    def _pass(self, line: bytes, out: list[bytes]) -> None:
        line = self._full.put(line)
        if self.started:
            out.append(line)
            return
        self._pending.append(line)
        self._pending_bytes += len(line)
        if self._pending_bytes > PENDING_BYTES_MAX:
            message = f"no output within the first {PENDING_BYTES_MAX} bytes of the stream"
            raise BrokenStreamError(message)
