"""The guard `redact`: personal data is sent as placeholders, and comes back in the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.guardrails.port import Counted, Looked, over_prompt
from domain.guardrails.personal import find
from domain.guardrails.placeholders import Placeholders, RestoredText
from domain.guardrails.walking import Walk, everything

if TYPE_CHECKING:
    from collections.abc import Collection

    from domain.guardrails.personal import Finder, Kind

JSON_STARTS = ("{", "[")
_decode = msgspec.json.Decoder().decode


class Redaction:
    """One `[[guard]]` of the kind `redact`."""

    def __init__(
        self, name: str, *, fail_open: bool, kinds: Collection[Kind], patterns: tuple[Finder, ...]
    ) -> None:
        """`patterns` are the operator's own, looked for after the kinds."""
        self.name, self.fail_open = name, fail_open
        self._kinds, self._patterns = frozenset(kinds), patterns

    def prompt(self, body: dict[str, Any]) -> Looked:
        """Replace what is found; raises TooManyValuesError, TooMuchTextError, TooDeepError."""
        counted = Counted()
        texts: list[str] = []

        def note(text: str) -> str:
            texts.append(counted.take(text))
            return text

        over_prompt(body, Walk(note, note))
        placeholders = Placeholders(texts)

        def replace(text: str) -> str:
            return placeholders.replaced(text, find(text, self._kinds, self._patterns))

        def replace_in_json(text: str) -> str:
            return _in_json(text, replace)

        made = over_prompt(body, Walk(replace, replace_in_json))
        if not placeholders.count:
            return Looked(made, "passed")
        return Looked(made, "redacted", placeholders.count, Restoring(placeholders))


def _in_json(text: str, replace: Any) -> str:
    """A text that is JSON stays JSON; one that only should be is a text as any other."""
    if text.lstrip().startswith(JSON_STARTS):
        try:
            value = _decode(text)
        except (msgspec.DecodeError, RecursionError):
            return str(replace(text))
        taken = everything(value, replace)
        return text if taken == value else msgspec.json.encode(taken).decode()
    return str(replace(text))


class Restoring:
    """The answer to one prompt gets its own values again, and no others."""

    def __init__(self, placeholders: Placeholders) -> None:
        """Of this prompt."""
        self._of, self.decision = placeholders, "restored"

    @property
    def count(self) -> int:
        """How many different values the answer had, however often it is told."""
        return len(self._of.came_back)

    def whole(self, text: str, *, inside_json: bool) -> str:
        """The text with its values."""
        return self._of.restored(text, inside_json=inside_json)

    def echoed(self, text: str) -> str:
        """The prompt as it came."""
        return self._of.echoed(text)

    def channel(self, *, inside_json: bool) -> RestoredText:
        """The same in pieces."""
        return RestoredText(self._of, inside_json=inside_json)
