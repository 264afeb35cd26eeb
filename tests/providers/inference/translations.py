"""What becomes of each part of a body on its way to another API: one table, tested and printed.

`test_translations.py` holds each line against the translators, and `make reference` writes the page
`docs/reference/translations.md` from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from providers.inference.adapters.anthropic.request import to_anthropic
from providers.inference.adapters.anthropic.to_chat import Taker, to_chat
from providers.inference.adapters.details import packed
from providers.inference.adapters.gemini.request import to_gemini
from providers.inference.adapters.translation import translated
from providers.inference.port import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

CARRIED, MENDED, LEFT_OUT, REFUSED = "carried", "mended", "left out", "refused"
PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "aGk="}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
SIGNED = {"type": "reasoning.encrypted", "format": "google-gemini-v1", "id": "t", "data": "SIG"}
"""A signature of Gemini's, of a call."""
FUNCTION = {"name": "f", "description": "Does f.", "input_schema": SCHEMA}
CACHED = {"type": "ephemeral"}


@dataclass(frozen=True)
class To:
    """What becomes of a part at one kind of provider: the word, how, and what shows it.

    `shows` are texts of which each stands in the made body; `lacks` one that does not.
    """

    word: str
    how: str = ""
    shows: tuple[str, ...] = ()
    lacks: str = ""

    def __str__(self) -> str:
        return f"{self.word}: {self.how}" if self.how else self.word


@dataclass(frozen=True)
class Line:
    """A part of a body, an example of it, and what becomes of it by the provider's kind."""

    part: str
    body: dict[str, Any]
    to: tuple[To, ...]


def _user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def _assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    said = {"role": "user", "content": "Hi"}
    return {"messages": [said, {"role": "assistant", "content": list(blocks)}]}


def _said(hidden: str) -> dict[str, Any]:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    return {
        "role": "assistant",
        "content": [{"type": "redacted_thinking", "data": hidden}, call],
    }


def chat_of(aggregates: bool, reasons: bool) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The translation of Messages to an OpenAI-shaped provider."""
    taker = Taker(aggregates=aggregates, details=aggregates, reasons=reasons)
    return lambda body: translated(lambda given: to_chat(given, taker), body)


def gemini_of(body: dict[str, Any]) -> dict[str, Any]:
    """The translation of Messages to Gemini: through chat's form, as any call goes."""
    return translated(
        to_gemini, translated(lambda given: to_chat(given, Taker(details=True)), body)
    )


MESSAGES_TO: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "OpenAI-shaped": chat_of(aggregates=False, reasons=True),
    "Aggregators": chat_of(aggregates=True, reasons=False),
    "Gemini": gemini_of,
}
CHAT_TO: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "Anthropic": lambda body: translated(to_anthropic, body),
    "Gemini": lambda body: translated(to_gemini, body),
}
ALL_REFUSE = (To(REFUSED),) * 3


def alike(word: str, how: str = "", *shows: str, lacks: str = "") -> tuple[To, To]:
    """The same at OpenAI-shaped providers and aggregators."""
    found = To(word, how, shows, lacks)
    return (found, found)


