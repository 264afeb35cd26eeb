"""What becomes of each conversation by API and kind of provider: a table, tested and printed.

`test_conversations.py` holds each cell against a gateway, and `make reference` writes the tables of
`docs/reference/translations.md` from it. What is not in FATES is carried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.e2e.conversations.chat import Chat
from tests.e2e.conversations.completions import Completions
from tests.e2e.conversations.forms import UnsayableError
from tests.e2e.conversations.gemini import Gemini
from tests.e2e.conversations.messages import Messages
from tests.e2e.conversations.responses import Responses
from tests.e2e.conversations.talks import TALKS, Asked, Say, Talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conversations.forms import CallersForm, ProvidersForm

CHAT, MESSAGES, RESPONSES, COMPLETIONS = "chat", "messages", "responses", "completions"
SHAPED, AGGREGATORS, OPENAI = "OpenAI-shaped", "Aggregators", "OpenAI"
ANTHROPIC, GEMINI = "Anthropic", "Gemini"
MARKED = "skip_thought_signature_validator"
"""What stands where Gemini wants a signature and there is none."""


@dataclass(frozen=True)
class Kind:
    """A kind of provider: one of it, a model of it, and what it speaks."""

    provider: str
    model: str
    speaks: ProvidersForm


KINDS = {
    SHAPED: Kind("chutes", "m", Chat()),
    AGGREGATORS: Kind("vercel-ai-gateway", "m", Chat(aggregates=True)),
    OPENAI: Kind("openai", "gpt-5-m", Chat()),
    ANTHROPIC: Kind("anthropic", "claude-m", Messages()),
    GEMINI: Kind("google-vertex", "gemini-3-m", Gemini()),
}
APIS: dict[str, CallersForm] = {
    CHAT: Chat(),
    MESSAGES: Messages(),
    RESPONSES: Responses(),
    COMPLETIONS: Completions(),
}
NATIVE = Responses(native=True)


def spoken(api: str, kind: str) -> tuple[CallersForm, ProvidersForm]:
    """What the caller and the provider speak: Responses pass where they are understood."""
    if (api, kind) == (RESPONSES, OPENAI):
        return NATIVE, NATIVE
    return APIS[api], KINDS[kind].speaks


@dataclass(frozen=True)
class Fate:
    """What becomes of a conversation: the word, how, and what of it the provider is asked."""

    word: str = "carried"
    how: str = ""
    arrives: Callable[[Asked], Asked] = lambda asked: asked

    def __str__(self) -> str:
        return f"{self.word}: {self.how}" if self.how else self.word

    @property
    def refused(self) -> bool:
        """Whether nobody is asked."""
        return self.word == "refused"


def unsigned_calls(asked: Asked) -> Asked:
    """Calls that nobody signed, marked as such."""
    return replace(
        asked,
        turns=tuple(replace(say, signature=MARKED) if say.calls else say for say in asked.turns),
    )


def with_thoughts(change: Callable[[Say], Say]) -> Callable[[Asked], Asked]:
    """What is asked, each turn with thoughts changed."""
    return lambda asked: replace(
        asked, turns=tuple(change(say) if say.thought else say for say in asked.turns)
    )


forgotten = with_thoughts(lambda say: replace(say, thought="", signature=""))
unreadable = with_thoughts(lambda say: replace(say, thought="", signature=MARKED))
UNSIGNED = Fate("mended", "calls are marked as unsigned, from Gemini 3 on", unsigned_calls)
LEFT_OUT = Fate("left out", "only who made it can read it", forgotten)
STOPPED = Fate("mended", "which sequence ended it is not told")
SOUND, STOP = "sound in the question", "ended by a stop sequence"
RESULTS = "tools gave their results"
BACK = "signed thoughts come back with a result"
FATES: dict[tuple[str, str, str], Fate] = {
    (CHAT, ANTHROPIC, SOUND): Fate("refused"),
    (CHAT, SHAPED, BACK): LEFT_OUT,
    (CHAT, OPENAI, BACK): LEFT_OUT,
    (CHAT, GEMINI, RESULTS): UNSIGNED,
    (MESSAGES, GEMINI, RESULTS): UNSIGNED,
    (RESPONSES, GEMINI, RESULTS): UNSIGNED,
    (CHAT, GEMINI, BACK): Fate("left out", "only its own signatures count", unreadable),
    (CHAT, ANTHROPIC, "JSON by a schema"): Fate("mended", "a tool that must be called"),
    (MESSAGES, SHAPED, BACK): LEFT_OUT,
    (MESSAGES, OPENAI, BACK): LEFT_OUT,
    (MESSAGES, GEMINI, BACK): Fate("left out", "only its own signatures count", unreadable),
    (MESSAGES, SHAPED, STOP): STOPPED,
    (MESSAGES, AGGREGATORS, STOP): STOPPED,
    (MESSAGES, OPENAI, STOP): STOPPED,
    (MESSAGES, GEMINI, STOP): STOPPED,
    (RESPONSES, SHAPED, BACK): LEFT_OUT,
    (RESPONSES, GEMINI, BACK): Fate("left out", "only its own signatures count", unreadable),
    (RESPONSES, ANTHROPIC, "JSON by a schema"): Fate("mended", "a tool that must be called"),
}
"""Of an API at a kind of provider, by the conversation's name."""


def fate(api: str, kind: str, talk: Talk) -> Fate:
    """That of one."""
    return FATES.get((api, kind, talk.name), Fate())


def sayable(api: str) -> tuple[Talk, ...]:
    """The conversations that an API has words for."""
    return tuple(talk for talk in TALKS if _has_words(api, talk))


def _has_words(api: str, talk: Talk) -> bool:
    try:
        APIS[api].body(talk.asked)
    except UnsayableError:
        return False
    return True


def table(api: str) -> str:
    """The table of an API, in Markdown."""
    rows = [f"| | {' | '.join(KINDS)} |", "|---" * (len(KINDS) + 1) + "|"]
    for talk in sayable(api):
        cells = [str(fate(api, kind, talk)) for kind in KINDS]
        rows.append(f"| {talk.name} | {' | '.join(cells)} |")
    return "\n".join(rows)
