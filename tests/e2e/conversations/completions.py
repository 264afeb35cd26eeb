"""Completions of a bare prompt, as callers speak it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.e2e.conversations.chat import read_usage
from tests.e2e.conversations.forms import UnsayableError, events
from tests.e2e.conversations.talks import Asked, Said, Say, just_stopped


class Completions:
    """The form: one text of the user's, and what a model says to it."""

    path = "/v1/completions"

    def body(self, asked: Asked) -> dict[str, Any]:
        """What a caller sends."""
        only = asked.turns[0]
        if len(asked.turns) > 1 or asked.system or asked.tools or only.media or asked.schema:
            raise UnsayableError
        stop = {"stop": [asked.stop]} if asked.stop else {}
        return {"prompt": only.text, "max_tokens": asked.limit, **stop}

    def goes_on(self, body: dict[str, Any], answer: dict[str, Any], result: Say) -> dict[str, Any]:
        """A bare prompt has no next turn."""
        raise UnsayableError

    def hears(self, said: Said) -> Said:
        """It has no words for thoughts."""
        return just_stopped(replace(said, say=replace(said.say, thought="", signature="")))

    def whole(self, body: dict[str, Any]) -> Said:
        """A whole completion read."""
        choice = body["choices"][0]
        usage = read_usage(body["usage"])
        return Said(Say("assistant", choice["text"]), choice["finish_reason"], "", usage)

    def streamed(self, raw: bytes) -> Said:
        """The chunks read."""
        text, finish = "", ""
        usage: dict[str, Any] = {}
        for chunk in events(raw):
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                text += choice["text"]
                finish = choice["finish_reason"] or finish
        return Said(Say("assistant", text), finish, "", read_usage(usage))
