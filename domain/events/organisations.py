"""Events of organisations, their members and projects. Names are encrypted with the organisation's
own data key; the address of somebody who is invited stands in no event.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class OrganisationEvent(Event):
    """What an act on an organisation carries.

    `by_user_id` is the user who did it, None for an operator at a shell; `origin` stands for the
    address that the request came from (a keyed hash), empty for none. An empty `reason` says that
    none was given.
    """

    by_user_id: str | None = None
    origin: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class OrganisationCreated(OrganisationEvent):
    """An organisation exists, with a credit account; its first member is its owner."""

    TOPIC = "organisation.created.v1"
    CATEGORY = "organisation"

    account_id: str
    user_id: str
    name_ciphertext: str


@dataclass(frozen=True, kw_only=True)
class OrganisationRenamed(OrganisationEvent):
    """It has another name."""

    TOPIC = "organisation.renamed.v1"
    CATEGORY = "organisation"

    account_id: str
    name_ciphertext: str


@dataclass(frozen=True, kw_only=True)
class OrganisationClosed(OrganisationEvent):
    """It has no members any more, and its keys open nothing; its account stays in the books."""

    TOPIC = "organisation.closed.v1"
    CATEGORY = "organisation"

    account_id: str


@dataclass(frozen=True, kw_only=True)
class MemberInvited(OrganisationEvent):
    """Somebody may become a member until an instant."""

    TOPIC = "organisation.member_invited.v1"
    CATEGORY = "organisation"

    account_id: str
    invitation_id: str
    role: str
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class InvitationEnded(OrganisationEvent):
    """An invitation was `declined` or `withdrawn`; that it was accepted says `MemberJoined`."""

    TOPIC = "organisation.invitation_ended.v1"
    CATEGORY = "organisation"

    account_id: str
    invitation_id: str
    how: str


@dataclass(frozen=True, kw_only=True)
class MemberJoined(OrganisationEvent):
    """A user is a member; `invitation_id` is None where an operator added them."""

    TOPIC = "organisation.member_joined.v1"
    CATEGORY = "organisation"

    account_id: str
    user_id: str
    role: str
    invitation_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class MemberRoleChanged(OrganisationEvent):
    """A member has another role."""

    TOPIC = "organisation.member_role_changed.v1"
    CATEGORY = "organisation"

    account_id: str
    user_id: str
    from_role: str
    to_role: str


@dataclass(frozen=True, kw_only=True)
class MemberLeft(OrganisationEvent):
    """A user is a member no more: `left`, `removed`, or `deleted` with all of theirs."""

    TOPIC = "organisation.member_left.v1"
    CATEGORY = "organisation"

    account_id: str
    user_id: str
    role: str
    how: str


@dataclass(frozen=True, kw_only=True)
class ProjectCreated(OrganisationEvent):
    """A project of an organisation exists; its keys draw on that organisation's account."""

    TOPIC = "project.created.v1"
    CATEGORY = "project"

    organisation_id: str
    account_id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class ProjectRenamed(OrganisationEvent):
    """A project has another name."""

    TOPIC = "project.renamed.v1"
    CATEGORY = "project"

    organisation_id: str
    account_id: str
    from_name: str
    to_name: str


@dataclass(frozen=True, kw_only=True)
class ProjectArchived(OrganisationEvent):
    """A project's keys open nothing any more, for ever."""

    TOPIC = "project.archived.v1"
    CATEGORY = "project"

    organisation_id: str
    account_id: str
