"""Reads a Chat Completions body: what we must know of it, and nothing changed in it.

The body is decoded twice, once for the few members that decide about money and routing, once
into raw members so that what the caller sent reaches the provider byte for byte; only `model`
and `stream_options` are ever replaced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.errors import ApiError, bad_request
from domain.holds import FILE_TOKENS_MAX, IMAGE_TOKENS_MAX, PromptSize
from domain.usage import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from command_api.settings import Settings

BASE64_BYTES_PER_AUDIO_MINUTE = 640_000
"""A minute of 64 kbit/s audio in base64; uncompressed audio counts as more minutes."""
MESSAGE_TOKENS = 4
PART_SHARE = 4
"""An image or file is estimated at a quarter of the most it could be."""
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_RAW_NULL = msgspec.Raw(b"null")


class Part(msgspec.Struct):
    """One content part."""

    type: str
    text: str | None = None
    input_audio: msgspec.Raw = _RAW_NULL
    refusal: str | None = None


class Message(msgspec.Struct):
    """One message, as far as its size goes."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: msgspec.Raw = _RAW_NULL
    function_call: msgspec.Raw = _RAW_NULL
    name: str | None = None
    refusal: str | None = None


class StreamOptions(msgspec.Struct):
    """OpenAI's stream options."""

    include_usage: bool | None = None


class ChatBody(msgspec.Struct):
    """The members that matter here."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stream_options: StreamOptions | None = None
    tools: msgspec.Raw = _RAW_NULL
    functions: msgspec.Raw = _RAW_NULL
    response_format: msgspec.Raw = _RAW_NULL


_decode = msgspec.json.Decoder(ChatBody).decode
_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


class ChatRequest:
    """A checked request."""

    __slots__ = ("body", "choices", "include_usage", "max_tokens", "model", "raw", "stream")

    def __init__(self, raw: bytes, body: ChatBody) -> None:
        """Take over what was checked."""
        self.raw, self.body = raw, body
        self.model = body.model
        self.stream = bool(body.stream)
        self.choices = 1 if body.n is None else body.n
        asked = body.max_completion_tokens
        self.max_tokens = body.max_tokens if asked is None else asked
        options = body.stream_options
        self.include_usage = bool(options and options.include_usage)

    def prompt_size(self) -> PromptSize:
        """What of the prompt costs tokens (money rule 2)."""
        body = self.body
        size = _raw_size((body.tools, body.functions, body.response_format))
        images = audio = files = 0
        for message in body.messages:
            content = message.content
            if isinstance(content, str):
                size += _utf8_size(content)
            elif content:
                for part in content:
                    if part.text is not None:
                        size += _utf8_size(part.text)
                    if part.type == "image_url":
                        images += 1
                    elif part.type == "input_audio":
                        audio += 1 + len(part.input_audio) // BASE64_BYTES_PER_AUDIO_MINUTE
                    elif part.type == "file":
                        files += 1
            size += _raw_size((message.tool_calls, message.function_call))
            if message.name:
                size += _utf8_size(message.name)
        return PromptSize(
            text_bytes=size,
            messages=len(body.messages),
            images=images,
            audio_minutes=audio,
            files=files,
        )

    def estimated_input_tokens(self, size: PromptSize) -> int:
        """Our own count of the prompt, for when the provider gives none (money rule 6)."""
        tokens = -(-_raw_size((self.body.tools, self.body.functions)) // 4)
        for message in self.body.messages:
            content = message.content
            if isinstance(content, str):
                tokens += estimate_tokens(content)
            elif content:
                tokens += sum(estimate_tokens(part.text or "") for part in content)
        parts = size.images * IMAGE_TOKENS_MAX + size.files * FILE_TOKENS_MAX
        return tokens + size.messages * MESSAGE_TOKENS + parts // PART_SHARE

    def upstream_body(self, model_id: str, *, max_tokens: int | None = None) -> bytes:
        """The body for the provider: its own model id, and usage asked for in streams."""
        members = _decode_raw(self.raw)
        members["model"] = msgspec.Raw(_encode(model_id))
        if self.stream and not self.include_usage:
            raw = members.get("stream_options", _RAW_NULL)
            options: dict[str, Any] = dict(_decode_any(raw) or {})
            options["include_usage"] = True
            members["stream_options"] = msgspec.Raw(_encode(options))
        if max_tokens is not None:
            members["max_tokens"] = msgspec.Raw(b"%d" % max_tokens)
        return _encode(members)


def _utf8_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _raw_size(parts: Iterable[msgspec.Raw]) -> int:
    return sum(len(part) for part in parts if part is not _RAW_NULL and bytes(part) != b"null")


def parse_chat(raw: bytes, settings: Settings) -> ChatRequest:
    """Check a body; raises ApiError 400 that names what is wrong and where."""
    try:
        if not raw.isascii():
            raw.decode()
        if _SUSPECT.search(raw) or b"\x00" in raw:
            _refuse_bad_text(raw)
        body = _decode(raw)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        param = where.rstrip("`").lstrip(".") or None
        raise bad_request(
            "invalid_type", f"{message}{f' at {param}' if param else ''}.", param
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"The body is not valid JSON: {error}."
        raise bad_request("invalid_json", message) from None
    _check_values(body, settings)
    return ChatRequest(raw, body)


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


def _check_values(body: ChatBody, settings: Settings) -> None:
    if not body.model:
        message = "model is empty: GET /v1/models lists what there is."
        raise bad_request("missing_model", message, "model")
    if not body.messages:
        message = "messages is empty: send at least one message."
        raise bad_request("empty_messages", message, "messages")
    if len(body.messages) > settings.messages_max:
        message = f"messages holds more than {settings.messages_max} messages."
        raise bad_request("too_many_messages", message, "messages")
    if body.n is not None and not 1 <= body.n <= settings.choices_max:
        message = f"n must be between 1 and {settings.choices_max}."
        raise bad_request("invalid_value", message, "n")
    for name in ("max_tokens", "max_completion_tokens"):
        value = getattr(body, name)
        if value is not None and not 1 <= value <= _TOKENS_MAX:
            message = f"{name} must be between 1 and {_TOKENS_MAX}."
            raise bad_request("invalid_value", message, name)


_TOKENS_MAX = 10_000_000


def too_large(limit: int) -> ApiError:
    """A 413 that names the limit."""
    message = f"The body is larger than {limit} bytes. Send less text, or smaller images."
    return ApiError(413, "request_too_large", message)
