"""What the semantic cache is to one call that asked for it, and why it is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.kept_replies.semantic.asked import split_of
from command_api.kept_replies.semantic.meant import Meant
from domain.identity.key_cache import PARTS

if TYPE_CHECKING:
    from command_api.calls.beside.caching import Caching
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.kept_replies.response_cache import CachedReply
    from command_api.kept_replies.semantic.asked import Split
    from command_api.kept_replies.semantic.meant import SemanticCache
    from edge.asgi import ReplyHeaders
    from providers.inference.port import Operation

SEMANTIC = b"x-gatewayz-cache-semantic"


async def compared(
    semantic: SemanticCache | None, raw: bytes, operation: Operation, *, guarded: bool, only: bool
) -> Split | str:
    """What is compared of a request; else why nothing is."""
    if semantic is None or not semantic.model:
        return "not_configured"
    if guarded:
        return "guarded"  # A vector would be made of what guards took out.
    if only:
        return "only_if_cached"  # Who wants no call wants none for a vector.
    return await split_of(raw, operation, text_bytes_max=semantic.text_bytes_max)


async def find_meant(
    parts: CallParts, call: Call, caching: Caching, head: ReplyHeaders
) -> CachedReply | None:
    """An answer to nearly the same request; the headers say what came of it."""
    wish, split, semantic = caching.wish, caching.split, parts.semantic
    if wish.semantic is None or split is None:
        return None
    if call.idempotency_key:
        # Whoever sends the request again is told the first answer, and pays for nothing more.
        meant = Meant("idempotency_key")
    elif semantic is None or isinstance(split, str):
        meant = Meant(split if isinstance(split, str) else "not_configured")
    else:
        meant = await semantic.look_up(
            call.caller,
            call.id,
            call.held,
            wish.semantic,
            split,
            caching.route,
            reads=wish.reads,
            max_age_s=wish.max_age_s,
        )
    limits, found = call.caller.limits, meant.reply
    allowed = limits.providers if limits else None
    if found is not None and allowed and found.provider not in allowed:
        meant.told, meant.reply, meant.similarity = "provider_not_allowed", None, None
    caching.meant = meant
    if semantic is not None:
        semantic.results[meant.told] += 1
    if meant.reply is None:
        head.more.append((SEMANTIC, meant.told.encode()))
    return meant.reply


def tell_similarity(caching: Caching, head: ReplyHeaders) -> None:
    """How near the text was whose answer is told."""
    meant = caching.meant
    if meant is not None and meant.similarity is not None:
        head.more.append((SEMANTIC, meant.told.encode()))
        head.more.append((b"x-gatewayz-cache-similarity", decimal(meant.similarity).encode()))


def decimal(similarity: int) -> str:
    """A similarity in ten-thousandths as people read it."""
    sign = "-" if similarity < 0 else ""
    whole, parts = divmod(abs(similarity), PARTS)
    return f"{sign}{whole}.{parts:04d}"


def semantic_members(caching: Caching) -> bytes:
    """Members of the settlement: the vector's call, and how near the text was."""
    meant = caching.meant
    if meant is None or not meant.call_id:
        return b""
    told = b',"semantic":{"embedding_call_id":"%b"' % meant.call_id.encode()
    if meant.similarity is not None:
        told += b',"similarity":"%b"' % decimal(meant.similarity).encode()
    return told + b"}"
