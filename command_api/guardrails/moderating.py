"""The guard `moderation`: a model says of prompts and answers whether they may pass.

What it is sent are the texts as the guards before it left them. A stream is held back until its
sentences were looked at: the first ones soon, later ones in larger portions.
"""

from __future__ import annotations

import asyncio
import hashlib
from decimal import Decimal  # noqa: TC003 - msgspec asks for it.
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.guardrails.port import (
    BlockedError,
    Counted,
    Looked,
    Moderated,
    OwnRefusalError,
    TooMuchTextError,
    over_prompt,
)
from domain.guardrails.pictures import pictures_of
from domain.guardrails.portions import portions
from domain.guardrails.sentences import end_of_sentences
from domain.guardrails.verdicts import Verdict, VerdictError, flags
from domain.guardrails.walking import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from command_api.guardrails.port import OfCall, Verdicts

FIRST_CHARACTERS = 200
"""So much of a stream's answer, up to the end of a sentence, is looked at first."""
STREAM_CHARACTERS_MAX = 2_000
"""Most characters of a stream that wait for more, whether a sentence has ended or not."""
INPUTS_MAX = 16
"""Most portions of one moderation call."""


class _Result(msgspec.Struct):
    categories: dict[str, bool | None] = {}
    category_scores: dict[str, Decimal | None] = {}
    flagged: bool | None = None


class _Answer(msgspec.Struct):
    results: list[_Result]


_decode = msgspec.json.Decoder(_Answer).decode


class NoVerdictError(Exception):
    """The model could not be asked, or did not answer what it was asked."""


class ModerationRules(NamedTuple):
    """What the operator says of one such guard; times in seconds."""

    model: str
    thresholds: Mapping[str, Decimal]
    timeout_s: float
    characters: int
    calls_max: int
    pictures: bool | None
    """Whether pictures are sent; None is where the catalog says that the model takes them."""


class Moderation:
    """One `[[guard]]` of the kind `moderation`."""

    def __init__(
        self, name: str, *, fail_open: bool, rules: ModerationRules, prompts: bool, answers: bool
    ) -> None:
        """`prompts` and `answers` say what it looks at."""
        self.name, self.fail_open, self._rules = name, fail_open, rules
        self._prompts, self._answers = prompts, answers

    def prompt(self, body: dict[str, Any]) -> Looked:
        """Take note of what is to be asked; raises TooMuchTextError, TooDeepError."""
        texts: list[str] = []
        pictures: list[str | None] = []
        if self._prompts:
            counted = Counted()

            def note(text: str) -> str:
                texts.append(counted.take(text))
                return text

            over_prompt(body, Walk(note, note))
            if self._rules.pictures is not False:
                pictures = list(pictures_of(body))
        heard = Heard() if self._answers else None
        return Looked(
            body, "passed", output=heard, asks=Asking(self._rules, texts, pictures, heard)
        )