FROM_MESSAGES: tuple[Line, ...] = (
    Line(
        "`system`, a text",
        {"system": "Be brief."},
        (
            *alike(CARRIED, "", '"role":"system","content":"Be brief."'),
            To(CARRIED, "", ('"systemInstruction":{"parts":[{"text":"Be brief."}]}',)),
        ),
    ),
    Line(
        "`system`, blocks",
        {"system": [{"type": "text", "text": "A."}, {"type": "text", "text": "B."}]},
        (
            *alike(MENDED, "one text with empty lines between", '"content":"A.\\n\\nB."'),
            To(MENDED, "the same", ('"text":"A.\\n\\nB."',)),
        ),
    ),
    Line(
        "a message of the role `system`",
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "system", "content": "New."}]},
        (
            *alike(CARRIED, "at its place", '{"role":"system","content":"New."}'),
            To(MENDED, "joined to the system prompt", ('"systemInstruction":', '"New."')),
        ),
    ),
    Line(
        "`cache_control`",
        {"system": [{"type": "text", "text": "S", "cache_control": CACHED}]},
        (
            To(LEFT_OUT, "they cache by themselves", (), "ephemeral"),
            To(CARRIED, "", ("ephemeral",)),
            To(LEFT_OUT, "the same", (), "ephemeral"),
        ),
    ),
    Line(
        "images, base64",
        _user({"type": "image", "source": PNG}),
        (
            *alike(CARRIED, "as a data URL", "data:image/png;base64,aGk="),
            To(CARRIED, "", ('"inlineData":{"mimeType":"image/png","data":"aGk="}',)),
        ),
    ),
    Line(
        "images, URL",
        _user({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}),
        (*alike(CARRIED, "", "https://x/y.png"), To(CARRIED, "", ("https://x/y.png",))),
    ),
    Line(
        "images and documents of the files API",
        _user({"type": "image", "source": {"type": "file", "file_id": "f"}}),
        ALL_REFUSE,
    ),
    Line(
        "PDFs",
        _user({"type": "document", "source": PDF}),
        (
            *alike(CARRIED, "as a `file` part", '"file":{"filename":"document.pdf"'),
            To(CARRIED, "", ('"mimeType":"application/pdf"',)),
        ),
    ),
    Line(
        "documents of text",
        _user({"type": "document", "source": {"type": "text", "data": "Long."}}),
        (*alike(MENDED, "a text", "Long."), To(MENDED, "the same", ("Long.",))),
    ),
    Line(
        "`search_result` blocks",
        _user({"type": "search_result", "source": "s", "title": "t", "content": []}),
        ALL_REFUSE,
    ),
    Line(
        "`tools` of one's own",
        {"tools": [FUNCTION]},
        (
            *alike(CARRIED, "", '"type":"function"', '"parameters":{"type":"object"'),
            To(CARRIED, "", ('"functionDeclarations"', '"parametersJsonSchema"')),
        ),
    ),
    Line(
        "fine-grained tool streaming",
        {"tools": [{**FUNCTION, "eager_input_streaming": True}]},
        (
            *alike(LEFT_OUT, "arguments come as the provider sends them", lacks="eager"),
            To(LEFT_OUT, "the same", (), "eager"),
        ),
    ),
    Line(
        "tools that Anthropic describes or runs",
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        ALL_REFUSE,
    ),
    Line("what such tools gave", _assistant({"type": "server_tool_use", "id": "s"}), ALL_REFUSE),
    Line("`mcp_servers`", {"mcp_servers": [{"type": "url", "url": "https://x"}]}, ALL_REFUSE),
    Line("`container`", {"container": "c"}, ALL_REFUSE),
    Line(
        "`tool_choice` `auto`, `any`, `tool`, `none`",
        {"tools": [FUNCTION], "tool_choice": {"type": "any"}},
        (*alike(CARRIED, "", '"required"'), To(CARRIED, "", ('"mode":"ANY"',))),
    ),
    Line(
        "`disable_parallel_tool_use`",
        {"tools": [FUNCTION], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        (
            *alike(CARRIED, "", '"parallel_tool_calls":false'),
            To(LEFT_OUT, "Gemini has none", (), "parallel"),
        ),
    ),
    Line(
        "`tool_use` and `tool_result`",
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": "4"}],
                },
            ]
        },
        (
            *alike(CARRIED, "", '"tool_calls"', '"role":"tool","tool_call_id":"t","content":"4"'),
            To(CARRIED, "", ('"functionCall":{"name":"f"', '"functionResponse":{"name":"f"')),
        ),
    ),
    Line(
        "a result's `is_error`",
        _user({"type": "tool_result", "tool_use_id": "t", "content": "No", "is_error": True}),
        (
            *alike(MENDED, "the text begins with `Error: `", "Error: No"),
            To(MENDED, "the same", ("Error: No",)),
        ),
    ),
    Line(
        "images in a result",
        _user(
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "image", "source": PNG}],
            }
        ),
        (
            *alike(MENDED, "they stand behind the results", "data:image/png;base64,aGk="),
            To(MENDED, "the same", ('"inlineData"',)),
        ),
    ),
    Line(
        "`thinking` of earlier turns, with its signature",
        _assistant(
            {"type": "thinking", "thinking": "Hm.", "signature": "SIG"},
            {"type": "text", "text": "So."},
        ),
        (
            To(LEFT_OUT, "only who made it can read it", (), "SIG"),
            To(CARRIED, "in `reasoning_details`", ('"signature":"SIG"',)),
            To(LEFT_OUT, "the same", (), "SIG"),
        ),
    ),
    Line(
        "`redacted_thinking`",
        _assistant({"type": "redacted_thinking", "data": "HID"}, {"type": "text", "text": "So."}),
        (
            To(LEFT_OUT, "only who made it can read it", (), "HID"),
            To(CARRIED, "in `reasoning_details`", ('"data":"HID"',)),
            To(LEFT_OUT, "the same", (), "HID"),
        ),
    ),
    Line(
        "signatures of Gemini's calls, packed in `redacted_thinking`",
        {"messages": [_said(packed([SIGNED]) or "")]},
        (
            To(LEFT_OUT, "only Gemini can read them", (), "SIG"),
            To(CARRIED, "in `reasoning_details`", ('"data":"SIG"',)),
            To(CARRIED, "with the call", ('"thoughtSignature":"SIG"',)),
        ),
    ),
    Line(
        "`thinking` with a budget",
        {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
        (
            To(
                MENDED,
                "`reasoning_effort`, where the model is known to take it",
                ('"reasoning_effort":"medium"',),
            ),
            To(CARRIED, "as `reasoning.max_tokens`", ('"reasoning":{"max_tokens":2000}',)),
            To(LEFT_OUT, "the model thinks as it likes", (), "thinkingBudget"),
        ),
    ),
    Line(
        "`output_config.format`, JSON by a schema",
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        (
            *alike(CARRIED, "as `response_format`", '"json_schema"', '"required":["x"]'),
            To(CARRIED, "", ('"responseJsonSchema"',)),
        ),
    ),
    Line(
        "`max_tokens`",
        {"max_tokens": 77},
        (
            *alike(CARRIED, "`max_completion_tokens` for OpenAI's reasoning models", "77"),
            To(CARRIED, "", ('"maxOutputTokens":77',)),
        ),
    ),
    Line(
        "`stop_sequences`",
        {"stop_sequences": ["END"]},
        (
            *alike(CARRIED, "which of them stopped it is not told", '"stop":["END"]'),
            To(CARRIED, "the same", ('"stopSequences":["END"]',)),
        ),
    ),
    Line(
        "`temperature`, `top_p`",
        {"temperature": 0.5, "top_p": 0.25},
        (*alike(CARRIED, "", "0.5", "0.25"), To(CARRIED, "", ('"topP":0.25',))),
    ),
    Line(
        "`top_k`",
        {"top_k": 41},
        (
            To(LEFT_OUT, "OpenAI's API has none", (), "41"),
            To(CARRIED, "", ('"top_k":41',)),
            To(LEFT_OUT, "it is lost on the way", (), "41"),
        ),
    ),
    Line(
        "`metadata.user_id`",
        {"metadata": {"user_id": "u-1"}},
        (*alike(CARRIED, "as `user`", '"user":"u-1"'), To(LEFT_OUT, "", (), "u-1")),
    ),
    Line(
        "`context_management`, `service_tier`",
        {"context_management": {"edits": []}, "service_tier": "auto"},
        (*alike(LEFT_OUT, "", lacks="edits"), To(LEFT_OUT, "", (), "edits")),
    ),
    Line(
        "a block that nobody knows",
        _user({"type": "hologram"}),
        ALL_REFUSE,
    ),
)
CHAT_TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "Does f.", "parameters": SCHEMA},
}


