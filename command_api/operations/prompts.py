"""The messages of a chat body, and how many tokens they can be (money rule 2).

What is known is decoded once, with structures that refuse any other member. Only where there is
one is the body looked at member by member, so that plain calls pay nothing for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from domain.images.formulas import HIGH, LOW
from domain.images.sizes import HEAD_CHARACTERS, UNKNOWN, picture_of_url
from domain.ledger.holds import PromptSize
from domain.pricing.usage import estimate_tokens
from edge.body import RAW_NULL, decode_members, utf8_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domain.images.sizes import Picture

BASE64_BYTES_PER_AUDIO_MINUTE = 640_000
"""A minute of 64 kbit/s audio in base64; uncompressed audio counts as more minutes."""
MESSAGE_TOKENS = 4
IMAGE_TOKENS, FILE_TOKENS = 512, 8_000
"""Our own count of an image or a file, whatever it shows: nobody here reads it."""
IMAGE_SPARE_BYTES_MAX = 256
"""An image's object holds no more than its URL, its detail and so much; else nothing is known."""
ROLE_BYTES_MAX = 16
TOOL_CALL_ID_BYTES_MAX = 64
"""What a message's overhead covers of its role and of the call it answers; more is text."""
SCALAR_BYTES_MAX = 64
"""A member that is no text, list or object is no prompt up to here, its name included."""


class Part(msgspec.Struct):
    """One content part."""

    type: str
    text: str | None = None
    image_url: msgspec.Raw = RAW_NULL
    input_audio: msgspec.Raw = RAW_NULL
    file: msgspec.Raw = RAW_NULL
    refusal: str | None = None


PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
"""OpenAI's parts; any other, such as a video, is bounded by its bytes."""


class Message(msgspec.Struct):
    """One message, as far as its size goes."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: msgspec.Raw = RAW_NULL
    function_call: msgspec.Raw = RAW_NULL
    name: str | None = None
    refusal: str | None = None
    tool_call_id: str | None = None


class _ImageUrl(msgspec.Struct):
    url: msgspec.Raw = RAW_NULL
    detail: str | None = None


class PlainPart(Part, forbid_unknown_fields=True):
    """A part without any other member."""


class PlainMessage(Message, forbid_unknown_fields=True):
    """A message without any other member."""

    content: str | list[PlainPart] | None = None  # type: ignore[assignment]


class _Whole(msgspec.Struct):
    messages: list[dict[str, msgspec.Raw]]


_decode_image = msgspec.json.Decoder(_ImageUrl).decode
_decode_messages = msgspec.json.Decoder(_Whole).decode
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_PART_MEMBERS = frozenset(Part.__struct_fields__)
_MESSAGE_MEMBERS = frozenset(Message.__struct_fields__)


def size_of(messages: Iterable[Message]) -> PromptSize:
    """The size of what is known in messages.

    Of a body that is not plain, parts of other types are left to `other_bytes`.
    """
    size = count = images = audio = files = others = 0
    pictures: list[Picture] = []
    for message in messages:
        count += 1
        content = message.content
        if isinstance(content, str):
            size += utf8_size(content)
        elif content:
            found = _size_of_parts(content)
            size += found.text_bytes
            images += found.images
            audio += found.audio_minutes
            files += found.files
            others += found.other_bytes
            pictures += found.pictures
        size += raw_size(message.tool_calls, message.function_call)
        if message.name:
            size += utf8_size(message.name)
        if message.refusal:
            size += utf8_size(message.refusal)
        if len(message.role) > ROLE_BYTES_MAX:
            others += utf8_size(message.role)
        if message.tool_call_id and len(message.tool_call_id) > TOOL_CALL_ID_BYTES_MAX:
            others += utf8_size(message.tool_call_id)
    return PromptSize(size, count, images, audio, files, others, tuple(pictures))


def _size_of_parts(content: Iterable[Part]) -> PromptSize:
    """The content of a message."""
    size = images = audio = files = others = 0
    pictures: list[Picture] = []
    for part in content:
        kind = part.type
        if kind not in PARTS:
            others += _part_bytes(part)
            continue
        if part.text is not None:
            size += utf8_size(part.text)
        if part.refusal is not None:
            size += utf8_size(part.refusal)
        if kind == "image_url":
            images += 1
            pictures += known(_picture(part.image_url))
        elif kind == "input_audio":
            audio += 1 + len(part.input_audio) // BASE64_BYTES_PER_AUDIO_MINUTE
        elif kind == "file":
            files += 1
        others += _foreign_bytes(part)
    return PromptSize(size, 1, images, audio, files, others, tuple(pictures))


def _picture(raw: msgspec.Raw) -> Picture:
    """What an image's object says of it; nothing where it says anything else beside."""
    try:
        found = _decode_image(raw)
    except msgspec.DecodeError:
        return UNKNOWN
    detail = found.detail or ""
    if len(raw) > len(found.url) + len(detail) + IMAGE_SPARE_BYTES_MAX:
        return UNKNOWN
    head, beyond = head_of(found.url)
    return picture_of_url(head, detail, beyond=beyond) if head else UNKNOWN


