"""Upstreams that know a customer's own key in the place of the house's.

They go where the house's calls go, over the same connections. Nothing else that the operator sends
along goes with them: neither the house's key, nor headers of the environment or the providers file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from providers.inference.adapters.anthropic.upstream import AnthropicUpstream
from providers.inference.adapters.fal import FalUpstream
from providers.inference.adapters.openai_api import OpenAiUpstream
from providers.inference.adapters.realtime.sockets import Sockets
from providers.inference.registry.built_in import Protocol

if TYPE_CHECKING:
    from domain.provider_keys.secrets import OwnKey
    from providers.inference.adapters.http1.client import HttpClient
    from providers.inference.adapters.http1.limits import ClientLimits
    from providers.inference.port import Upstream
    from providers.inference.registry.built_in import BuiltIn

ONE_SECRET = frozenset({Protocol.OPENAI, Protocol.ANTHROPIC, Protocol.FAL})
"""Protocols to which one secret is all that says who calls. Vertex AI wants a service account and a
project, Portkey virtual keys beside its own.
"""


class KeyedUpstreams:
    """Of one provider: an upstream for each own key, for as long as somebody holds the key."""

    def __init__(
        self, entry: BuiltIn, base_url: str, client: HttpClient, limits: ClientLimits
    ) -> None:
        """`client` is that of the house's calls, to the same base URL."""
        self._entry, self._base_url = entry, base_url
        self._client, self._limits = client, limits
        self._made: WeakKeyDictionary[OwnKey, Upstream] = WeakKeyDictionary()

    def headers(self, secret: str) -> dict[str, str]:
        """What tells the provider whose call it is, and what it wants from everybody."""
        entry = self._entry
        return {**dict(entry.headers), entry.key_header: entry.key_prefix + secret}

    def of(self, own: OwnKey) -> Upstream:
        """The upstream of an own key."""
        found = self._made.get(own)
        if found is None:
            found = self._made[own] = self._make(own.secret)
        return found

    def _make(self, secret: str) -> Upstream:
        client = self._client.sharing(self.headers(secret))
        if self._entry.protocol is Protocol.ANTHROPIC:
            return AnthropicUpstream(client)
        if self._entry.protocol is Protocol.FAL:
            return FalUpstream(client, deadline_s=self._limits.attempt_s)
        return OpenAiUpstream(client, Sockets(self._base_url, self.headers(secret)))
