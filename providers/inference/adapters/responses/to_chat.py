"""A Responses body as a Chat Completions body.

Source: OpenAI's OpenAPI document (version 2.3.0), `CreateResponse` and
`CreateChatCompletionRequest`. What only shapes caches or the telling is left out; what the answer
depends on and has no counterpart, such as tools that OpenAI runs and what they gave, is refused by
name.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from providers.inference.adapters.details import unpacked
from providers.inference.adapters.responses.tools import add_tools
from providers.inference.adapters.translation import encode
from providers.inference.port import UnsupportedError

KEPT = (
    *("temperature", "top_p", "stream", "user", "service_tier", "parallel_tool_calls"),
    *("provider", "models", "portkey_provider"),
)
REFUSED = ("conversation", "prompt", "previous_response_id")
TEXTS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
LOGPROBS = "message.output_text.logprobs"


class Taker(NamedTuple):
    """What a provider understands beyond OpenAI's plain body."""

    details: bool = False
    """It takes signed thoughts back, as `reasoning_details`."""
    aggregates: bool = False
    """It has `reasoning` as OpenRouter does."""
    reasons: bool = False
    """The model takes `reasoning_effort`."""


def to_chat(body: dict[str, Any], taker: Taker) -> dict[str, Any]:
    """Translate; raises UnsupportedError for what has no counterpart."""
    for name in REFUSED:
        if body.get(name):
            refuse(name)
    made: dict[str, Any] = {name: body[name] for name in KEPT if body.get(name) is not None}
    made["model"] = body["model"]
    if body.get("max_output_tokens") is not None:
        made["max_tokens"] = body["max_output_tokens"]
    made["messages"] = [*_instructions(body.get("instructions")), *_turns(body["input"], taker)]
    add_tools(body, made)
    _add_format(body.get("text") or {}, made)
    _add_effort((body.get("reasoning") or {}).get("effort"), made, taker)
    if LOGPROBS in (body.get("include") or ()):
        made["logprobs"] = True
        if body.get("top_logprobs"):
            made["top_logprobs"] = body["top_logprobs"]
    return made


def refuse(what: str) -> NoReturn:
    """Raise UnsupportedError, which names it."""
    message = f"{what}: only OpenAI itself has that"
    raise UnsupportedError(message)


def _instructions(text: Any) -> list[dict[str, Any]]:
    return [{"role": "system", "content": text}] if text else []


def _turns(given: Any, taker: Taker) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    turns = _Turns(taker)
    for item in given:
        turns.add(item)
    return turns.done()


