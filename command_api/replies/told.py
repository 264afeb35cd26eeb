"""What we say in a provider's reply: the full id of the model, and what the call costs.

`usage.cost` is the exact number of USD, as at OpenRouter, so that clients' own cost functions work.
All else stays as the provider wrote it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from domain.pricing.money import usd_number
from edge.body import RAW_NULL, decode_members

if TYPE_CHECKING:
    from domain.pricing.usage import Usage

_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_encode = msgspec.json.encode
_decode_text = msgspec.json.Decoder(str).decode


def tell(raw: bytes, model: str, usage: Usage, nano_usd: int) -> bytes:
    """A JSON reply, or a chunk of a stream, with the model's full id and its cost in nano-USD.

    A report that our own count replaced, or that was missing, is written as we counted.
    """
    members = decode_members(raw)
    if "model" in members:
        members["model"] = msgspec.Raw(_encode(model))
    members["usage"] = _usage(members.get("usage", RAW_NULL), usage, nano_usd)
    return _encode(members)


def tell_cost(raw: bytes, usage: Usage, nano_usd: int) -> bytes:
    """The same for a reply that names no model, and may have no report."""
    members = decode_members(raw)
    report = members.get("usage", RAW_NULL)
    if not bytes(report).startswith(b"{"):
        return raw
    members["usage"] = _usage(report, usage, nano_usd)
    return _encode(members)


def _usage(report: msgspec.Raw, usage: Usage, nano_usd: int) -> msgspec.Raw:
    counted = usage.source == "estimated" or not bytes(report).startswith(b"{")
    members = {} if counted else decode_members(report)
    if counted:
        counts = {"prompt_tokens": usage.input_tokens}
        if usage.output_tokens:
            counts["completion_tokens"] = usage.output_tokens
        counts["total_tokens"] = usage.input_tokens + usage.output_tokens
        members = {name: msgspec.Raw(b"%d" % tokens) for name, tokens in counts.items()}
    if usage.searches:
        members["search_units"] = msgspec.Raw(b"%d" % usage.searches)
    members["cost"] = msgspec.Raw(usd_number(nano_usd).encode())
    return msgspec.Raw(_encode(members))


class FullName:
    """Puts a model's full id in the place of the provider's own, in the bytes of a stream.

    A quote inside of a JSON text is escaped, so no text that was made is ever taken for the member.
    """

    __slots__ = ("_ours", "_theirs", "_told", "name")

    def __init__(self, name: str) -> None:
        """Nothing is replaced until a chunk was read. Without a name nothing ever is."""
        self.name = name
        self._told: str | None = None
        self._theirs = self._ours = b""

    def learn(self, line: bytes, told: str) -> None:
        """Remember how a chunk names its model, as `told`; chunks like it name it the same way."""
        if told == self._told or not self.name:
            return
        self._told, self._theirs = told, b""
        for found in _MODEL.finditer(line):
            if _decode_text(found[1]) == told:
                self._theirs = found[0]
                self._ours = found[0][: -len(found[1])] + _encode(self.name)
                return

    def put(self, data: bytes) -> bytes:
        """Complete lines, with the full id."""
        return data.replace(self._theirs, self._ours) if self._theirs else data
