"""Conversations in nobody's form: what was said, what is asked for, and what the model answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR4nGNgYPhfDwADggHAxvnUVwAAAABJRU5ErkJggg=="
)
PAPER = "JVBERi0xLjQKJSVFT0YK"
SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"sides": {"type": "integer"}},
    "required": ["sides"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Call:
    """A call of a tool; its id follows from its name, so a form without ids says as much."""

    name: str
    arguments: tuple[tuple[str, int], ...] = ()

    @property
    def id(self) -> str:
        """How its result refers to it."""
        return f"call_{self.name}"


@dataclass(frozen=True)
class Say:
    """One turn; `media` are pairs of a media type and data in base64."""

    role: str
    text: str = ""
    media: tuple[tuple[str, str], ...] = ()
    calls: tuple[Call, ...] = ()
    thought: str = ""
    signature: str = ""
    result_of: str = ""
    """The call that a turn of the role `tool` answers."""


@dataclass(frozen=True)
class Usage:
    """Tokens: `cached` of the input, `reasoning` of the output."""

    input: int = 1_000
    output: int = 50
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Asked:
    """What a provider is asked."""

    turns: tuple[Say, ...]
    system: str = ""
    tools: tuple[str, ...] = ()
    choice: str = ""
    """`required`, `none`, or the name of a tool."""
    schema: bool = False
    limit: int = 300
    stop: str = ""


@dataclass(frozen=True)
class Said:
    """What a model answers; `end` is OpenAI's finish reason, or `stop_sequence`."""

    say: Say
    end: str = "stop"
    stopped_by: str = ""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Talk:
    """A conversation up to the model's next answer."""

    name: str
    asked: Asked
    said: Said


def user(text: str = "Roll.", *media: tuple[str, str]) -> Say:
    """What a user says."""
    return Say("user", text, media)


def model(text: str = "", *calls: Call, **more: str) -> Say:
    """What a model says."""
    return Say("assistant", text, calls=calls, **more)  # type: ignore[arg-type]


ROLL = Call("roll", (("sides", 6),))
FLIP = Call("flip", (("sides", 2),))
PLAIN = Said(model("It is a four."))
TALKS: tuple[Talk, ...] = (
    Talk("a question under a system prompt", Asked((user(),), system="Be brief."), PLAIN),
    Talk(
        "several turns",
        Asked((user("Hi"), model("Hello."), user("How are you?"))),
        Said(model("Fine: 漢字, 🎲 and “quotes”.")),
    ),
    Talk("a picture in the question", Asked((user("See:", ("image/png", PICTURE)),)), PLAIN),
    Talk("a PDF in the question", Asked((user("Read:", ("application/pdf", PAPER)),)), PLAIN),
    Talk("sound in the question", Asked((user("Hear:", ("audio/wav", SOUND)),)), PLAIN),
    Talk(
        "the model calls a tool",
        Asked((user(),), tools=("roll",)),
        Said(model("I do.", ROLL), "tool_calls"),
    ),
    Talk(
        "it must call one, and calls two at once",
        Asked((user(),), tools=("roll", "flip"), choice="required"),
        Said(model("", ROLL, FLIP), "tool_calls"),
    ),
    Talk(
        "a named tool must be called",
        Asked((user(),), tools=("roll", "flip"), choice="roll"),
        Said(model("", ROLL), "tool_calls"),
    ),
    Talk(
        "tools gave their results",
        Asked(
            (
                user(),
                model("I do.", ROLL, FLIP),
                Say("tool", "4", result_of=ROLL.id),
                Say("tool", "heads", result_of=FLIP.id),
            ),
            tools=("roll", "flip"),
        ),
        PLAIN,
    ),
    Talk(
        "the model thinks aloud",
        Asked((user(),)),
        Said(model("Four.", thought="Let me see."), usage=Usage(reasoning=20)),
    ),
    Talk(
        "it signs its thoughts",
        Asked((user(),)),
        Said(model("Four.", thought="Let me see.", signature="SIG"), usage=Usage(reasoning=20)),
    ),
    Talk(
        "signed thoughts come back with a result",
        Asked(
            (
                user(),
                model("", ROLL, thought="Let me see.", signature="SIG"),
                Say("tool", "4", result_of=ROLL.id),
            ),
            tools=("roll",),
        ),
        PLAIN,
    ),
    Talk(
        "JSON by a schema",
        Asked((user(),), schema=True),
        Said(model('{"sides":6}')),
    ),
    Talk(
        "cut off at the limit",
        Asked((user(),), limit=7),
        Said(model("It is"), "length", usage=Usage(output=7)),
    ),
    Talk(
        "ended by a stop sequence",
        Asked((user(),), stop="END"),
        Said(model("It is "), "stop_sequence", "END"),
    ),
    Talk("withheld by a filter", Asked((user(),)), Said(model("It"), "content_filter")),
    Talk(
        "most of the prompt was cached",
        Asked((user(),)),
        Said(model("Four."), usage=Usage(input=2_000, cached=1_500)),
    ),
)


def unsigned(said: Said) -> Said:
    """Without its signature."""
    return replace(said, say=replace(said.say, signature=""))


def just_stopped(said: Said) -> Said:
    """Without the sequence that ended it."""
    end = "stop" if said.end == "stop_sequence" else said.end
    return replace(said, end=end, stopped_by="")
