"""What the gateways ask of a key by its HMAC, and whose keys changed behind a position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal
    from uuid import UUID

_SEALED = ("sealed", "wrapped")
LOOKUP = """
SELECT key_id, user_id, account_id, masked, revoked, active, deleted,
  extract(epoch FROM expires_at - clock_timestamp()), limits,
  (SELECT role FROM user_role r WHERE r.user_id = api_key.user_id), project_id, organisation_id,
  CASE WHEN organisation_id = user_id THEN 'owner' ELSE
    (SELECT role FROM organisation_member m JOIN organisation o USING (organisation_id)
      WHERE m.organisation_id = api_key.organisation_id AND m.user_id = api_key.user_id
      AND NOT o.closed) END,
  (SELECT archived FROM project p WHERE p.project_id = api_key.project_id), environment,
  planned.left_s, coalesce(organisation_id = user_id, true), planned.plan, cache, (
    SELECT jsonb_agg(jsonb_build_object('id', k.provider_key_id, 'provider', k.provider,
      'hint', k.hint, 'fallback', k.fallback))
    FROM provider_key k
    WHERE k.scope_id = coalesce(api_key.project_id, api_key.user_id) AND k.enabled
      AND NOT k.removed)
FROM api_key LEFT JOIN LATERAL (
  SELECT p.plan, CASE WHEN p.plan IS NULL THEN 0 ELSE
      coalesce(extract(epoch FROM p.expires_at - booking_clock()), 'infinity') END AS left_s
  FROM user_plan p
  WHERE p.user_id = api_key.user_id AND p.account_id = api_key.account_id
) planned ON true
WHERE key_hash = ANY(%s)
"""
OWN_SECRETS = """
SELECT k.provider_key_id, encode(s.sealed, 'hex'), encode(coalesce(
  (SELECT o.wrapped_key FROM organisation o WHERE o.organisation_id = k.organisation_id),
  (SELECT u.wrapped_key FROM user_secret u WHERE u.user_id = k.organisation_id)), 'hex')
FROM provider_key k JOIN provider_key_secret s USING (provider_key_id)
WHERE k.provider_key_id = ANY(%s::uuid[])
"""
"""What provider keys are sealed as, and with: asked for only where an API key has any, so that
nobody else waits for the tables of secrets.
"""
_WATCHED = (
    *(("api_key", "key_id"), ("user_role", "user_id"), ("organisation_member", "user_id")),
    *(("organisation", "organisation_id"), ("project", "project_id"), ("user_plan", "user_id")),
    ("provider_key", "scope_id"),
)
"""Tables that say where in the log a row last changed, and whose keys that concerns."""
CHANGED = (
    " UNION ALL ".join(
        f"SELECT position, {of} FROM {table} WHERE position > %(since)s" for table, of in _WATCHED
    )
    + " ORDER BY position LIMIT %(most)s"
)
NEWEST = "SELECT greatest(0, {})".format(
    ", ".join(f"(SELECT max(position) FROM {table})" for table, _ in _WATCHED)
)


class StoredKey(NamedTuple):
    """The inline state of a key; `left_s` is how long it still opens, seconds."""

    key_id: UUID
    user_id: UUID
    account_id: UUID
    masked: str
    revoked: bool
    active: bool
    deleted: bool
    left_s: Decimal | None
    limits: dict[str, list[str]] | None
    role: str | None
    project_id: UUID | None
    organisation_id: UUID | None
    member: str | None
    archived: bool | None
    environment: str
    plan_left_s: Decimal | None
    """How long the user's plan still counts, seconds; None where the account never had one."""
    personal: bool | None
    """Whether the account that pays is the user's own."""
    plan: str | None
    """The user's plan, which counts while `plan_left_s` says so."""
    cache: dict[str, Any] | None
    own_keys: list[dict[str, Any]] | None = None
    """The provider keys that its calls use; None for none."""

    @property
    def own_ids(self) -> list[str]:
        """The ids of those, by which `OWN_SECRETS` is asked."""
        return [each["id"] for each in self.own_keys or ()]

    def with_secrets(self, rows: Iterable[Sequence[Any]]) -> StoredKey:
        """With what `OWN_SECRETS` says; a secret that was shredded meanwhile is None."""
        sealed = {str(key_id): (secret, wrapped) for key_id, secret, wrapped in rows}
        found = [
            {**each, **dict(zip(_SEALED, sealed.get(each["id"], (None, None)), strict=True))}
            for each in self.own_keys or ()
        ]
        return self._replace(own_keys=found)

    @property
    def closed(self) -> str:
        """Why the key opens nothing; empty where it does."""
        if self.deleted or self.revoked:
            return "was deleted" if self.deleted else "was revoked"
        if self.left_s is not None and self.left_s <= 0:
            return "is past its end, or was replaced"
        if self.project_id is not None and self.archived is not False:
            return "is of a project that was archived"
        if self.project_id is not None and self.member is None:
            return "is of an organisation that its maker is no member of any more"
        return "" if self.active else "is switched off"
