"""What the pipeline of calls is given: the parts of a serving process that it uses, no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from command_api.calls.cashier import Cashier
    from command_api.guardrails.running import Guardrails
    from command_api.identity.key_ring import KeyRing
    from command_api.identity.pseudonyms import Pseudonyms
    from command_api.kept_replies.across.entries import SharedAnswers
    from command_api.kept_replies.idempotency import Idempotency
    from command_api.kept_replies.response_cache import ResponseCache
    from command_api.kept_replies.responses import KeptResponses
    from command_api.kept_replies.semantic.meant import SemanticCache
    from command_api.limits.gate import RateGate
    from command_api.routing.router import Router
    from command_api.settings import Settings
    from command_api.shedding.queue import CallQueue
    from command_api.uploads.spool import UploadRoom
    from edge.clients import Proxies
    from providers.inference.registry.registry import Registry


class CallParts(NamedTuple):
    """Made once for each process."""

    settings: Settings
    keys: KeyRing
    registry: Registry
    router: Router
    cashier: Cashier
    idempotency: Idempotency
    responses: ResponseCache
    kept_responses: KeptResponses
    pseudonyms: Pseudonyms
    proxies: Proxies
    limits: RateGate
    queue: CallQueue
    uploads: UploadRoom
    guardrails: Guardrails | None = None
    semantic: SemanticCache | None = None
    across: SharedAnswers | None = None
