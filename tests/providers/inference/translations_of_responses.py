"""What becomes of each part of a Responses body where chat is spoken: the third table of the page.

Kept beside `translations`, which has the table's form and the other two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.inference.adapters.anthropic.request import to_anthropic
from providers.inference.adapters.details import packed
from providers.inference.adapters.gemini.request import to_gemini
from providers.inference.adapters.responses.to_chat import Taker, to_chat
from providers.inference.adapters.translation import translated
from tests.providers.inference.translations import (
    CARRIED,
    LEFT_OUT,
    MENDED,
    REFUSED,
    SIGNED,
    Line,
    To,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PNG = "data:image/png;base64,aGk="
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
FUNCTION = {"type": "function", "name": "f", "description": "Does f.", "parameters": SCHEMA}
SEALED = "gwd1.W3sidHlwZSI6InJlYXNvbmluZy50ZXh0IiwidGV4dCI6IkhtLiIsInNpZ25hdHVyZSI6IlNJRyJ9XQ=="
"""One thought with the signature `SIG`, as it comes back in an item."""
GEMINIS = packed([SIGNED])
"""A signature of a call of Gemini's."""
CALL = {"type": "function_call", "call_id": "t", "name": "f", "arguments": '{"x":1}'}
HI = {"role": "user", "content": "Hi"}


def chat_of(taker: Taker) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The translation to an OpenAI-shaped provider; each example has a model and an input."""
    return lambda body: translated(lambda given: to_chat({"input": "Hi", **given}, taker), body)


def anthropic_of(body: dict[str, Any]) -> dict[str, Any]:
    """To Anthropic: through chat's form, as any call goes."""
    taker = Taker(details=True, reasons=True)
    return translated(to_anthropic, chat_of(taker)(body))


def gemini_of(body: dict[str, Any]) -> dict[str, Any]:
    """To Gemini: the same."""
    return translated(to_gemini, chat_of(Taker(details=True, reasons=True))(body))


RESPONSES_TO: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "OpenAI-shaped": chat_of(Taker(reasons=True)),
    "Aggregators": chat_of(Taker(details=True, aggregates=True)),
    "Anthropic": anthropic_of,
    "Gemini": gemini_of,
}
ALL_REFUSE = (To(REFUSED),) * 4


def alike(word: str, how: str = "", *shows: str, lacks: str = "") -> tuple[To, To]:
    """The same at OpenAI-shaped providers and aggregators."""
    found = To(word, how, shows, lacks)
    return (found, found)


def everywhere(word: str, how: str = "", *, lacks: str) -> tuple[To, ...]:
    """The same at all."""
    return (To(word, how, (), lacks),) * 4


def _user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": list(parts)}]}


