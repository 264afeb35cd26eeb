"""A stored provider key: events evolve its state, commands decide events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from domain.errors import DomainError, InvalidCommandError
from domain.events.work.provider_keys import (
    ProviderKeyChanged,
    ProviderKeyEvent,
    ProviderKeyRemoved,
    ProviderKeyReplaced,
    ProviderKeyStored,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from domain.events.base import By, Event, Stamp

LABEL_CHARACTERS_MAX = 100


class UnknownProviderKeyError(DomainError):
    """There is no such key of theirs, or it was removed."""

    code = "provider_key_not_found"


class ProviderKeyTakenError(DomainError):
    """There is a key for this provider already."""

    code = "provider_key_exists"


class TooManyProviderKeysError(DomainError):
    """The organisation has as many as it may have."""

    code = "too_many_provider_keys"


class Owner(NamedTuple):
    """Whose key it is: of a project, or of a user for the API keys that are of none."""

    account_id: str
    organisation_id: str
    project_id: str | None = None

    @property
    def scope_id(self) -> str:
        """What the API keys that use it have in common: the project, or the user."""
        return self.project_id or self.organisation_id


class Mark(NamedTuple):
    """What is known of a secret without it."""

    hint: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """State of one key."""

    id: UUID
    version: int
    owner: Owner
    provider: str
    label: str
    mark: Mark
    enabled: bool = True
    fallback: bool = False
    removed: bool = False

    def next(self, by: By, stamp: Stamp) -> dict[str, Any]:
        """What its next event carries in any case."""
        return {
            "originator_id": self.id,
            "originator_version": self.version + 1,
            "provider": self.provider,
            **self.owner._asdict(),
            **stamp,
            **by.named(),
        }


def evolve_provider_key(state: ProviderKey | None, event: Event) -> ProviderKey | None:
    """The next state of a key."""
    version = event.originator_version
    match event:
        case ProviderKeyStored():
            return ProviderKey(
                event.originator_id,
                version,
                Owner(event.account_id, event.organisation_id, event.project_id),
                event.provider,
                event.label,
                Mark(event.hint, event.fingerprint),
                enabled=event.enabled,
                fallback=event.fallback,
            )
        case ProviderKeyReplaced() if state:
            return replace(state, version=version, mark=Mark(event.hint, event.fingerprint))
        case ProviderKeyChanged() if state:
            return replace(
                state,
                version=version,
                label=event.label,
                enabled=event.enabled,
                fallback=event.fallback,
            )
        case ProviderKeyRemoved() if state:
            return replace(state, version=version, removed=True)
        case _:
            return state


def replay_provider_key(events: Iterable[Event]) -> ProviderKey | None:
    """A key's state after its events."""
    state: ProviderKey | None = None
    for event in events:
        state = evolve_provider_key(state, event)
    return state


def check_label(label: str) -> str:
    """A label, which may be empty; raises InvalidCommandError."""
    label = label.strip()
    if len(label) > LABEL_CHARACTERS_MAX or not label.isprintable():
        message = f"label: it has at most {LABEL_CHARACTERS_MAX} printable characters"
        raise InvalidCommandError(message)
    return label


class NewKey(NamedTuple):
    """What a key shall be."""

    provider: str
    label: str = ""
    enabled: bool = True
    fallback: bool = False


def store_key(
    key_id: UUID, owner: Owner, new: NewKey, mark: Mark, by: By, stamp: Stamp
) -> ProviderKeyStored:
    """Store a key. Raises InvalidCommandError."""
    return ProviderKeyStored(
        originator_id=key_id,
        originator_version=1,
        **stamp,
        **owner._asdict(),
        **by.named(),
        provider=new.provider,
        label=check_label(new.label),
        hint=mark.hint,
        fingerprint=mark.fingerprint,
        enabled=new.enabled,
        fallback=new.fallback,
    )


class Changes(NamedTuple):
    """What of a key shall be other; None leaves it as it is."""

    label: str | None = None
    enabled: bool | None = None
    fallback: bool | None = None
    mark: Mark | None = None


def change_key(
    state: ProviderKey | None, changes: Changes, by: By, stamps: tuple[Stamp, Stamp]
) -> list[ProviderKeyEvent]:
    """Replace the secret, change what stands beside it, or both; nothing where it is so already.

    Raises UnknownProviderKeyError and InvalidCommandError. The second stamp is for a second event.
    """
    known = _living(state)
    made: list[ProviderKeyEvent] = []
    if changes.mark is not None and changes.mark != known.mark:
        replaced = ProviderKeyReplaced(**known.next(by, stamps[0]), **changes.mark._asdict())
        made.append(replaced)
        known = replace(known, version=replaced.originator_version)
    label = known.label if changes.label is None else check_label(changes.label)
    enabled = known.enabled if changes.enabled is None else changes.enabled
    fallback = known.fallback if changes.fallback is None else changes.fallback
    if (label, enabled, fallback) != (known.label, known.enabled, known.fallback):
        stamp = stamps[len(made)]
        made.append(
            ProviderKeyChanged(
                **known.next(by, stamp), label=label, enabled=enabled, fallback=fallback
            )
        )
    return made


def remove_key(state: ProviderKey | None, by: By, stamp: Stamp) -> ProviderKeyRemoved:
    """Remove a key for ever. Raises UnknownProviderKeyError."""
    return ProviderKeyRemoved(**_living(state).next(by, stamp))


def _living(state: ProviderKey | None) -> ProviderKey:
    if state is None or state.removed:
        message = "there is no such provider key, or it was removed"
        raise UnknownProviderKeyError(message)
    return state
