"""Portkey's headers, hand-written from its documentation: no recordings of it exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from providers.inference.port import Operation, UnsupportedError
from tests.providers.inference.asking import provider, send

if TYPE_CHECKING:
    from tests.support.harness import ScriptedUpstream


def test_portkey_serves_by_the_provider_that_a_call_names(upstream: ScriptedUpstream) -> None:
    """With the virtual key of the environment for it, or the caller's own; the body is clean
    (rule: wire).
    """
    environment = {
        "PORTKEY_API_KEY": "k",
        "PORTKEY_BASE_URL": upstream.base_url,
        "PORTKEY_VIRTUAL_KEY_STABILITY_AI": "v-1",
    }
    body = {"model": "m", "prompt": "a", "portkey_provider": "stability-ai"}
    for more, key in (({}, "v-1"), ({"portkey_virtual_key": "mine"}, "mine")):
        send(provider("portkey", environment), {**body, **more}, Operation.IMAGES)
        got = upstream.requests[-1]
        assert got.headers["x-portkey-provider"] == "stability-ai"
        assert got.headers["x-portkey-virtual-key"] == key
        assert got.body == {"model": "m", "prompt": "a"}
    with pytest.raises(UnsupportedError):
        send(provider("portkey", environment), {**body, "portkey_provider": "a\r\nx: y"})
