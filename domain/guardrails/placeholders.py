"""Placeholders of one prompt: what was replaced in it, and how an answer gets it back.

A placeholder is `[KIND_number]`, numbered in the prompt's order, so that a conversation that goes
on has the same ones. A number that already stands in the prompt as a placeholder is nobody's: what
the caller wrote himself is never taken for a value.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from domain.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.guardrails.personal import Span

VALUES_MAX = 10_000
"""Most values that are replaced in one prompt."""
KIND = re.compile(r"[A-Z](?:[A-Z_]{0,22}[A-Z])?")
_LITERAL = re.compile(r"\[[A-Z][A-Z_]{0,23}_\d{1,9}\]")


class TooManyValuesError(DomainError):
    """A prompt holds more values than are kept for one."""


class Placeholders:
    """Of one prompt, and of nobody else's."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Nothing is replaced yet; `texts` is all that the prompt says."""
        self._taken = {each for text in texts for each in _LITERAL.findall(text)}
        self._of: dict[tuple[str, str], str] = {}
        self._numbers: dict[str, int] = {}
        self._values: dict[str, str] = {}
        self.count = 0
        """How often something was replaced."""
        self.came_back: set[str] = set()
        """The placeholders that an answer had."""

    @property
    def longest(self) -> int:
        """Characters of the longest."""
        return max(map(len, self._values), default=0)

    def replaced(self, text: str, spans: Iterable[Span]) -> str:
        """The text with placeholders for its spans; raises TooManyValuesError."""
        parts: list[str] = []
        at = 0
        for span in spans:
            parts += (text[at : span.start], self._for(span.kind, text[span.start : span.end]))
            at = span.end
            self.count += 1
        if not at:
            return text
        parts.append(text[at:])
        return "".join(parts)

    def _for(self, kind: str, value: str) -> str:
        known = self._of.get((kind, value))
        if known is not None:
            return known
        if len(self._of) >= VALUES_MAX:
            message = f"more than {VALUES_MAX} values are to be replaced"
            raise TooManyValuesError(message)
        number = self._numbers.get(kind, 0) + 1
        while (made := f"[{kind}_{number}]") in self._taken:
            number += 1
        self._numbers[kind] = number
        self._of[kind, value] = made
        self._values[made] = value
        return made

    def restored(self, text: str, *, inside_json: bool = False) -> str:
        """An answer's text with the values again, escaped where it is JSON's own text."""
        if not self._values or "[" not in text:
            return text
        self.came_back.update(each for each in _LITERAL.findall(text) if each in self._values)
        return self.echoed(text, inside_json=inside_json)

    def echoed(self, text: str, *, inside_json: bool = False) -> str:
        """The same of a text of the prompt that an answer repeats."""
        return _LITERAL.sub(lambda found: self._value(found[0], inside_json), text)

    def _value(self, placeholder: str, inside_json: bool) -> str:  # noqa: FBT001 - it is asked for each match.
        value = self._values.get(placeholder, placeholder)
        return json.dumps(value, ensure_ascii=False)[1:-1] if inside_json else value

    def begins(self, text: str) -> bool:
        """Whether one of them begins so and goes on."""
        return any(each.startswith(text) for each in self._values)


class RestoredText:
    """A text that comes in pieces, cut anywhere, restored as it comes."""

    def __init__(self, placeholders: Placeholders, *, inside_json: bool) -> None:
        """Nothing came yet."""
        self._of, self._inside_json = placeholders, inside_json
        self._longest = placeholders.longest
        self.held = ""
        """What may be the beginning of a placeholder; always shorter than one."""

    def add(self, more: str) -> str:
        """Take more of it; what can be told of it now."""
        text = self.held + more
        last = text.rfind("[")
        open_yet = last >= 0 and len(text) - last < self._longest and self._of.begins(text[last:])
        end = last if open_yet else len(text)
        out = self._of.restored(text[:end], inside_json=self._inside_json)
        self.held = text[end:]
        return out

    def end(self) -> str:
        """It is over: what began and did not go on is text."""
        rest, self.held = self.held, ""
        return rest
