"""One message's tools: arguments checked, the route asked, its answer passed on as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import msgspec
from pydantic import ValidationError

from command_api.mcp.asking import AnswerTooLargeError, ask
from command_api.mcp.tools import TOOLS

if TYPE_CHECKING:
    from command_api.mcp.asking import Answer, Endpoint
    from command_api.mcp.metrics import ToolCounts
    from edge.asgi import Scope

OK, SERVER_ERRORS = 200, 500
PROBLEMS_SHOWN_MAX = 5
PLACE = "gatewayz.answer"
_decode = msgspec.json.Decoder().decode


class Told(NamedTuple):
    """What a tool says."""

    text: str
    structured: dict[str, str] | None
    """The place of the route's own bytes; None where the tool failed."""


class ToolCall:
    """Calls the tools that one message names.

    Amounts in answers are numbers with more digits than a float keeps. So the library is given a
    place, and the route's own bytes are put there in what it wrote (money rule: no float).
    """

    def __init__(self, endpoint: Endpoint, scope: Scope, counts: ToolCounts) -> None:
        """`endpoint` serves the read routes, to who sent the request of `scope`."""
        self._endpoint, self._scope, self._counts = endpoint, scope, counts
        self._name, self._raw = uuid4().hex, b""

    async def __call__(self, name: str, arguments: dict[str, Any]) -> Told:
        """What the tool of this name says to these arguments; there is such a tool."""
        outcome, told = await self._told(name, arguments)
        self._counts.add(name, outcome)
        return told

    async def _told(self, name: str, arguments: dict[str, Any]) -> tuple[str, Told]:
        tool = TOOLS[name]
        try:
            given = tool.arguments.model_validate(arguments)
        except ValidationError as error:
            return "refused", Told(_problems(error), None)
        try:
            answer = await ask(self._endpoint, self._scope, given.path(), given.query())
        except AnswerTooLargeError:
            return "failed", Told("The answer is too large: ask for a smaller page.", None)
        if answer.status >= SERVER_ERRORS:
            return "failed", _passed_on(answer)
        if answer.status != OK:
            return "refused", _passed_on(answer)
        if not tool.tells(_decode(answer.body)):
            return "refused", Told(tool.missing, None)
        self._raw = answer.body
        return "ok", Told(answer.body.decode(), {PLACE: self._name})

    def filled(self, reply: bytes) -> bytes:
        """What the library wrote, with the route's bytes in their place."""
        if not self._raw:
            return reply
        place = f'{{"{PLACE}":"{self._name}"}}'.encode()
        return reply.replace(place, self._raw, 1)


def _passed_on(answer: Answer) -> Told:
    """A refusal as the route said it."""
    return Told(answer.body.decode("utf-8", "replace"), None)


def _problems(error: ValidationError) -> str:
    """Which arguments are wrong, and how; values are not repeated."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    told = [
        f"{'.'.join(str(part) for part in each['loc'])[:100]}: {each['msg']}"
        for each in found[:PROBLEMS_SHOWN_MAX]
    ]
    more = (
        "" if len(found) <= PROBLEMS_SHOWN_MAX else f"; and {len(found) - PROBLEMS_SHOWN_MAX} more"
    )
    return f"Arguments that cannot be used: {'; '.join(told)}{more}."
