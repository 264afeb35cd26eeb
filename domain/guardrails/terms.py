"""Terms that may not be said: whole words, whatever their case, width, or unseen characters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from domain.errors import DomainError
from domain.guardrails.folding import likened
from domain.guardrails.sentences import SENTENCE_CHARACTERS_MAX, end_of_sentences

if TYPE_CHECKING:
    from collections.abc import Iterable

TERMS_MAX = 500
TERM_CHARACTERS_MAX = 200
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


class TermError(DomainError):
    """A list of terms cannot be used; the message says why."""


class TermFoundError(DomainError):
    """A term was said. Which one is nobody's to be told."""


class Terms:
    """A list of terms."""

    def __init__(self, terms: Iterable[str]) -> None:
        """Raises TermError for none, too many, or one that is empty or too long."""
        self._terms = sorted({likened(each).strip() for each in terms})
        if not 0 < len(self._terms) <= TERMS_MAX:
            message = f"there must be 1 to {TERMS_MAX} terms"
            raise TermError(message)
        if not all(0 < len(each) <= TERM_CHARACTERS_MAX for each in self._terms):
            message = f"a term has 1 to {TERM_CHARACTERS_MAX} characters that are seen"
            raise TermError(message)
        self.longest = max(map(len, self._terms))

    def said(self, text: str, *, inside_json: bool = False) -> bool:
        """Whether a text says one of them."""
        return self.said_in(self.as_compared(text, inside_json=inside_json))

    @staticmethod
    def as_compared(text: str, *, inside_json: bool) -> str:
        """A text as terms are compared; escapes of JSON's own text are what they stand for."""
        if inside_json and "\\u" in text:
            text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
        return likened(text)

    def said_in(self, compared: str, begin: int = 0) -> bool:
        """The same of a text as it is compared, for terms that begin from a place on."""
        for term in self._terms:
            at = compared.find(term, begin)
            while at >= 0:
                if _apart(compared, at, term):
                    return True
                at = compared.find(term, at + 1)
        return False


def _apart(text: str, at: int, term: str) -> bool:
    """Whether no word goes on at either end of a term."""
    end = at + len(term)
    before = text[at - 1] if at else " "
    after = text[end] if end < len(text) else " "
    return not (_in_word(term[0]) and _in_word(before)) and not (
        _in_word(term[-1]) and _in_word(after)
    )


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


class CheckedText:
    """A text that comes in pieces: no sentence is passed on before it was looked at whole."""

    def __init__(self, terms: Terms, *, inside_json: bool) -> None:
        """Nothing came yet."""
        self._terms, self._inside_json = terms, inside_json
        self._tail = ""
        """The end of what was passed on, as it is compared, a character longer than a term."""
        self.held = ""

    def add(self, more: str) -> str:
        """Take more of it; what may be passed on now. Raises TermFoundError."""
        text = self.held + more
        end = end_of_sentences(text)
        if not end and len(text) > SENTENCE_CHARACTERS_MAX:
            # The beginning of a term that is cut here still waits for its end.
            end = max(0, len(text) - 2 * self._terms.longest)
        self._check(text[:end])
        self.held = text[end:]
        return text[:end]

    def end(self) -> str:
        """It is over: the rest. Raises TermFoundError."""
        self._check(self.held)
        rest, self.held = self.held, ""
        return rest

    def _check(self, text: str) -> None:
        if not text:
            return
        compared = self._terms.as_compared(text, inside_json=self._inside_json)
        if self._tail.endswith(" "):
            compared = compared.lstrip()  # White space is one space here as well.
        compared = self._tail + compared
        keep = self._terms.longest + 1
        # What stands before the tail is not known, so no term is taken to begin with it.
        if self._terms.said_in(compared, 1 if len(self._tail) == keep else 0):
            message = "a term was said"
            raise TermFoundError(message)
        self._tail = compared[-keep:]
