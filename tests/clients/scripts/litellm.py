"""Drives the gateway with LiteLLM as a client; prints what came back. Usage: URL API_KEY."""

from __future__ import annotations

import json
import sys
from typing import Any

import litellm

url, key = sys.argv[1:]
HELLO = [{"role": "user", "content": "one two three"}]
TOOL = {"type": "function", "function": {"name": "roll", "parameters": {"type": "object"}}}
found: dict[str, Any] = {}
for protocol, model, base in (
    ("openai", "openai/simulator/echo", f"{url}/v1"),
    ("anthropic", "anthropic/simulator/echo", url),
):
    asked: dict[str, Any] = {"model": model, "api_base": base, "api_key": key, "max_tokens": 50}
    whole = litellm.completion(messages=HELLO, **asked)
    stream = list(
        litellm.completion(
            messages=HELLO, stream=True, stream_options={"include_usage": True}, **asked
        )
    )
    called = litellm.completion(messages=HELLO, tools=[TOOL], tool_choice="required", **asked)
    found[protocol] = {
        "whole": whole.choices[0].message.content,
        "usage": whole.usage.completion_tokens,
        "text": "".join(each.choices[0].delta.content or "" for each in stream if each.choices),
        "tool": called.choices[0].message.tool_calls[0].function.name,
    }
openai: dict[str, Any] = {"api_base": f"{url}/v1", "api_key": key}
answered = litellm.responses(model="openai/simulator/echo", input="one two", **openai)
found["responses"] = answered.output[0].content[0].text
vectors = litellm.embedding(model="openai/simulator/embed", input=["a", "b"], **openai)
found["vectors"] = [len(each["embedding"]) for each in vectors.data]
try:
    litellm.completion(model="openai/no/such", messages=HELLO, **openai)
except litellm.NotFoundError as error:
    found["unknown"] = [type(error).__name__, error.status_code]
sys.stdout.write("\n" + json.dumps(found))
