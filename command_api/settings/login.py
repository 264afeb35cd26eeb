"""Settings of login providers: each is there where its client id and secret are."""

from __future__ import annotations

from pydantic import Field, field_validator

from command_api.settings.group import Group


class LoginSettings(Group):
    """Who else may say who somebody is; all of them need `GATEWAYZ_PUBLIC_URL`, but for Privy."""

    google_client_id: str | None = Field(
        None, alias="GATEWAYZ_GOOGLE_CLIENT_ID", description="Our id at Google."
    )
    google_client_secret: str | None = Field(
        None,
        repr=False,
        alias="GATEWAYZ_GOOGLE_CLIENT_SECRET",
        description="Our secret at Google.",
    )
    github_client_id: str | None = Field(
        None, alias="GATEWAYZ_GITHUB_CLIENT_ID", description="Our id at GitHub."
    )
    github_client_secret: str | None = Field(
        None,
        repr=False,
        alias="GATEWAYZ_GITHUB_CLIENT_SECRET",
        description="Our secret at GitHub.",
    )
    github_url: str = Field(
        "https://github.com",
        alias="GATEWAYZ_GITHUB_URL",
        description="GitHub, or an Enterprise Server.",
    )
    oidc_issuer: str | None = Field(
        None,
        alias="GATEWAYZ_OIDC_ISSUER",
        description="Issuer of another provider that speaks OpenID Connect; it is called `oidc`.",
    )
    oidc_client_id: str | None = Field(
        None, alias="GATEWAYZ_OIDC_CLIENT_ID", description="Our id there."
    )
    oidc_client_secret: str | None = Field(
        None, repr=False, alias="GATEWAYZ_OIDC_CLIENT_SECRET", description="Our secret there."
    )
    privy_app_id: str | None = Field(
        None, alias="GATEWAYZ_PRIVY_APP_ID", description="Id of our app at Privy."
    )
    privy_verification_key: str | None = Field(
        None,
        alias="GATEWAYZ_PRIVY_VERIFICATION_KEY",
        description="Privy's public key of that app, in PEM (line breaks may be written `\\n`).",
    )
    privy_jwks_url: str | None = Field(
        None,
        alias="GATEWAYZ_PRIVY_JWKS_URL",
        description="Where Privy publishes that key, in the place of the key itself.",
    )

    @field_validator("privy_verification_key")
    @classmethod
    def _is_a_key(cls, text: str | None) -> str | None:
        """Raises ValueError for a key that is none: at the start, not at the first sign-in."""
        if text is not None:
            # Most verbs need no keys, and what reads them takes a moment to load.
            from providers.login.tokens import OneKey

            OneKey(text)
        return text
