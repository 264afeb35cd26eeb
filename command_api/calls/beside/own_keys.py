"""Attempts with a caller's own provider key: which upstream, and whose fault a refusal is."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from command_api.replies.failures import Told
from edge.errors import INSUFFICIENT_QUOTA, PERMISSION, RATE_LIMIT

if TYPE_CHECKING:
    from command_api.calls.call import Attempt, Call
    from command_api.replies.failures import UpstreamFailure
    from domain.provider_keys.secrets import OwnKey
    from edge.caller import Caller
    from providers.inference.port import Upstream
    from providers.inference.registry.offers import Model
    from providers.inference.registry.registry import Registry

REJECTED: dict[int, tuple[Told, str]] = {
    HTTPStatus.UNAUTHORIZED: (
        Told(403, "provider_key_rejected", PERMISSION),
        "did not accept it",
    ),
    HTTPStatus.PAYMENT_REQUIRED: (
        Told(402, "provider_key_without_funds", INSUFFICIENT_QUOTA),
        "says that it has no funds or quota left",
    ),
    HTTPStatus.FORBIDDEN: (
        Told(403, "provider_key_rejected", PERMISSION),
        "does not allow it this call",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: (
        Told(429, "provider_key_limited", RATE_LIMIT),
        "limits it: too many calls, or no quota left",
    ),
}
"""By the provider's status what a caller is told of an own key: that it is his to mend."""


def own_key_of(caller: Caller, offer: Model) -> OwnKey | None:
    """The own key that an offer is asked with; None for the house's."""
    if not offer.own_key:
        return None
    return next(each for each in caller.own_keys if each.id == offer.own_key)


def upstream_of(registry: Registry, caller: Caller, offer: Model) -> Upstream:
    """Who is asked, and with whose key."""
    provider, own = registry.providers[offer.provider], own_key_of(caller, offer)
    if own is None:
        return provider.upstream
    assert provider.keyed is not None, "a plan has no offer of an own key that cannot be used"
    return provider.keyed.of(own)


def blame(
    registry: Registry, call: Call, attempt: Attempt, failure: UpstreamFailure
) -> UpstreamFailure:
    """Hide secrets in what a failure says, and say whose key was refused where it was not ours."""
    failure.hide(registry.providers[attempt.offer.provider].secrets)
    own = own_key_of(call.caller, attempt.offer)
    if own is not None:
        accuse(own, failure)
    return failure


def accuse(own: OwnKey, failure: UpstreamFailure) -> None:
    """The same of an own key."""
    failure.hide((own.secret,))
    found = REJECTED.get(failure.status or 0)
    if found is None:
        return
    failure.told, why = found
    said = f" ({failure.said})" if failure.status == HTTPStatus.TOO_MANY_REQUESTS else ""
    failure.said = (
        f"Your own provider key for {own.provider} that ends in {own.hint} was used, and "
        f"{own.provider} {why}{said}: see /user/provider-keys/{own.id}"
    )
