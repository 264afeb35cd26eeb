"""What all groups of settings have in common."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "GATEWAYZ_"
"""Every variable of ours begins with it."""


class Group(BaseSettings):
    """The settings of one slice, read from the environment.

    A field's alias is its variable, written out so that a search for the variable finds it. An
    empty variable counts as one that is not set.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def variables(cls) -> dict[str, str]:
        """The variable of each field, by the field's name."""
        return {name: str(field.alias) for name, field in cls.model_fields.items()}