class Asking:
    """What one guard asks for one call."""

    def __init__(
        self,
        rules: ModerationRules,
        texts: list[str],
        pictures: list[str | None],
        heard: Heard | None,
    ) -> None:
        """Nothing was asked yet."""
        self._rules, self._texts, self._pictures, self._heard = rules, texts, pictures, heard
        self.calls: list[str] = []
        self._asked = 0

    @property
    def pending(self) -> bool:
        """Whether there is text of the answer that nobody has looked at."""
        return self._heard is not None and self._heard.pending

    @property
    def ready(self) -> bool:
        """Whether it is to be looked at now."""
        return self._heard is not None and self._heard.ready

    async def prompt(self, of: OfCall) -> None:
        """Look at the prompt; raises BlockedError, OwnRefusalError, and what is a failure."""
        texts, pictures = self._texts, self._pictures
        self._texts, self._pictures = [], []
        takes = of.judge.takes(self._rules.model)
        sent: list[list[Any]] = []
        if takes.pictures if self._rules.pictures is None else self._rules.pictures:
            for each in pictures:
                if each is None:
                    message = "a picture of the prompt has no address that can be sent"
                    raise NoVerdictError(message)
                # OpenAI takes one picture in a call (its guide, "Moderation").
                sent.append([{"type": "image_url", "image_url": {"url": each}}])
        await self._look(of, texts, sent)

    async def answer(self, of: OfCall) -> None:
        """Look at all that is pending; raises the same."""
        assert self._heard is not None, "only what was heard is pending"
        await self._look(of._replace(key=b""), self._heard.take(), [])

    async def _look(self, of: OfCall, texts: list[str], sent: list[list[Any]]) -> None:
        rules, takes = self._rules, of.judge.takes(self._rules.model)
        made = portions(texts, characters=rules.characters, bytes_max=takes.bytes_max)
        most = min(INPUTS_MAX, takes.inputs_max)
        asked = [made[at : at + most] for at in range(0, len(made), most)] + sent
        if self._asked + len(asked) > rules.calls_max:
            message = f"more than {rules.calls_max} moderation calls"
            raise TooMuchTextError(message)
        until = asyncio.get_running_loop().time() + rules.timeout_s
        for each in asked:
            await self._ask(of, each, until - asyncio.get_running_loop().time())

    async def _ask(self, of: OfCall, given: list[Any], left_s: float) -> None:
        if left_s <= 0:
            message = f"the model did not say in {self._rules.timeout_s:g} s"
            raise NoVerdictError(message)
        model, key = self._rules.model, ""
        if of.key:
            key = hashlib.sha256(of.key + msgspec.json.encode((model, given))).hexdigest()
        self._asked += 1
        verdicts = await of.judge.ask(
            Moderated(of.call_id, of.caller, model, given, left_s, idempotency_key=key)
        )
        if verdicts.held:
            self.calls.append(verdicts.call_id)
        self._judge(verdicts, len(given))

    def _judge(self, verdicts: Verdicts, inputs: int) -> None:
        if verdicts.error is not None:
            if verdicts.refused:
                raise OwnRefusalError(verdicts.error)
            raise NoVerdictError(verdicts.error.code)
        try:
            results = _decode(verdicts.body).results
        except (msgspec.MsgspecError, ArithmeticError, RecursionError) as error:
            raise NoVerdictError(type(error).__name__) from None
        if len(results) != inputs:
            message = "another number of results than of inputs"
            raise VerdictError(message)
        found = [
            flags(Verdict(each.categories, each.category_scores, each.flagged), self._thresholds)
            for each in results
        ]
        if any(found):
            raise BlockedError

    @property
    def _thresholds(self) -> Mapping[str, Decimal]:
        return self._rules.thresholds


class Heard:
    """What of an answer nobody has looked at yet. Its texts pass as they are."""

    decision = "passed"
    count = 0

    def __init__(self) -> None:
        """Nothing came yet."""
        self._channels: list[HeardText] = []
        self._whole: list[str] = []
        self._seen: set[bytes] = set()
        self._least = FIRST_CHARACTERS
        self.characters = 0
        """How many are pending."""

    @property
    def pending(self) -> bool:
        """Whether any text is."""
        return self.characters > 0

    @property
    def ready(self) -> bool:
        """Whether there is enough: whole sentences, the first ones sooner than others."""
        if self.characters >= STREAM_CHARACTERS_MAX:
            return True
        return self.characters >= self._least and any(each.ends for each in self._channels)

    def whole(self, text: str, *, inside_json: bool) -> str:
        """The text, which is pending from now on, but where it came in pieces before."""
        del inside_json
        if text.strip():
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
            came = digest in self._seen or any(digest == each.digest for each in self._channels)
            if not came:
                self._seen.add(digest)
                self._whole.append(text)
                self.characters += len(text)
        return text

    def echoed(self, text: str) -> str:
        """The caller's own words were looked at in the prompt."""
        return text

    def channel(self, *, inside_json: bool) -> HeardText:
        """The same in pieces."""
        del inside_json
        made = HeardText(self)
        self._channels.append(made)
        return made

    def take(self) -> list[str]:
        """All that is pending, which is so no more; later more is waited for."""
        texts = [*self._whole, *(each.take() for each in self._channels)]
        self._whole, self.characters = [], 0
        self._least = min(self._least * 2, STREAM_CHARACTERS_MAX)
        return [each for each in texts if each]


class HeardText:
    """A text that comes in pieces, and passes as it comes."""

    held = ""

    def __init__(self, heard: Heard) -> None:
        """Nothing came yet."""
        self._heard, self._pieces, self._hash = heard, list[str](), hashlib.sha256()

    @property
    def digest(self) -> bytes:
        """Of all that came."""
        return self._hash.digest()

    @property
    def ends(self) -> bool:
        """Whether a sentence ends in what is pending."""
        return end_of_sentences("".join(self._pieces)) > 0

    def add(self, more: str) -> str:
        """Take more of it."""
        if more:
            self._pieces.append(more)
            self._hash.update(more.encode("utf-8", "surrogatepass"))
            self._heard.characters += len(more)
        return more

    def end(self) -> str:
        """Nothing was held."""
        return ""

    def take(self) -> str:
        """What is pending of it."""
        text = "".join(self._pieces)
        self._pieces.clear()
        return text
