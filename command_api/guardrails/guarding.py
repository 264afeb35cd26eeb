"""What guards are to one call: what they said of its prompt, and what they do with its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.guardrails.port import BlockedError, Counted, OwnRefusalError
from command_api.guardrails.refusals import ANSWER, PROMPT, blocked, failed, refused
from domain.guardrails.walking import JSON_TEXT, Walk

if TYPE_CHECKING:
    from command_api.guardrails.metrics import GuardCounts
    from command_api.guardrails.port import Asks, Channel, Guard, OfCall, Output
    from command_api.operations.request import Answer, InferenceRequest
    from edge.errors import ApiError
    from providers.inference.port import Operation

ANSWERS = frozenset(
    {
        *("choices", "content", "output", "item", "part", "text", "delta", "refusal", "input"),
        *("code", "content_block", "annotation", "summary"),
    }
)
"""Members of an answer, or of an event of one, in which a model speaks; others repeat a prompt."""
_encode = msgspec.json.encode


class Guarded:
    """One guard's part in the answer."""

    __slots__ = ("asks", "decision", "failed", "guard", "output")

    def __init__(self, guard: Guard, output: Output, asks: Asks | None = None) -> None:
        """It has not looked yet."""
        self.guard, self.output, self.decision = guard, output, output.decision
        self.asks, self.failed = asks, False

    @property
    def said(self) -> dict[str, Any]:
        """What its story says of the answer; of what is blocked one thing was enough."""
        count = 1 if self.decision == "blocked" else self.output.count
        said: dict[str, Any] = {"guard": self.guard.name, "stage": ANSWER}
        said |= {"decision": self.decision, "count": count}
        if self.asks is None:
            return said
        if self.asks.pending and self.decision == self.output.decision:
            said["decision"] = "unseen"  # It broke off, and what was not asked about was not told.
        return {**said, "calls": list(self.asks.calls)}


class Asked(NamedTuple):
    """A guard that is to ask others about the prompt, and what is said of it."""

    guard: Guard
    asks: Asks
    said: dict[str, Any]


class Guarding:
    """Of one call."""

    __slots__ = (
        *("_counts", "asked", "asking", "form", "guards", "of", "of_prompt", "policy", "refused"),
        *("request", "shaped"),
    )

    def __init__(
        self,
        request: InferenceRequest,
        form: Operation,
        guards: list[Guarded],
        of_prompt: list[dict[str, Any]],
        counts: GuardCounts,
        *,
        policy: str,
        shaped: bool,
        asked: tuple[Asked, ...] = (),
    ) -> None:
        """`request` is what is sent; `shaped` says that the answer's text is asked for as JSON.

        `asked` are the guards that have to wait for others.
        """
        self.asked = asked
        self.of: OfCall | None = None
        """Who asks others, once there is a call."""
        self.asking = [each for each in guards if each.asks is not None]
        self.request, self.form, self.policy, self.shaped = request, form, policy, shaped
        self.guards, self.of_prompt, self._counts = guards, of_prompt, counts
        self.refused: ApiError | None = None
        """Why the answer is not told, once a guard says so."""

    @property
    def looks_at_answer(self) -> bool:
        """Whether any guard does; else an answer passes untouched."""
        return bool(self.guards)

    @property
    def failed(self) -> bool:
        """Whether a guard could not look and was passed over: no other call may have the answer."""
        return any(each.failed for each in self.guards) or any(
            each["decision"] == "failed_open" for each in self.of_prompt
        )

    @property
    def unseen(self) -> bool:
        """Whether there is text of the answer that a guard has yet to ask about."""
        return any(each.asks.pending for each in self.asking if each.asks and not each.failed)

    @property
    def waits(self) -> bool:
        """Whether any guard asks others about the answer, so that it waits before it is told."""
        return any(not each.failed for each in self.asking)

    async def look_at_prompt(self, of: OfCall) -> None:
        """Let the guards ask that have to; raises ApiError, by which nothing is held."""
        self.of = of
        for guard, asks, said in self.asked:
            try:
                await asks.prompt(of)
            except OwnRefusalError as error:
                self._counts.add(guard.name, PROMPT, "refused")
                raise refused(guard.name, PROMPT, error.error, asks.calls) from None
            except BlockedError:
                self._counts.add(guard.name, PROMPT, "blocked")
                raise blocked(guard.name, PROMPT, asks.calls) from None
            except Exception as error:  # noqa: BLE001 - a guard's failure has its rule.
                said["decision"] = self._counts.failed(guard, PROMPT, error)
                if not guard.fail_open:
                    self._counts.add(guard.name, PROMPT, said["decision"])
                    raise failed(guard.name, PROMPT, asks.calls) from None
            finally:
                self._counts.asked(guard.name, PROMPT, len(asks.calls))
            said["calls"] = list(asks.calls)
            asks.calls.clear()
            self._counts.add(guard.name, PROMPT, said["decision"])

    def not_asked(self) -> None:
        """The answer is a cached one: the same guards looked at this prompt, and at it, before."""
        for guard, _, said in self.asked:
            said["decision"] = "cached"
            self._counts.add(guard.name, PROMPT, "cached")

    async def look_at_answer(self, *, last: bool) -> None:
        """Let guards ask about what came, where it is enough or the `last`; see `refused`."""
        for each in self.asking:
            asks = each.asks
            assert asks is not None, "those alone are in the list"
            if each.failed or not (asks.pending if last else asks.ready):
                continue
            assert self.of is not None, "a call is under way"
            try:
                await asks.answer(self.of)
            except Exception as error:  # noqa: BLE001 - a guard's failure has its rule.
                if self.stop(each, error):
                    return

    def members_of_hold(self) -> bytes:
        """What the hold's event says of the prompt."""
        return b',"guards":' + _encode(self.of_prompt)

    def members_of_end(self) -> bytes:
        """What the settlement's event says of the answer."""
        if not self.guards:
            return b""
        said = [each.said for each in self.guards]
        for each, told in zip(self.guards, said, strict=True):
            self._counts.add(each.guard.name, ANSWER, told["decision"])
            if each.asks is not None:
                self._counts.asked(each.guard.name, ANSWER, len(each.asks.calls))
        return b',"guards":' + _encode(said)

    def answered(self, answer: Answer) -> Answer:
        """A whole answer as it may be told; where it may not be, `refused` says why."""
        if not self.guards:
            return answer
        body = msgspec.json.decode(answer.raw)
        made = self.whole(body) if isinstance(body, dict) else body
        return answer if made == body else answer._replace(raw=_encode(made))

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """An object of an answer as it may be told; of what may not be, `refused` says why."""
        for each in self.guards:
            try:
                body = _told_by(each.output, body, shaped=self.shaped)
            except Exception as error:  # noqa: BLE001 - a guard's failure has its rule.
                if self.stop(each, error):
                    return body
        return body

    def echoed(self, body: dict[str, Any]) -> dict[str, Any]:
        """An object that only repeats the prompt, as it came."""
        for each in self.guards:
            body = Walk(each.output.echoed, each.output.echoed).over(body)
        return body

    def channel(self, *, inside_json: bool) -> GuardedChannel:
        """What takes a text of the answer that comes in pieces."""
        return GuardedChannel(self, inside_json=inside_json)

    def stop(self, each: Guarded, error: Exception) -> bool:
        """Whether what a guard raised ends the answer."""
        calls = each.asks.calls if each.asks is not None else ()
        if isinstance(error, BlockedError):
            each.decision, self.refused = "blocked", blocked(each.guard.name, ANSWER, calls)
            return True
        if isinstance(error, OwnRefusalError):
            self.refused = refused(each.guard.name, ANSWER, error.error, calls)
            each.decision = "refused"
            return True
        each.failed = True
        each.decision = self._counts.failed(each.guard, ANSWER, error)
        if not each.guard.fail_open:
            self.refused = failed(each.guard.name, ANSWER, calls)
        return not each.guard.fail_open


