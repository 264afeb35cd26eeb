"""Drives the gateway with instructor; prints what came back. Usage: URL API_KEY."""

from __future__ import annotations

import json
import sys

import instructor
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel

url, key = sys.argv[1:]


class Said(BaseModel):
    """What is asked for."""

    answer: str


SAID = [{"role": "user", "content": json.dumps({"answer": "one two"})}]
openai = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
found = {}
for mode in (instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA):
    client = instructor.from_openai(openai, mode=mode)
    got = client.chat.completions.create(
        model="simulator/echo", messages=SAID, response_model=Said, max_retries=0
    )
    found[mode.value] = got.answer
anthropic = instructor.from_anthropic(
    Anthropic(base_url=url, api_key=key, max_retries=0), mode=instructor.Mode.JSON
)
got = anthropic.messages.create(
    model="simulator/echo", max_tokens=60, messages=SAID, response_model=Said, max_retries=0
)
found["anthropic"] = got.answer
sys.stdout.write(json.dumps(found))
