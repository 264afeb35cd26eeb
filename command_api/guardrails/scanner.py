"""Between what reads a provider's stream and its caller: the events as guards let them be told.

What is counted and charged is what the provider made, by the scanner behind this one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.guardrails.frames import FRAMES
from command_api.guardrails.refusals import ANSWER, failed
from command_api.replies.scanners.around import ScannerAround
from command_api.replies.scanning import makes_response, tells_failure
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from command_api.guardrails.guarding import Guarding
    from command_api.replies.scanning import Paid, Scanner
    from edge.errors import ApiError

logger = logging.getLogger("gatewayz.guardrails")

NAMED = frozenset({Operation.MESSAGES, Operation.RESPONSES})
"""APIs whose events have names."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


class GuardedScanner(ScannerAround):
    """A scanner whose output guards look at (`replies/scanning`)."""

    __slots__ = ("_event", "_frames", "_guarding")

    def __init__(self, scanner: Scanner, guarding: Guarding) -> None:
        """Read by `scanner`."""
        super().__init__(scanner)
        self._guarding = guarding
        self._frames = FRAMES[guarding.form](guarding)
        self._event = b""
        """The line `event:` of an event whose data did not come yet."""

    @property
    def done(self) -> bool:
        """Whether the stream is over, by itself or for a guard."""
        return self._scanner.done or self._guarding.refused is not None

    @property
    def read_out(self) -> bool:
        """Whether the provider's own stream is over, whatever a guard says."""
        return self._scanner.done

    def within(self, out: bytes, answer_tokens: int) -> bytes:
        """Of the last output, what lies within so many tokens of answer altogether."""
        return self._scanner.within(out, answer_tokens)

    def ending(self, paid: Paid) -> bytes:
        """The end of a stream that ended by itself."""
        return self._told(self._scanner.ending(paid))

    def cut_short(self, paid: Paid) -> bytes:
        """The end of one that was cut, without what was held: it lies beyond the cut."""
        return self._told(self._scanner.cut_short(paid), held=False)

    def flushed(self) -> bytes:
        """What is still held, for a stream that is broken off; b"" for one that is refused, or of
        which nobody would be asked any more.
        """
        silent = self._guarding.refused or self._guarding.waits
        return b"" if silent else self._written(self._rest())

    def _told(self, block: bytes, *, held: bool = True) -> bytes:
        """Whole lines, as they may be told; nothing more once the answer is refused."""
        made: list[bytes] = []
        for line in block.splitlines(keepends=True):
            if self._guarding.refused is not None:
                break
            if line.startswith(b"event:"):
                self._event = line
            elif line.startswith(b"data:"):
                self._take(line, made, held=held)
                self._event = b""
            else:
                made.append(line)
        return b"".join(made)

    def _take(self, line: bytes, made: list[bytes], *, held: bool) -> None:
        payload = line[5:].strip()
        if payload == b"[DONE]":
            if held:
                made.append(self._written(self._rest()))
            if self._guarding.refused is None:
                made.append(line)
            return
        try:
            event = _decode(payload)
            told = list(self._frames.told(event)) if held else [self._guarding.whole(event)]
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody has looked.
            self._lost(error)
            return
        if self._guarding.refused is not None or not told:
            return
        made.append(self._written(told[:-1]))
        made.append(self._event + b"data: %b\n" % _encode(told[-1]))

    def _lost(self, error: Exception) -> None:
        """An event that cannot be read was not looked at: it is told to nobody."""
        name = self._guarding.guards[0].guard.name
        logger.error("an event could not be looked at (%s)", type(error).__name__)
        self._guarding.refused = failed(name, ANSWER)

    def _rest(self) -> list[dict[str, Any]]:
        rest = list(self._frames.rest())
        return [] if self._guarding.refused is not None else rest

    def _written(self, events: Iterable[dict[str, Any]]) -> bytes:
        """Events of ours, each with its name where the API names its events."""
        named = self._guarding.form in NAMED
        return b"".join(
            (b"event: %b\n" % event["type"].encode() if named else b"")
            + b"data: %b\n\n" % _encode(event)
            for event in events
        )


class GuardedFailures(GuardedScanner):
    """The same of a stream whose failures are an event of its own."""

    __slots__ = ("_ended_with",)

    def __init__(self, scanner: Scanner, guarding: Guarding) -> None:
        """Read by `scanner`."""
        super().__init__(scanner, guarding)
        self._ended_with: dict[str, Any] | None = None
        """What was told last of one that a guard has ended."""

    def broken(self, error: ApiError) -> bytes:
        """The end of a stream that has begun and cannot go on."""
        scanner = self._scanner
        assert tells_failure(scanner), "it is made for those alone"
        last = scanner.broken(error)
        if self._guarding.refused is None and not self._guarding.waits:
            made = self.flushed() + self._told(last, held=False)
            if self._guarding.refused is None:
                return made
        if self._guarding.refused is not None:
            last = scanner.broken(self._guarding.refused)
        # The whole of what was made, in which the refused text would stand, is not told again.
        lines: list[bytes] = []
        for line in last.splitlines(keepends=True):
            if line.startswith(b"data:"):
                event = _decode(line[5:])
                response = {**event["response"], "output": []}
                self._ended_with = event["response"] = self._guarding.echoed(response)
                line = b"data: %b\n" % _encode(event)  # noqa: PLW2901 - it is the same line, told otherwise.
            lines.append(line)
        return b"".join(lines)


class GuardedResponse(GuardedFailures):
    """The same of a stream that ends with the whole of what it made."""

    __slots__ = ()

    @property
    def response(self) -> dict[str, Any] | None:
        """The whole as it was told; of one that was refused, that it failed and for what."""
        scanner = self._scanner
        assert makes_response(scanner), "it is made for those alone"
        whole = scanner.response
        if self._ended_with is not None or whole is None or self._guarding.refused is not None:
            return self._ended_with
        made: dict[str, Any] = self._guarding.whole({"response": whole})["response"]
        unseen = self._guarding.refused is not None or self._guarding.unseen
        return None if unseen else made


def guarded(scanner: Scanner, guarding: Guarding | None) -> Scanner:
    """What reads a stream for a call; where no guard looks at answers it is `scanner` itself."""
    if guarding is None or not guarding.looks_at_answer:
        return scanner
    if makes_response(scanner):
        return GuardedResponse(scanner, guarding)
    if tells_failure(scanner):
        return GuardedFailures(scanner, guarding)
    return GuardedScanner(scanner, guarding)
