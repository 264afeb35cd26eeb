"""The authorities that all clients believe."""

from __future__ import annotations

import ssl

from providers.fetching.tls import authorities


def test_they_are_read_once_and_always_asked() -> None:
    """Certificates and names are checked, and no client reads them anew (rule: access)."""
    made = authorities()
    assert made is authorities()
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
