"""A body of completions in chat's form.

The prompt is one message of the user's. What the answer depends on and chat has no counterpart for
is refused by name; whatever is called alike in both goes as it came.
"""

from __future__ import annotations

from typing import Any, NoReturn

from providers.inference.port import UnsupportedError

FOREIGN = (
    *("messages", "tools", "tool_choice", "functions", "function_call", "modalities", "audio"),
    *("images", "data", "prediction"),
)
"""Members that completions do not have, or that stand for pictures beside the prompt."""


def to_chat(body: dict[str, Any]) -> dict[str, Any]:
    """Translate; raises UnsupportedError for what has no counterpart."""
    made = {name: value for name, value in body.items() if value is not None}
    for name in FOREIGN:
        if made.get(name):
            refuse(name)
    for name in ("suffix", "echo"):
        if made.pop(name, None):
            refuse(name)
    if made.pop("best_of", 1) > (made.get("n") or 1):
        refuse("best_of")
    if made.get("max_tokens") == 0:
        refuse("max_tokens: 0")
    content = _only_text(made.pop("prompt"))
    asked = made.pop("logprobs", None)
    if asked is not None:
        made["logprobs"] = True
        if asked:
            made["top_logprobs"] = asked
    made["messages"] = [{"role": "user", "content": content}]
    return made


def refuse(what: str) -> NoReturn:
    """Raise UnsupportedError, which names it."""
    message = f"{what}: only models that complete a bare prompt have that"
    raise UnsupportedError(message)


def _only_text(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    if len(prompt) > 1 and not isinstance(prompt[0], int):
        refuse("prompt: more than one")
    if not isinstance(prompt[0], str):
        refuse("prompt: tokens")
    return prompt[0]
