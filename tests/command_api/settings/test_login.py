"""Settings of login providers that cannot be are refused before anything starts."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey, RSAKey
from pydantic import ValidationError

from command_api.settings import Settings

KEY = ECKey.generate_key("P-256").as_pem(private=False).decode()


@pytest.mark.parametrize(
    "text", ["x", KEY[:60], RSAKey.generate_key(2_048).as_pem(private=False).decode()]
)
def test_a_verification_key_that_is_none_is_named(text: str) -> None:
    """By its variable (rule: refuse clearly)."""
    with pytest.raises(ValidationError) as refused:
        Settings(privy_verification_key=text)
    (error,) = refused.value.errors()
    assert error["loc"] == ("GATEWAYZ_PRIVY_VERIFICATION_KEY",)
    assert "no public EC key" in error["msg"]


def test_a_key_may_be_written_in_one_line() -> None:
    """As environments want it (rule: contract)."""
    for text in (KEY, KEY.replace("\n", "\\n")):
        assert Settings(privy_verification_key=text).login.privy_verification_key == text
