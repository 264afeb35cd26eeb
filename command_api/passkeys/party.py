"""The relying party: what it asks of browsers, and how it judges their answers (WebAuthn, 7)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import webauthn
from cryptography.exceptions import UnsupportedAlgorithm
from webauthn.helpers import (
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from edge.errors import AUTHENTICATION, ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

NAME = "Gatewayz"
TIMEOUT_MS = 300_000
CREDENTIAL_ID_BYTES_MAX = 1_023
"""WebAuthn, 4: credential id."""
BAD = (
    *(WebAuthnException, UnsupportedAlgorithm, struct.error, ValueError, TypeError, KeyError),
    *(IndexError, AttributeError, OverflowError, RecursionError),
)
"""What the library raises for answers that no browser gives."""


class New(NamedTuple):
    """A passkey that was just made."""

    credential_id: bytes
    public_key: bytes
    sign_count: int


class Shown(NamedTuple):
    """What an assertion says before it is judged."""

    challenge: str
    credential_id: bytes
    user_handle: bytes | None


class Party:
    """One for each process."""

    def __init__(self, public_url: str | None) -> None:
        """Where people find us; without it there are no passkeys."""
        parts = urlsplit(public_url or "")
        self._host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        self._origin = f"{parts.scheme}://{self._host}{port}" if self._host else ""

    def need(self) -> None:
        """Raise ApiError 501 where nobody said what our address is."""
        if not self._origin:
            message = (
                "Passkeys belong to an address, and this gateway does not know its own: its "
                "operator has to set GATEWAYZ_PUBLIC_URL."
            )
            raise ApiError(501, "passkeys_not_set_up", message)

    def registration(
        self, challenge: str, user_id: UUID, address: str, known: Iterable[bytes]
    ) -> dict[str, Any]:
        """What a browser needs to make a passkey that is found without a name, and verifies."""
        options = webauthn.generate_registration_options(
            rp_id=self._host,
            rp_name=NAME,
            user_id=user_id.bytes,
            user_name=address,
            challenge=challenge.encode(),
            timeout=TIMEOUT_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
        )
        return _json(webauthn.options_to_json(options))

    def assertion(self, challenge: str) -> dict[str, Any]:
        """What a browser needs to show one of the passkeys of this address."""
        options = webauthn.generate_authentication_options(
            rp_id=self._host,
            challenge=challenge.encode(),
            timeout=TIMEOUT_MS,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return _json(webauthn.options_to_json(options))

    @staticmethod
    def challenge_of(credential: dict[str, Any]) -> str:
        """The challenge that a new credential answers; raises ApiError 400."""
        try:
            parsed = parse_registration_credential_json(credential)
            return parse_client_data_json(parsed.response.client_data_json).challenge.decode()
        except BAD:
            raise bad_registration() from None

    @staticmethod
    def shown(credential: dict[str, Any]) -> Shown:
        """What an assertion says; raises ApiError 401."""
        try:
            parsed = parse_authentication_credential_json(credential)
            challenge = parse_client_data_json(parsed.response.client_data_json).challenge
            return Shown(challenge.decode(), parsed.raw_id, parsed.response.user_handle)
        except BAD:
            raise bad_passkey() from None

    def registered(self, credential: dict[str, Any], challenge: str) -> New:
        """The passkey that was made; raises ApiError 400."""
        try:
            found = webauthn.verify_registration_response(
                credential=credential,
                expected_challenge=challenge.encode(),
                expected_rp_id=self._host,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except BAD:
            raise bad_registration() from None
        if len(found.credential_id) > CREDENTIAL_ID_BYTES_MAX:
            raise bad_registration()
        return New(found.credential_id, found.credential_public_key, found.sign_count)

    def asserted(
        self, credential: dict[str, Any], challenge: str, public_key: bytes, sign_count: int
    ) -> int:
        """The counter after an assertion that is right; raises ApiError 401."""
        try:
            found = webauthn.verify_authentication_response(
                credential=credential,
                expected_challenge=challenge.encode(),
                expected_rp_id=self._host,
                expected_origin=self._origin,
                credential_public_key=public_key,
                credential_current_sign_count=sign_count,
                require_user_verification=True,
            )
        except BAD:
            raise bad_passkey() from None
        return found.new_sign_count


def _json(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])


def bad_passkey() -> ApiError:
    """A 401, alike for every reason."""
    message = "This passkey opens nothing here, or its answer is over: ask for options anew."
    return ApiError(401, "invalid_passkey", message, kind=AUTHENTICATION)


def bad_registration() -> ApiError:
    """A 400, alike for every reason."""
    message = (
        "This is no new passkey of this address, or its challenge is over: ask for options anew."
    )
    return bad_request("invalid_passkey", message, "credential")