def head_of(raw: msgspec.Raw) -> tuple[str, int]:
    """The beginning of a long text as JSON has it, and how many bytes follow.

    An image may be many megabytes, of which nobody here needs the rest. What is no text is empty.
    """
    if bytes(memoryview(raw)[:1]) != b'"':
        return "", 0
    head = bytes(memoryview(raw)[1:-1][:HEAD_CHARACTERS])
    if b"\\" in head:
        return _decode_text(raw), 0
    return head.decode("latin-1"), len(raw) - 2 - len(head)


def known(picture: Picture) -> tuple[Picture, ...]:
    """The picture, where anything that bounds its tokens is known of it."""
    return (picture,) if picture.width or picture.detail in (LOW, HIGH) else ()


def _part_bytes(part: Part) -> int:
    """Bytes of a part of an unknown type, where it has no unknown member."""
    if type(part) is not PlainPart:
        return 0
    texts = sum(utf8_size(each) for each in (part.type, part.text, part.refusal) if each)
    return texts + raw_size(part.image_url, part.input_audio, part.file)


def _foreign_bytes(part: Part) -> int:
    """Bytes of what belongs to parts of another type."""
    size = 0
    if part.image_url is not RAW_NULL and part.type != "image_url":
        size += len(part.image_url)
    if part.input_audio is not RAW_NULL and part.type != "input_audio":
        size += len(part.input_audio)
    if part.file is not RAW_NULL and part.type != "file":
        size += len(part.file)
    return size


def other_bytes(raw: bytes, known: frozenset[str]) -> int:
    """Bytes of all that nobody here knows: of the body's members, of messages, of parts.

    `known` are the members of a body that are counted elsewhere, or are no prompt.
    """
    size = unknown_bytes(raw, known)
    for message in _decode_messages(raw).messages:
        size += _members_size(message, _MESSAGE_MEMBERS)
        content = message.get("content", RAW_NULL)
        if bytes(content).startswith(b"["):
            size += sum(_part_size(each) for each in _decode_parts(content))
    return size


def unknown_bytes(raw: bytes, known: frozenset[str]) -> int:
    """The same of a body's members alone."""
    return _members_size(decode_members(raw), known)


def _part_size(part: msgspec.Raw) -> int:
    members = decode_members(part)
    if _decode_text(members["type"]) not in PARTS:
        return len(part)
    return _members_size(members, _PART_MEMBERS)


def _members_size(members: Mapping[str, msgspec.Raw], known: frozenset[str]) -> int:
    """Bytes of the members that are not known; what is empty or a number is no prompt."""
    size = 0
    for name, value in members.items():
        if name in known:
            continue
        found = utf8_size(name) + len(value)
        scalar = (
            name == "cache_control" or len(value) == len("[]") or bytes(value)[:1] not in b'"[{'
        )
        if found > SCALAR_BYTES_MAX or not scalar:
            size += found
    return size


def estimated_tokens(messages: Iterable[Message], size: PromptSize) -> int:
    """Our own count of messages, for when the provider gives none (money rule 6)."""
    tokens = -(-size.other_bytes // 4)
    for message in messages:
        content = message.content
        if isinstance(content, str):
            tokens += estimate_tokens(content)
        elif content:
            for part in content:
                if part.type in PARTS:
                    tokens += estimate_tokens(part.text) if part.text else 0
                    tokens += estimate_tokens(part.refusal) if part.refusal else 0
        if message.refusal:
            tokens += estimate_tokens(message.refusal)
    parts = size.images * IMAGE_TOKENS + size.files * FILE_TOKENS
    return tokens + size.messages * MESSAGE_TOKENS + parts


def raw_size(*parts: msgspec.Raw) -> int:
    """Bytes of members as they were sent; null is none."""
    size = 0
    for part in parts:
        if part is not RAW_NULL and bytes(part) != b"null":
            size += len(part)
    return size
