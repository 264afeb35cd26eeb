"""The guard `blocked_terms`: what may not be asked, and what may not be answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.guardrails.port import BlockedError, Counted, Looked, over_prompt
from domain.guardrails.terms import CheckedText, TermFoundError
from domain.guardrails.walking import Walk

if TYPE_CHECKING:
    from domain.guardrails.terms import Terms


class BlockedTerms:
    """One `[[guard]]` of the kind `blocked_terms`."""

    def __init__(
        self, name: str, *, fail_open: bool, terms: Terms, prompts: bool, answers: bool
    ) -> None:
        """`prompts` and `answers` say what it looks at."""
        self.name, self.fail_open = name, fail_open
        self._terms, self._prompts = terms, prompts
        self._output = Checking(terms) if answers else None

    def prompt(self, body: dict[str, Any]) -> Looked:
        """Raises BlockedError, TooMuchTextError, TooDeepError."""
        if self._prompts:
            counted = Counted()

            def check(text: str) -> str:
                return _checked(self._terms, counted.take(text), inside_json=False)

            def check_json(text: str) -> str:
                return _checked(self._terms, counted.take(text), inside_json=True)

            over_prompt(body, Walk(check, check_json))
        return Looked(body, "passed", output=self._output)


def _checked(terms: Terms, text: str, *, inside_json: bool) -> str:
    if terms.said(text, inside_json=inside_json):
        raise BlockedError
    return text


class Checking:
    """Answers are looked at; it keeps nothing of any."""

    decision = "passed"
    count = 0

    def __init__(self, terms: Terms) -> None:
        """For all calls of a process."""
        self._terms = terms

    def whole(self, text: str, *, inside_json: bool) -> str:
        """The text; raises BlockedError."""
        return _checked(self._terms, text, inside_json=inside_json)

    def echoed(self, text: str) -> str:
        """The caller's own words are no answer."""
        return text

    def channel(self, *, inside_json: bool) -> CheckedChannel:
        """The same in pieces, sentence by sentence."""
        return CheckedChannel(self._terms, inside_json=inside_json)


class CheckedChannel(CheckedText):
    """A text in pieces whose terms block it."""

    def add(self, more: str) -> str:
        """Take more; raises BlockedError."""
        try:
            return super().add(more)
        except TermFoundError:
            raise BlockedError from None

    def end(self) -> str:
        """The rest; raises BlockedError."""
        try:
            return super().end()
        except TermFoundError:
            raise BlockedError from None
