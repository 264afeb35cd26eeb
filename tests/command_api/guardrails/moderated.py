"""An upstream that moderates and answers, and a gateway whose guard asks it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.command_api.guardrails.test_calls import Model
from tests.support.harness import DONE, USAGE, chunk, reply, running_gateway, stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

PROVIDERS = """
[[provider.model]]
id = "moderation-1"
input_per_million = "2"
output_per_million = "0"
context_length = 1000
"""
GUARD = '[[guard]]\nname = "judge"\nkind = "moderation"\nmodel = "local/moderation-1"\n'
BAD = "villainy"
CATEGORIES = ("harassment", "violence")


class Judging(Model):
    """As a model, which also says of each text whether BAD stands in it."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        super().__init__(upstream)
        self.verdicts: Any = None
        self.status, self.late_s = 200, 0.0
        self.pause_s = 0.0
        """Between pieces of a chat's stream, so that they come one by one."""

    def _answer(self, connection: socket.socket, request: Request) -> None:
        if not request.path.endswith("/moderations"):
            if self.pause_s and request.body.get("stream"):
                texts = [
                    self.text[at : at + self.size] for at in range(0, len(self.text), self.size)
                ]
                pieces = [chunk({"role": "assistant"}), *(chunk({"content": e}) for e in texts)]
                last = (chunk({}, finish="stop"), USAGE, DONE)
                stream(connection, *pieces, *last, pause_s=self.pause_s)
                return
            super()._answer(connection, request)
            return
        time.sleep(self.late_s)
        if self.status != 200:
            reply(connection, b'{"error": {"message": "busy"}}', status=self.status)
        elif self.verdicts is not None:
            reply(connection, self.verdicts)
        else:
            results = [verdict(BAD in json.dumps(each)) for each in request.body["input"]]
            reply(connection, json.dumps({"results": results}).encode())

    @property
    def judged(self) -> list[Any]:
        """What was moderated: the inputs of each call."""
        posts = [each for each in self.upstream.requests if each.path.endswith("/moderations")]
        return [each.body["input"] for each in posts]

    @property
    def answered(self) -> int:
        """How often an answer was asked for."""
        posts = [each for each in self.upstream.requests if each.method == "POST"]
        return len(posts) - len(self.judged)


def verdict(bad: bool = False, score: float | None = None, **more: Any) -> dict[str, Any]:
    """A result in OpenAI's form."""
    score = score if score is not None else (0.9 if bad else 0.01)
    return {
        "flagged": bad,
        "categories": dict.fromkeys(CATEGORIES, bad),
        "category_scores": dict.fromkeys(CATEGORIES, score),
        **more,
    }


@contextmanager
def judged_gateway(
    database: Database, path: Path, upstream: ScriptedUpstream, more: str = "", **settings: Any
) -> Iterator[RunningGateway]:
    """With one guard that asks a model; `more` are lines of the file. Its books are right."""
    file = path / "guards.toml"
    file.write_text(GUARD + more)
    with running_gateway(
        database,
        path / "home",
        upstream,
        guardrails_file=file,
        providers=PROVIDERS,
        **settings,
    ) as made:
        yield made
        made.verified()
        assert made.open_holds() == 0
