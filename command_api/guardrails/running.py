"""Runs the guards that apply to a call over its prompt, before anything is held."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.guardrails.file import read_guardrails_file
from command_api.guardrails.guarding import Asked, Guarded, Guarding
from command_api.guardrails.metrics import GuardCounts
from command_api.guardrails.port import BlockedError
from command_api.guardrails.refusals import PROMPT, blocked, failed
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.guardrails.file import BoundGuard
    from command_api.guardrails.port import Judge, Looked
    from command_api.operations.request import InferenceRequest
    from command_api.settings import Settings
    from edge.caller import Caller
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.guardrails")

GUARDED = frozenset(
    {Operation.CHAT, Operation.COMPLETIONS, Operation.MESSAGES, Operation.RESPONSES}
)
"""Operations whose prompts and answers guards look at."""
BESIDE_BYTES = 16 * 1024
"""What is longer is looked at in a thread, so that other calls go on between its parts."""
TOLD_MAX = 20
"""Most ids of nobody that are told for one guard at a start."""
UNKNOWN_KEYS = (
    "SELECT id FROM unnest(%s::uuid[]) AS id "
    "WHERE NOT EXISTS (SELECT FROM api_key WHERE key_id = id) ORDER BY id LIMIT %s"
)
UNKNOWN_ORGANISATIONS = (
    "SELECT id FROM unnest(%s::uuid[]) AS id "
    "WHERE NOT EXISTS (SELECT FROM organisation WHERE organisation_id = id) "
    "AND NOT EXISTS (SELECT FROM api_key WHERE user_id = id) ORDER BY id LIMIT %s"
)
JSON_FORMATS = frozenset({"json_object", "json_schema"})
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Guardrails:
    """The guards of a process; there is none of this where no file names any."""

    def __init__(self, guards: tuple[BoundGuard, ...]) -> None:
        """In the order in which they look at prompts; at answers it is the other way round."""
        self._guards = guards
        self.counts = GuardCounts()
        self.judge: Judge | None = None
        """Who asks models for the guards that need it, once the process serves calls."""

    def look_at(self, caller: Caller) -> bool:
        """Whether any guard looks at a caller's calls."""
        return any(each.looks_at(caller) for each in self._guards)

    async def admit(
        self,
        caller: Caller,
        request: InferenceRequest,
        form: Operation,
        read: Callable[[bytes], InferenceRequest],
    ) -> Guarding | None:
        """What guards are to a call; None where none looks at its caller's.

        `read` checks a body again that guards have changed. Raises ApiError 400 or 503.
        """
        if form not in GUARDED:
            return None
        applied = [each for each in self._guards if each.looks_at(caller)]
        if not applied:
            return None
        if len(request.raw) > BESIDE_BYTES:
            return await asyncio.to_thread(self._looked, applied, request, form, read)
        return self._looked(applied, request, form, read)

    def _looked(
        self,
        applied: list[BoundGuard],
        request: InferenceRequest,
        form: Operation,
        read: Callable[[bytes], InferenceRequest],
    ) -> Guarding:
        body = _decode(request.raw)
        said: list[dict[str, Any]] = []
        outputs: list[Guarded] = []
        asked: list[Asked] = []
        for each in applied:
            looked = self._look(each, body)
            if looked is None:
                said.append(_said(each.guard.name, "failed_open", 0))
                continue
            body = looked.body
            said.append(_said(each.guard.name, looked.decision, looked.changes))
            if looked.output is not None:
                outputs.insert(0, Guarded(each.guard, looked.output, looked.asks))
            if looked.asks is not None:
                asked.append(Asked(each.guard, looked.asks, said[-1]))
        # Always written anew: of a member that stands twice only the one looked at goes on.
        made = read(msgspec.json.encode(body))
        policy = hashlib.sha256(b"".join(each.policy for each in applied)).hexdigest()
        return Guarding(
            made,
            form,
            outputs,
            said,
            self.counts,
            policy=policy,
            shaped=_shaped(body),
            asked=tuple(asked),
        )

    def _look(self, each: BoundGuard, body: dict[str, Any]) -> Looked | None:
        """What the guard says; None where it failed and is passed over. Raises ApiError."""
        guard = each.guard
        try:
            looked = guard.prompt(body)
        except BlockedError:
            self.counts.add(guard.name, PROMPT, "blocked")
            raise blocked(guard.name, PROMPT) from None
        except Exception as error:  # noqa: BLE001 - a guard's failure has its rule.
            self.counts.add(guard.name, PROMPT, self.counts.failed(guard, PROMPT, error))
            if guard.fail_open:
                return None
            raise failed(guard.name, PROMPT) from None
        if looked.asks is None:  # Others decide once they were asked.
            self.counts.add(guard.name, PROMPT, looked.decision)
        return looked

    def tell_unknown(self, database: Database) -> None:
        """Warn of keys and organisations of the file that are nobody's here: a guard that is meant
        for one of them may be meant for another. Raises psycopg.Error.
        """
        with database.connect() as connection:
            for each in self._guards:
                for what, query, ids in (
                    ("key", UNKNOWN_KEYS, each.keys),
                    ("organisation", UNKNOWN_ORGANISATIONS, each.organisations),
                ):
                    if ids:
                        rows = connection.execute(query, [sorted(ids), TOLD_MAX]).fetchall()
                        for (unknown,) in rows:
                            logger.warning(
                                "the guard %r names the %s %s, which is nobody's here",
                                each.guard.name,
                                what,
                                unknown,
                            )


def _said(guard: str, decision: str, count: int) -> dict[str, Any]:
    return {"guard": guard, "stage": PROMPT, "decision": decision, "count": count}


def _shaped(body: dict[str, Any]) -> bool:
    """Whether an answer's text is asked for as JSON, in any of the APIs."""
    text, config = body.get("text"), body.get("output_config")
    asked = (
        body.get("response_format"),
        text.get("format") if isinstance(text, dict) else None,
        config.get("format") if isinstance(config, dict) else None,
        body.get("output_format"),
    )
    return any(isinstance(each, dict) and each.get("type") in JSON_FORMATS for each in asked)


def guardrails_of(settings: Settings) -> Guardrails | None:
    """The guards that the settings name; None for none at all. Raises GuardrailsFileError."""
    path = settings.guardrails.file
    guards = read_guardrails_file(path) if path is not None else ()
    return Guardrails(guards) if guards else None
