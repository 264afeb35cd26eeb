"""The environment of a child process: the one way in which settings reach one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from command_api.settings.all import VARIABLES

if TYPE_CHECKING:
    from command_api.settings.all import Settings


def environment_of(settings: Settings, *, database_url: str | None = None) -> dict[str, str]:
    """Every setting by its variable, whoever set it, beside the rest of our own environment.

    A setting without a value has no variable. Paths are absolute, so that they mean the same in
    any folder. `database_url` names the database for a program that knows no embedded server.
    """
    # Ours may be written in any case; one that is handed on must not meet its double.
    told = {
        name: text for name, text in settings.environment.items() if name.upper() not in VARIABLES
    }
    for group in settings.groups():
        for name, variable in group.variables().items():
            value = getattr(group, name)
            if value is not None:
                told[variable] = str(value.absolute() if isinstance(value, Path) else value)
    if database_url is not None:
        told["GATEWAYZ_DATABASE_URL"] = database_url
    return told
