"""What a call's events say beside its money, where there is anything to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from command_api.calls.beside.meant import semantic_members
from domain.ledger.keys import named_key

if TYPE_CHECKING:
    from command_api.calls.call import Call

PROVIDER_ID_CHARACTERS_MAX = 200
"""A provider's own name for a reply: the beginning of a longer one stands on the event."""


def beside_hold(call: Call) -> bytes:
    """Members of the hold's event: how long the call waited, and what guards said of its prompt."""
    told = b',"queued_ms":%d' % call.queued_ms if call.queued_ms else b""
    return told if call.guarding is None else told + call.guarding.members_of_hold()


def key_of_hold(call: Call) -> bytes:
    """Members of the hold's event about the key that the call has."""
    key = call.idempotency_key
    named = named_key(key[:32].hex(), key[32:].hex(), asks_again=call.asks_again)
    return b',"idempotency":' + msgspec.json.encode(named)


def beside_end(call: Call) -> bytes:
    """Members of the settlement's: the app, the first call of a cached answer, guards' words."""
    told = b',"app":' + msgspec.json.encode(call.app) if call.app else b""
    if call.caching is not None:
        told += semantic_members(call.caching)
        if (answer := call.caching.answer) is not None:
            first = answer.reply.call_id.encode()  # Another account's call is not named.
            return told + b',"cached_from":"%b"' % first if first else told
    return told if call.guarding is None else told + call.guarding.members_of_end()


def provider_id(given: str | None) -> str | None:
    """What an event keeps of a provider's id: printable, and not longer than its maximum."""
    if given is None:
        return None
    given = given[:PROVIDER_ID_CHARACTERS_MAX]
    return given if given.isprintable() else "".join(filter(str.isprintable, given))
