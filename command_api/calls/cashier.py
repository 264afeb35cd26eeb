"""One call's money: hold, extend, settle, void, and what happens when the ledger is away.

The events' JSON is written from prepared parts, since two of them are written for every call. A
settlement or void that cannot be appended is spooled (P2, P12).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.calls.beside.told import beside_end, beside_hold, key_of_hold, provider_id
from command_api.calls.beside.unaffordable import call_too_large, insufficient_credits
from command_api.calls.failed_attempts import void_members
from command_api.limits.gate import ended
from domain.quotas.terms import ENTRY_TOKENS_MAX
from edge.errors import SERVER, ApiError, ledger_unavailable
from event_store.append.committer import AppendInDoubtError
from event_store.append.entries import AppendAnswer, AppendCode, Entry, EntryKind
from event_store.errors import EventStoreError, LedgerUnavailableError
from event_store.ids import id_bytes, new_uuid7_text, now_iso

if TYPE_CHECKING:
    from command_api.calls.call import Attempt, Call
    from command_api.calls.losses import HouseLosses
    from command_api.quotas.refusals import QuotaRefusals
    from domain.pricing.usage import Usage
    from edge.caller import Caller
    from event_store.append.committer import Committer
    from event_store.append.spool import Spool
    from providers.inference.registry.offers import Model

logger = logging.getLogger("gatewayz.calls")

_encode = msgspec.json.encode

OFFERS_MAX = 20_000


class OfferEnvelopes:
    """The parts of a call's events that are the same for every call of one offer."""

    def __init__(self) -> None:
        """Empty; filled as offers are used."""
        self._parts: dict[int, tuple[Model, bytes, bytes]] = {}

    def of(self, model: Model) -> tuple[Model, bytes, bytes]:
        """The offer, then the JSON members for its holds and for its settlements."""
        known = self._parts.get(id(model))
        if known is not None and known[0] is model:
            return known
        price = {
            "version": model.price.version,
            "source": model.price.source,
            "effective_at": model.price.effective_at,
            **model.price.terms.as_strings(),
        }
        members: dict[str, Any] = {"provider": model.provider, "model": model.id, "price": price}
        held = _encode(members)[1:-1] + b","
        version = model.price.version
        members = {"price_version": version, "provider": model.provider, "model": model.id}
        if len(self._parts) >= OFFERS_MAX:
            self._parts.clear()
        known = self._parts[id(model)] = (model, held, _encode(members)[1:-1])
        return known


def _entry_of(
    call: Call, kind: EntryKind, amount: int, state: bytes, reply: bytes = b"", tokens: int = 0
) -> Entry:
    """An entry that is of the call's hold, and of no other of the same call."""
    hold, tokens = id_bytes(call.hold_event_id), min(tokens, ENTRY_TOKENS_MAX)
    account = call.caller.account
    return Entry(kind, call.id_bytes, account, amount, state, 0, b"", hold, reply, tokens)