def _asks(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


FROM_CHAT: tuple[Line, ...] = (
    Line(
        "messages of the roles `system` and `developer`",
        {"messages": [{"role": "system", "content": "S."}, {"role": "user", "content": "Hi"}]},
        (To(CARRIED, "as `system`", ('"system":[',)), To(CARRIED, "", ('"systemInstruction"',))),
    ),
    Line(
        "images",
        _asks({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}),
        (To(CARRIED, "", ('"media_type":"image/png"',)), To(CARRIED, "", ('"inlineData"',))),
    ),
    Line(
        "files",
        _asks({"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}}),
        (To(CARRIED, "", ('"type":"document"',)), To(CARRIED, "", ('"application/pdf"',))),
    ),
    Line(
        "audio in the prompt",
        _asks({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}),
        (To(REFUSED), To(CARRIED, "", ('"audio/wav"',))),
    ),
    Line(
        "`tools`, `tool_choice`",
        {"tools": [CHAT_TOOL], "tool_choice": "required"},
        (
            To(CARRIED, "", ('"input_schema"', '"type":"any"')),
            To(CARRIED, "", ('"functionDeclarations"', '"ANY"')),
        ),
    ),
    Line(
        "`parallel_tool_calls: false`",
        {"tools": [CHAT_TOOL], "parallel_tool_calls": False},
        (To(CARRIED, "", ('"disable_parallel_tool_use":true',)), To(LEFT_OUT, "", (), "arallel")),
    ),
    Line(
        "`reasoning_details` with signatures",
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {
                    "role": "assistant",
                    "content": "So.",
                    "reasoning_details": [
                        {"type": "reasoning.text", "text": "Hm.", "signature": "SIG"}
                    ],
                },
            ]
        },
        (
            To(CARRIED, "as `thinking` blocks", ('"signature":"SIG"',)),
            To(LEFT_OUT, "only Anthropic can read them", (), "SIG"),
        ),
    ),
    Line(
        "`response_format`, JSON by a schema",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": SCHEMA},
            }
        },
        (
            To(MENDED, "a tool that must be called", ('"json_response"',)),
            To(CARRIED, "", ('"responseJsonSchema"',)),
        ),
    ),
    Line(
        "`reasoning_effort`",
        {"reasoning_effort": "low", "max_tokens": 4_000},
        (
            To(MENDED, "a budget of thinking", ('"budget_tokens":1024',)),
            To(MENDED, "a budget of thinking", ('"thinkingBudget":1024',)),
        ),
    ),
    Line(
        "`stop`",
        {"stop": "END"},
        (To(CARRIED, "", ('"stop_sequences":["END"]',)), To(CARRIED, "", ('"stopSequences"',))),
    ),
    Line(
        "`temperature` above 1",
        {"temperature": 1.5},
        (To(MENDED, "1", ('"temperature":1',), "1.5"), To(CARRIED, "", ("1.5",))),
    ),
    Line(
        "`seed`, penalties",
        {"seed": 4_711},
        (To(LEFT_OUT, "", (), "4711"), To(CARRIED, "", ('"seed":4711',))),
    ),
    Line("`n` above 1", {"n": 2}, (To(REFUSED), To(CARRIED, "", ('"candidateCount":2',)))),
    Line("`logprobs`", {"logprobs": True}, (To(REFUSED), To(CARRIED, "", ('"responseLogprobs"',)))),
)
REPLIES = """| OpenAI's `finish_reason` | Anthropic's `stop_reason` |
|---|---|
{finishes}

| Anthropic's `stop_reason` | OpenAI's `finish_reason` |
|---|---|
{stops}"""


def outcome(translate: Callable[[dict[str, Any]], dict[str, Any]], line: Line) -> str | None:
    """What a translator makes of a line's example, as JSON; None where it refuses."""
    import msgspec

    body = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}
    try:
        return msgspec.json.encode(translate({**body, **line.body})).decode()
    except UnsupportedError:
        return None


def table(lines: tuple[Line, ...], kinds: dict[str, Any]) -> str:
    """The lines in Markdown."""
    rows = [f"| {line.part} | {' | '.join(map(str, line.to))} |" for line in lines]
    head = f"| | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}"
    return "\n".join([head, *rows])


def ends_table() -> str:
    """How reasons to end are called."""
    from providers.inference.adapters.anthropic.as_message import STOP_REASONS
    from providers.inference.adapters.anthropic.reply import FINISH

    return REPLIES.format(
        finishes="\n".join(f"| `{a}` | `{b}` |" for a, b in STOP_REASONS.items()),
        stops="\n".join(f"| `{a}` | `{b}` |" for a, b in FINISH.items()),
    )
