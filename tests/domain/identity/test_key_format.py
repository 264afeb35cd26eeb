"""The form of an API key: it tells a key from other text."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import InvalidCommandError
from domain.identity.key_format import (
    KEY_CHARACTERS_MAX,
    KEY_PATTERN,
    SECRET_CHARACTERS,
    Environment,
    is_key,
    key_of_secret,
    mask_key,
)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
secrets = st.text(ALPHABET, min_size=SECRET_CHARACTERS, max_size=SECRET_CHARACTERS)
environments = st.sampled_from(Environment)


@given(secrets, environments)
def test_a_key_is_of_its_form_and_its_own_checksum(secret: str, environment: Environment) -> None:
    """In every environment, and never longer than its maximum (rule: access)."""
    key = key_of_secret(secret, environment)
    assert re.fullmatch(KEY_PATTERN, key)
    assert is_key(key)
    assert secret in key
    assert len(key) <= KEY_CHARACTERS_MAX


@given(secrets, environments, st.data())
def test_a_changed_character_is_noticed(
    secret: str, environment: Environment, data: st.DataObject
) -> None:
    """Wherever it stands, the environment included (rule: access)."""
    key = key_of_secret(secret, environment)
    at = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.sampled_from(ALPHABET.replace(key[at], "")))
    assert not is_key(key[:at] + other + key[at + 1 :])
    assert not is_key(key + "a")
    assert not is_key(key[:-1])


def test_a_key_from_the_documentation() -> None:
    """The checksum is the CRC-32 of all before it, so that others can tell keys too
    (rule: contract).
    """
    key = key_of_secret("A" * SECRET_CHARACTERS, Environment.DEVELOPMENT)
    assert key == "gw_dev_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-Vs6X"


@pytest.mark.parametrize("secret", ["", "A" * 36, "A" * 38, "A" * 36 + "=", "A" * 36 + "é"])
def test_a_secret_of_another_form_makes_no_key(secret: str) -> None:
    """Rather no key than one that nobody can find (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match="37 URL-safe characters"):
        key_of_secret(secret, Environment.LIVE)


@given(secrets, environments)
@example("A" * SECRET_CHARACTERS, Environment.LIVE)
def test_a_mask_shows_the_environment_and_four_characters(
    secret: str, environment: Environment
) -> None:
    """Nothing of the random part (rule: access)."""
    key = key_of_secret(secret, environment)
    prefix = "gw_dev_" if environment is Environment.DEVELOPMENT else f"gw_{environment}_"
    assert mask_key(key) == f"{prefix}...{key[-4:]}"


def test_older_keys_are_masked_alike() -> None:
    """They have no checksum and go on to work (P5)."""
    assert mask_key("gw_live_abcdefgh1234") == "gw_live_...1234"
    assert not is_key("gw_live_" + "a" * 43)
