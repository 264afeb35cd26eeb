"""The shortest plain text that a regular expression describes, without ever running it.

JSON Schema's patterns are those of ECMA-262; what they share with Python's covers what schemas
are written in, and anything else is refused by name.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Of the standard library, which gives them no types.
words: Any = import_module("re._constants")
parser: Any = import_module("re._parser")
PATTERN_CHARACTERS_MAX = 1_000
TEXT_CHARACTERS_MAX = 10_000
PLAIN = "a0A-_ .:/@#"
"""What is tried for a class that names what it is not."""


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


CATEGORIES: dict[Any, tuple[str, Callable[[str], bool]]] = {
    words.CATEGORY_DIGIT: ("0", str.isdecimal),
    words.CATEGORY_WORD: ("a", _is_word),
    words.CATEGORY_SPACE: (" ", str.isspace),
    words.CATEGORY_NOT_DIGIT: ("a", lambda each: not each.isdecimal()),
    words.CATEGORY_NOT_WORD: ("-", lambda each: not _is_word(each)),
    words.CATEGORY_NOT_SPACE: ("a", lambda each: not each.isspace()),
}
"""One character of each category, and whether another is of it."""


class PatternError(ValueError):
    """No text can be made of this pattern."""


def text_matching(pattern: str) -> str:
    """A text that matches; raises PatternError."""
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        message = f"a pattern has at most {PATTERN_CHARACTERS_MAX} characters here"
        raise PatternError(message)
    try:
        return _text(parser.parse(pattern))
    except (re.error, RecursionError, OverflowError):
        message = f"the pattern {pattern[:100]!r} cannot be read"
        raise PatternError(message) from None


def _text(parsed: Any) -> str:
    made = "".join(_part(word, value) for word, value in parsed)
    if len(made) > TEXT_CHARACTERS_MAX:
        message = f"a pattern describes at most {TEXT_CHARACTERS_MAX} characters here"
        raise PatternError(message)
    return made


def _part(word: Any, value: Any) -> str:
    maker = MAKERS.get(word)
    if maker is None:
        message = f"a pattern with {str(word).lower()} is not understood here"
        raise PatternError(message)
    return maker(value)


def _repeated(repeat: Any) -> str:
    times, text = int(repeat[0]), _text(repeat[2])
    if times * len(text) > TEXT_CHARACTERS_MAX:
        message = f"a pattern describes at most {TEXT_CHARACTERS_MAX} characters here"
        raise PatternError(message)
    return text * times


def _member(items: list[Any]) -> str:
    """A character of a class."""
    first, value = items[0]
    if first is words.NEGATE:
        for each in PLAIN:
            if not any(_holds(item, each) for item in items[1:]):
                return each
        message = "a class that allows no plain character is not understood here"
        raise PatternError(message)
    if first is words.RANGE:
        return chr(value[0])
    return CATEGORIES[value][0] if first is words.CATEGORY else chr(value)


def _holds(item: Any, character: str) -> bool:
    """Whether a part of a class holds a character."""
    word, value = item
    if word is words.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    if word is words.CATEGORY:
        return CATEGORIES[value][1](character)
    return bool(value == ord(character))


MAKERS: dict[Any, Callable[[Any], str]] = {
    words.LITERAL: chr,
    words.NOT_LITERAL: lambda value: "a" if value != ord("a") else "b",
    words.ANY: lambda _: "a",
    words.IN: _member,
    words.AT: lambda _: "",
    words.BRANCH: lambda value: _text(value[1][0]),
    words.SUBPATTERN: lambda value: _text(value[-1]),
    words.ATOMIC_GROUP: _text,
    words.MAX_REPEAT: _repeated,
    words.MIN_REPEAT: _repeated,
    words.POSSESSIVE_REPEAT: _repeated,
}
"""How each part of a pattern is made, by the parser's name for it."""