class _Turns:
    """Makes messages of items: of an assistant's that follow each other, one."""

    def __init__(self, taker: Taker) -> None:
        """Nothing was said."""
        self._taker = taker
        self._made: list[dict[str, Any]] = []
        self._assistant: dict[str, Any] | None = None
        self._images: list[dict[str, Any]] = []
        self._called: set[str] = set()

    def done(self) -> list[dict[str, Any]]:
        """All of it."""
        self._show()
        return self._made

    def add(self, item: dict[str, Any]) -> None:
        """One item; raises UnsupportedError."""
        kind = item.get("type") or "message"
        if kind == "message":
            self._message(item)
        elif kind == "function_call":
            self._call(item["call_id"], item["name"], item["arguments"])
        elif kind == "custom_tool_call":
            arguments = encode({"input": item["input"]}).decode()
            self._call(item["call_id"], item["name"], arguments)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._output(item)
        elif kind == "reasoning":
            self._reasoning(item)
        else:
            refuse(f"input: {kind}")

    def _message(self, item: dict[str, Any]) -> None:
        role, content = item["role"], item["content"]
        if role == "assistant":
            self._say(content)
            return
        self._assistant = None
        if role == "user":
            parts = content if isinstance(content, str) else [_part(each) for each in content]
            self._show()
            self._made.append({"role": "user", "content": _plain(parts)})
        elif role in ("system", "developer"):
            self._show()
            # Others do not know the role `developer`.
            self._made.append({"role": "system", "content": _text(content)})
        else:
            refuse(f"input: a message of the role {role}")

    def _said(self) -> dict[str, Any]:
        """The assistant's message that is being made."""
        if self._assistant is None:
            self._show()
            self._assistant = {"role": "assistant", "content": None}
            self._made.append(self._assistant)
        return self._assistant

    def _say(self, content: Any) -> None:
        said = self._said()
        if said["content"] is not None or said.get("tool_calls"):
            self._assistant = None
            said = self._said()
        said["content"] = _text(content)

    def _call(self, call_id: str, name: str, arguments: str) -> None:
        function = {"name": name, "arguments": arguments}
        call = {"id": call_id, "type": "function", "function": function}
        self._called.add(call_id)
        self._said().setdefault("tool_calls", []).append(call)

    def _output(self, item: dict[str, Any]) -> None:
        self._assistant = None
        if item["call_id"] not in self._called:
            message = f"input: an output of {item['call_id']!r}, which no item before it calls"
            raise UnsupportedError(message)
        output = item["output"]
        text = output
        if not isinstance(output, str):
            parts = [_part(each) for each in output]
            text = "\n".join(each["text"] for each in parts if each["type"] == "text")
            self._images += [each for each in parts if each["type"] != "text"]
        self._made.append({"role": "tool", "tool_call_id": item["call_id"], "content": text})

    def _show(self) -> None:
        """Pictures that tools gave stand behind their results."""
        if self._images:
            self._made.append({"role": "user", "content": self._images})
            self._images = []

    def _reasoning(self, item: dict[str, Any]) -> None:
        details = unpacked(item.get("encrypted_content")) if self._taker.details else []
        if details:
            said = self._assistant
            if said is not None and (said["content"] is not None or said.get("tool_calls")):
                self._assistant = None
            self._said().setdefault("reasoning_details", []).extend(details)


def _text(content: Any) -> str:
    """What is understood as a plain text by all."""
    if isinstance(content, str):
        return content
    texts = []
    for part in content:
        if part["type"] == "refusal":
            texts.append(part["refusal"])
        elif part["type"] in TEXTS:
            texts.append(part["text"])
        else:
            refuse(f"input: {part['type']}")
    return "\n\n".join(texts) if len(texts) > 1 else "".join(texts)


def _plain(parts: Any) -> Any:
    """One text as a plain text, which is understood by all."""
    if isinstance(parts, list) and len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind in TEXTS:
        return {"type": "text", "text": part["text"]}
    if kind == "input_image":
        if not isinstance(part.get("image_url"), str):
            refuse("input: an image of the files API")
        image = {"url": part["image_url"]}
        if part.get("detail") in ("low", "high", "auto"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file":
        if not isinstance(part.get("file_data"), str):
            refuse("input: a file by its id or URL")
        name = part.get("filename") or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": part["file_data"]}}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    refuse(f"input: {kind}")


def _add_format(text: dict[str, Any], made: dict[str, Any]) -> None:
    wanted = text.get("format") or {}
    if wanted.get("type") == "json_object":
        made["response_format"] = {"type": "json_object"}
    elif wanted.get("type") == "json_schema":
        names = ("name", "schema", "strict", "description")
        schema = {name: wanted[name] for name in names if wanted.get(name) is not None}
        if not isinstance(schema["schema"], dict):
            refuse("text.format: a schema that is no object")
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif wanted.get("type", "text") != "text":
        refuse(f"text.format: {wanted['type']}")


def _add_effort(effort: Any, made: dict[str, Any], taker: Taker) -> None:
    if not isinstance(effort, str):
        return
    if taker.aggregates:
        made["reasoning"] = {"effort": effort}
    elif taker.reasons:
        made["reasoning_effort"] = effort
