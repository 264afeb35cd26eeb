"""What makes the tests' HTTP clients cheap."""

from __future__ import annotations

from functools import cache
from importlib import import_module

import httpx


@cache
def _certificates() -> object:
    return httpx.create_ssl_context()


def share_certificates() -> None:
    """Let clients that say nothing about TLS share what they believe.

    Each would read all certificates of the machine anew: that took a quarter of the time that tests
    of routes took, and they speak plain HTTP to the loopback.
    """

    def made(verify: object = True, cert: object = None, trust_env: bool = True) -> object:
        if verify is True and cert is None and trust_env:
            return _certificates()
        return httpx.create_ssl_context(verify, cert, trust_env)  # type: ignore[arg-type]

    import_module("httpx._transports.default").create_ssl_context = made  # type: ignore[attr-defined]
