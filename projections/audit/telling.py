"""The words in which the audit tells an event: what was done, to whom, before and after."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.events.base import Event


class Subject(StrEnum):
    """What an act was done to."""

    USER = "user"
    KEY = "key"
    ACCOUNT = "account"
    ORGANISATION = "organisation"
    PROJECT = "project"
    BOOKS = "books"
    COUPON = "coupon"
    PAYMENT = "payment"
    SUBSCRIPTION = "subscription"
    PROVIDER = "provider"
    MONITOR = "monitor"
    BATCH = "batch"
    PROVIDER_KEY = "provider_key"


def same(*names: str) -> dict[str, str]:
    """Members that are told under their own names."""
    return {name: name for name in names}


@dataclass(frozen=True, slots=True)
class Told:
    """An action and what it was done to.

    `before` and `after` say under which name which member is told; where they are the name of a
    member, that member is such an object itself. `subject_in` names the member with the subject's
    id, the stream's own where it is empty. Where the event itself says whether it is about a key, a
    user or an account, `kind_in` names the member that does, and `subject` is not looked at.
    """

    action: str
    subject: Subject
    before: Mapping[str, str] | str = field(default_factory=dict)
    after: Mapping[str, str] | str = field(default_factory=dict)
    subject_in: str = ""
    kind_in: str = ""


def object_of(event: Event, members: Mapping[str, str] | str) -> dict[str, Any]:
    """What is told of an event, by the names under which it is told."""
    if isinstance(members, str):
        return dict(getattr(event, members))
    return {name: getattr(event, member) for name, member in members.items()}