FROM_RESPONSES: tuple[Line, ...] = (
    Line(
        "`input`, a text",
        {"input": "Hello"},
        (
            *alike(CARRIED, "", '{"role":"user","content":"Hello"}'),
            To(CARRIED, "", ('"text":"Hello"',)),
            To(CARRIED, "", ('"text":"Hello"',)),
        ),
    ),
    Line(
        "`instructions`",
        {"instructions": "Be brief."},
        (
            *alike(CARRIED, "", '{"role":"system","content":"Be brief."}'),
            To(CARRIED, "", ('"system":',)),
            To(CARRIED, "", ('"systemInstruction":',)),
        ),
    ),
    Line(
        "messages of the roles `system` and `developer`",
        {"input": [{"role": "developer", "content": "Now."}, HI]},
        (
            *alike(MENDED, "`system`", '{"role":"system","content":"Now."}'),
            To(MENDED, "joined to the system prompt", ('"system":',)),
            To(MENDED, "joined to the system prompt", ('"systemInstruction":',)),
        ),
    ),
    Line(
        "images, as a URL or data URL",
        _user({"type": "input_image", "image_url": PNG}),
        (
            *alike(CARRIED, "", PNG),
            To(CARRIED, "", ('"media_type":"image/png"',)),
            To(CARRIED, "", ('"inlineData"',)),
        ),
    ),
    Line(
        "files, as data",
        _user(
            {
                "type": "input_file",
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64,aGk=",
            }
        ),
        (
            *alike(CARRIED, "as a `file` part", '"file":{"filename":"a.pdf"'),
            To(CARRIED, "", ('"type":"document"',)),
            To(CARRIED, "", ('"application/pdf"',)),
        ),
    ),
    Line(
        "images and files by `file_id`, files by URL",
        _user({"type": "input_file", "file_id": "f"}),
        ALL_REFUSE,
    ),
    Line(
        "`tools`: functions",
        {"tools": [FUNCTION]},
        (
            *alike(CARRIED, "", '"function":{"name":"f","parameters":{"type":"object"'),
            To(CARRIED, "", ('"input_schema"',)),
            To(CARRIED, "", ('"functionDeclarations"',)),
        ),
    ),
    Line(
        "`tools`: custom ones",
        {"tools": [{"type": "custom", "name": "patch"}]},
        (
            *alike(MENDED, "a function of one text, `input`", '"required":["input"]'),
            To(MENDED, "the same", ('"required":["input"]',)),
            To(MENDED, "the same", ('"required":["input"]',)),
        ),
    ),
    Line(
        "`tools` that OpenAI runs: search, code, images, computer, MCP, shell",
        {"tools": [{"type": "web_search"}]},
        ALL_REFUSE,
    ),
    Line(
        "what such tools gave",
        {"input": [HI, {"type": "web_search_call", "id": "w", "status": "completed"}]},
        ALL_REFUSE,
    ),
    Line(
        "`tool_choice`",
        {"tools": [FUNCTION], "tool_choice": "required"},
        (
            *alike(CARRIED, "", '"tool_choice":"required"'),
            To(CARRIED, "", ('"type":"any"',)),
            To(CARRIED, "", ('"mode":"ANY"',)),
        ),
    ),
    Line(
        "`tool_choice` of `allowed_tools`",
        {
            "tools": [FUNCTION, {**FUNCTION, "name": "other"}],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}],
            },
        },
        everywhere(MENDED, "the others are not sent", lacks="other"),
    ),
    Line(
        "`parallel_tool_calls: false`",
        {"tools": [FUNCTION], "parallel_tool_calls": False},
        (
            *alike(CARRIED, "", '"parallel_tool_calls":false'),
            To(CARRIED, "", ('"disable_parallel_tool_use":true',)),
            To(LEFT_OUT, "Gemini has none", (), "arallel"),
        ),
    ),
    Line(
        "calls and their outputs",
        {"input": [HI, CALL, {"type": "function_call_output", "call_id": "t", "output": "4"}]},
        (
            *alike(CARRIED, "", '"tool_calls"', '{"role":"tool","tool_call_id":"t","content":"4"}'),
            To(CARRIED, "", ('"tool_use"', '"tool_result"')),
            To(CARRIED, "", ('"functionCall":{"name":"f"', '"functionResponse":{"name":"f"')),
        ),
    ),
    Line(
        "images in an output",
        {
            "input": [
                HI,
                CALL,
                {
                    "type": "function_call_output",
                    "call_id": "t",
                    "output": [{"type": "input_image", "image_url": PNG}],
                },
            ]
        },
        (
            *alike(MENDED, "they stand behind the outputs", PNG),
            To(MENDED, "the same", ('"media_type":"image/png"',)),
            To(MENDED, "the same", ('"inlineData"',)),
        ),
    ),
    Line(
        "an output without its call",
        {"input": [HI, {"type": "function_call_output", "call_id": "none", "output": "4"}]},
        ALL_REFUSE,
    ),
    Line(
        "`reasoning` items that came from here",
        {
            "input": [
                HI,
                {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": SEALED},
                {"role": "assistant", "content": "So."},
                HI,
            ]
        },
        (
            To(LEFT_OUT, "only who made it can read it", (), "SIG"),
            To(CARRIED, "as `reasoning_details`", ('"signature":"SIG"',)),
            To(CARRIED, "as `thinking` blocks", ('"signature":"SIG"',)),
            To(LEFT_OUT, "only its own signatures count", (), "SIG"),
        ),
    ),
    Line(
        "signatures of Gemini's calls, in such items",
        {
            "input": [
                HI,
                {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": GEMINIS},
                {"type": "function_call", "call_id": "t", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "t", "output": "4"},
            ]
        },
        (
            To(LEFT_OUT, "only Gemini can read them", (), "SIG"),
            To(CARRIED, "in `reasoning_details`", ('"data":"SIG"',)),
            To(LEFT_OUT, "only Gemini can read them", (), "SIG"),
            To(CARRIED, "with the call", ('"thoughtSignature":"SIG"',)),
        ),
    ),
    Line(
        "`reasoning` items of OpenAI's own",
        {
            "input": [
                HI,
                {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "gAAA"},
            ]
        },
        everywhere(LEFT_OUT, "only OpenAI can read them", lacks="gAAA"),
    ),
    Line(
        "`reasoning.effort`",
        {"reasoning": {"effort": "low"}, "max_output_tokens": 4_000},
        (
            To(
                CARRIED,
                "`reasoning_effort`, where the model is known to take it",
                ('"reasoning_effort":"low"',),
            ),
            To(CARRIED, "", ('"reasoning":{"effort":"low"}',)),
            To(MENDED, "a budget of thinking, where it is known", ('"budget_tokens":1024',)),
            To(MENDED, "a budget of thinking, where it is known", ('"thinkingBudget":1024',)),
        ),
    ),
    Line(
        "`reasoning.summary`, `text.verbosity`",
        {"reasoning": {"summary": "detailed"}, "text": {"verbosity": "low"}},
        (
            To(LEFT_OUT, "what thoughts there are is told", (), "detailed"),
            *(To(LEFT_OUT, "the same", (), "detailed"),) * 3,
        ),
    ),
    Line(
        "`text.format`, JSON by a schema",
        {"text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}},
        (
            *alike(CARRIED, "as `response_format`", '"json_schema"', '"required":["x"]'),
            To(MENDED, "a tool that must be called", ('"json_response"',)),
            To(CARRIED, "", ('"responseJsonSchema"',)),
        ),
    ),
    Line(
        "`max_output_tokens`",
        {"max_output_tokens": 77},
        (
            *alike(CARRIED, "`max_completion_tokens` for OpenAI's reasoning models", "77"),
            To(CARRIED, "", ('"max_tokens":77',)),
            To(CARRIED, "", ('"maxOutputTokens":77',)),
        ),
    ),
    Line(
        "`temperature`, `top_p`",
        {"temperature": 0.5, "top_p": 0.25},
        (
            *alike(CARRIED, "", "0.5", "0.25"),
            To(CARRIED, "", ("0.5", "0.25")),
            To(CARRIED, "", ("0.5", "0.25")),
        ),
    ),
    Line(
        "`metadata`, `truncation`, `max_tool_calls`, `prompt_cache_key`, `safety_identifier`",
        {"metadata": {"k": "v-9"}, "prompt_cache_key": "v-9", "safety_identifier": "v-9"},
        everywhere(LEFT_OUT, "", lacks="v-9"),
    ),
    Line("an item that nobody knows", {"input": [{"type": "hologram"}]}, ALL_REFUSE),
)