class Cashier:
    """Does the money of calls through the committer and, when it must, the spool."""

    def __init__(
        self, committer: Committer, spool: Spool, losses: HouseLosses, quotas: QuotaRefusals
    ) -> None:
        """One for each process."""
        self._committer, self._spool, self._losses = committer, spool, losses
        self._quotas = quotas
        self._offers = OfferEnvelopes()
        self._open: dict[bytes, float] = {}

    def live(self, within_s: float) -> set[bytes]:
        """Calls whose hold was placed within this time and has no outcome yet."""
        since = time.monotonic() - within_s
        self._open = {call: began for call, began in self._open.items() if began > since}
        return set(self._open)

    def goes_on(self, call: Call) -> None:
        """A call that lasts longer than its hold's life is alive: `live` counts from now."""
        self._open[call.id_bytes] = time.monotonic()

    def refusal_of(self, caller: Caller) -> ApiError | None:
        """Why no new call of the caller may be made: its losses of the day, or nothing."""
        return self._losses.refusal_of(caller.account)

    async def place(self, call: Call) -> AppendAnswer:
        """Place the hold, durably; raises ApiError 400, 402, 403, 429 or 503.

        Answers other than ok are those of idempotency keys, for the caller to handle.
        """
        entry = self._hold_entry(call)
        try:
            answer = await self._committer.append(entry)
        except AppendInDoubtError:
            # The hold may stand: nobody would ever resolve it but this.
            reason = "the ledger was lost while the hold was placed"
            await self._spool.keep_aside(self._void_entry(call, reason))
            raise ledger_unavailable() from None
        except LedgerUnavailableError:
            raise ledger_unavailable() from None
        except EventStoreError:
            logger.exception("the hold of call %s was refused by the database", call.id)
            message = "The ledger refused this call. Nothing was charged."
            raise ApiError(500, "ledger_error", message, kind=SERVER) from None
        except asyncio.CancelledError:
            reason = "the gateway stopped while the hold was placed"
            await self._spool.keep_aside(self._void_entry(call, reason))
            raise
        if answer.code == AppendCode.INSUFFICIENT_CREDITS:
            # Rather a cheaper offer than none; a key stays refused, as it was told (P3).
            if not call.idempotency_key and call.narrow(answer.figure):
                return await self.place(call)
            raise await self.short_of(call, needed=call.held, available=answer.figure)
        if answer.code == AppendCode.QUOTA_EXCEEDED:
            raise await self._quotas.exceeded(call.caller.account, answer.figure)
        if answer.code == AppendCode.AMOUNT_OUT_OF_RANGE:
            raise call_too_large(call)
        call.unresolved = answer.applied
        if answer.applied:
            self._open[call.id_bytes] = time.monotonic()
        call.available = answer.figure
        return answer

    async def short_of(self, call: Call, *, needed: int, available: int) -> ApiError:
        """A 402 with these amounts in nano-USD, or a 403 where there was but a trial that ended."""
        ended = await self._quotas.trial_ended(call.caller.account)
        return ended or insufficient_credits(call, needed=needed, available=available)

    def _hold_entry(self, call: Call) -> Entry:
        caller, call.hold_event_id = call.caller, new_uuid7_text()
        key = key_of_hold(call) if call.idempotency_key else b""
        state = (
            b'{"id":"%b","effective_at":"%b",%b%b"correlation_id":%b,%b"amount_nano_usd":%d,'
            b'"estimated_cost_nano_usd":%d,"input_tokens_bound":%d,"output_tokens_bound":%d,'
            b'"stream_reply":%b%b%b%b'
            % (
                call.hold_event_id.encode(),
                call.started_at.encode(),
                caller.envelope,
                b'"causation_id":"%b",' % call.follows.encode() if call.follows else b"",
                _encode(call.correlation_id),
                self._offers.of(call.model)[1],
                call.held,
                call.estimated_cost,
                call.bound.input_tokens,
                call.bound.output_tokens,
                b"true" if call.request.stream else b"false",
                self._alternatives(call) if call.plan.alternatives else b"",
                beside_hold(call) if call.queued_ms or call.guarding is not None else b"",
                key,
            )
        )
        return Entry(
            EntryKind.HOLD,
            call.id_bytes,
            caller.account,
            call.held,
            state,
            call.estimated_cost,
            call.idempotency_key,
            id_bytes(call.follows) if call.follows else b"",
            tokens=min(call.tokens, ENTRY_TOKENS_MAX),
            key_id=caller.key,
            user_id=caller.user,
            project_id=caller.project,
            organisation_id=caller.organisation,
            plan=caller.plan,
        )

    async def extend(self, call: Call, tokens: int, more: int | None = None) -> bool:
        """Hold for more output of a stream; False when credits or a quota have no room.

        `more` is how much more, nano-USD, where it is not the price of the tokens as output.
        """
        held_for = call.bound_tokens - call.bound.output_tokens
        if more is None:
            more = call.bound_at(call.model, call.bound, more_tokens=held_for + tokens)
            more -= call.bound_at(call.model, call.bound, more_tokens=held_for)
        state = b'{%b,"amount_nano_usd":%d' % (self._envelope(call), more)
        entry = _entry_of(call, EntryKind.EXTEND, more, state, tokens=tokens)
        try:
            answer = await self._committer.append(entry)
        except EventStoreError:
            return True  # The ledger is away: calls in flight finish (P12).
        if answer.applied:
            call.held += more
            call.bound_tokens += tokens
        call.out_of_quota = answer.code == AppendCode.QUOTA_EXCEEDED
        return answer.applied

    async def settle(
        self,
        call: Call,
        attempt: Attempt,
        usage: Usage,
        *,
        request_id: str | None,
        reason: str = "completed",
    ) -> None:
        """Charge the call for this attempt, durably: in the ledger, or in the spool meanwhile.

        What a provider made beyond the maximum it was told is the attempt's cost, not the caller's.
        """
        price, made = attempt.offer.price, usage
        usage = attempt.charged(made)
        cost = price.cost(usage)
        at_price = cost.nano_usd if usage is made else price.cost(made).nano_usd
        self._losses.note(call.caller.account, attempt.costs(made, at_price) - cost.nano_usd)
        call.charged = (usage, cost.nano_usd)
        ended(call, usage.input_tokens + usage.output_tokens)
        state = (
            b'{%b,"usage":%b,"cost_nano_usd":%d,"cost_exact_nano_usd":"%b",%b,'
            b'"provider_request_id":%b,"attempts":%b,"reason":"%b"'
            % (
                self._envelope(call),
                _encode(usage.as_dict()),
                cost.nano_usd,
                cost.exact_nano_usd.encode(),
                self._offers.of(attempt.offer)[2],
                _encode(provider_id(request_id)),
                _encode(call.attempts),
                reason.encode(),
            )
        )
        if call.app or call.caching is not None or call.guarding is not None:
            state += beside_end(call)
        tokens = usage.input_tokens + usage.output_tokens
        entry = _entry_of(call, EntryKind.SETTLE, cost.nano_usd, state, call.kept_reply, tokens)
        await self._resolve(call, entry)

    async def void(self, call: Call, reason: str) -> None:
        """Release the hold without a charge, durably, as settle does."""
        ended(call, 0)
        await self._resolve(call, self._void_entry(call, reason))

    async def abandon(self, call: Call, reason: str) -> None:
        """Spool a void for a call that this process can no longer finish."""
        call.unresolved = False
        self._open.pop(call.id_bytes, None)
        await self._spool.keep_aside(self._void_entry(call, reason))

    def _alternatives(self, call: Call) -> bytes:
        """What the call may be settled by but the first, each with its price (money rule 12)."""
        parts = [b"{%b}" % self._offers.of(each)[1][:-1] for each in call.plan.alternatives]
        return b',"alternatives":[%b]' % b",".join(parts)

    def _envelope(self, call: Call) -> bytes:
        return (
            b'"id":"%b","effective_at":"%b","actor":"api_key:%b","correlation_id":%b,'
            b'"causation_id":"%b","account_id":"%b"'
            % (
                new_uuid7_text().encode(),
                now_iso().encode(),
                call.caller.key_id.encode(),
                _encode(call.correlation_id),
                call.hold_event_id.encode(),
                call.caller.account_id.encode(),
            )
        )

    def _void_entry(self, call: Call, reason: str) -> Entry:
        envelope = self._envelope(call)
        state = b"{%b,%b" % (envelope, void_members(len(envelope), call.attempts, reason))
        return _entry_of(call, EntryKind.VOID, 0, state)

    async def _resolve(self, call: Call, entry: Entry) -> None:
        call.unresolved = False  # From here on the outcome is in the ledger or in the spool.
        try:
            answer = await self._committer.append(entry)
        except EventStoreError as error:
            logger.warning("the outcome of call %s is spooled: %s", call.id, error)
            await self._spool.keep_aside(entry)
        except asyncio.CancelledError:
            await self._spool.keep_aside(entry)
            raise
        else:
            if answer.loss:
                self._losses.learn(call.caller.account, answer.loss)
            if answer.code == AppendCode.AMOUNT_OUT_OF_RANGE:
                # No call can cost so much: rather nothing than a charge that nobody can explain.
                logger.error("call %s cannot cost %d nano-USD: voided", call.id, entry.amount)
                call.charged = None
                await self._resolve(call, self._void_entry(call, "the cost is out of range"))
            elif not answer.applied:
                logger.warning(
                    "the hold of call %s was resolved before: code %d", call.id, answer.code
                )
        finally:
            self._open.pop(call.id_bytes, None)