def _told_by(output: Output, body: dict[str, Any], *, shaped: bool) -> dict[str, Any]:
    counted = Counted()

    def text(given: str) -> str:
        return output.whole(counted.take(given), inside_json=shaped)

    def json_text(given: str) -> str:
        return output.whole(counted.take(given), inside_json=True)

    def given(each: str) -> str:
        return output.whole(counted.take(each), inside_json=False)

    said, echoed = Walk(text, json_text, given), Walk(output.echoed, output.echoed)
    made = {}
    for name, value in body.items():
        if name == "response":
            made[name] = _told_by(output, value, shaped=shaped) if value else value
        else:
            # A response repeats its request's `text`, which is an object.
            asked = name == "text" and isinstance(value, dict)
            says = (name in ANSWERS and not asked) or name in JSON_TEXT
            made[name] = (said if says else echoed).over({name: value})[name]
    return made


class GuardedChannel:
    """One text through all guards, the last one's output first."""

    def __init__(self, guarding: Guarding, *, inside_json: bool) -> None:
        """Nothing came yet."""
        self._guarding = guarding
        self._channels: list[tuple[Guarded, Channel | None]] = [
            (each, _open(guarding, each, inside_json=inside_json)) for each in guarding.guards
        ]

    def add(self, more: str, *, end: bool = False) -> str:
        """Take more; what may be told, "" once a guard has refused the answer."""
        for place, (each, channel) in enumerate(self._channels):
            if channel is None or each.failed:
                more = (channel.held if channel else "") + more
                self._channels[place] = (each, None)
                continue
            before = channel.held
            try:
                more = channel.add(more) + (channel.end() if end else "")
            except Exception as error:  # noqa: BLE001 - a guard's failure has its rule.
                if self._guarding.stop(each, error):
                    return ""
                self._channels[place] = (each, None)
                more = before + more
        return more

    def end(self) -> str:
        """It is over: the rest."""
        return self.add("", end=True)


def _open(guarding: Guarding, each: Guarded, *, inside_json: bool) -> Channel | None:
    try:
        return each.output.channel(inside_json=inside_json)
    except Exception as error:  # noqa: BLE001 - a guard's failure has its rule.
        guarding.stop(each, error)
        return None
