"""All quotas and their windows as the log implies them, and what a further call may claim.

A window counts all that was used and all that is held. What is shown of it depends on the limit of
the moment: what stands beyond is overrun, and no hold is placed while there is any. So a limit that
is lowered makes overrun of what is used and held already, one that is raised absorbs it, and
neither touches a window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidTransitionError
from domain.quotas.terms import USED_MAX, Claim, ScopeKind, Unit, lot_limits, lot_quota_id
from domain.quotas.windows import TOTAL_BEGINS, UTC_NAME, Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from domain.events.ledger import CreditsGranted, QuotaPart, QuotaUse
    from domain.events.quotas import QuotaSet


class Shown(NamedTuple):
    """A window under a limit: `used + held` is never above it."""

    used: int
    held: int
    overrun: int


def shown(used: int, held: int, limit: int) -> Shown:
    """All use and all holds of a window, as a limit shows them: holds come first."""
    within_held = min(held, limit)
    within_used = min(used, limit - within_held)
    return Shown(within_used, within_held, used + held - within_used - within_held)


@dataclass(slots=True)
class Quota:
    """One quota; `windows` by their begin: all that was used, and all that is held."""

    quota_id: str
    account_id: str
    scope_kind: str
    scope_id: str
    unit: str
    window: str
    limit: int
    zone: str = UTC_NAME
    removed: bool = False
    windows: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def of_lot(self) -> bool:
        """Whether it binds only what its lot pays for."""
        return self.scope_kind == ScopeKind.TRIAL_LOT

    def lacks(self, begins: str, amount: int) -> bool:
        """Whether there is no room for so much more; with overrun there is none for nothing."""
        return not self.removed and sum(self.windows.get(begins, (0, 0))) + amount > self.limit

    def move(self, begins: str, *, used: int = 0, held: int = 0) -> None:
        """Book so much more; raises InvalidTransitionError for a hold released twice."""
        before = self.windows.get(begins, (0, 0))
        after = (min(before[0] + used, USED_MAX), before[1] + held)
        if after[1] < 0:
            message = f"quota {self.quota_id}: more is released than is held"
            raise InvalidTransitionError(message)
        self.windows[begins] = after

    def overrun_of(self, begins: str, used: int, held: int) -> int:
        """What of a use lies beyond its hold and the limit, were it booked now."""
        before = self.windows.get(begins, (0, 0))
        whole = min(before[0] + used, USED_MAX) + before[1] - held
        return max(0, min(used - held, whole - self.limit))


@dataclass(slots=True)
class QuotaBook:
    """Every quota by its id."""

    quotas: dict[str, Quota] = field(default_factory=dict)
    by_scope: dict[str, list[Quota]] = field(default_factory=dict)

    def set(self, event: QuotaSet) -> None:
        """A quota is set, for the first time or anew."""
        known = self.quotas.get(str(event.originator_id))
        if known is None:
            self._add(
                Quota(
                    str(event.originator_id),
                    event.account_id,
                    event.scope_kind,
                    event.scope_id,
                    event.unit,
                    event.window,
                    event.limit,
                    event.zone,
                )
            )
        else:
            known.limit, known.zone, known.removed = event.limit, event.zone, False

    def remove(self, quota_id: str) -> None:
        """It binds no more; raises InvalidTransitionError for one that was never set."""
        self._known(quota_id).removed = True

    def granted(self, event: CreditsGranted) -> None:
        """The limits of a grant are quotas of its lot."""
        for unit, limit in lot_limits(event.limits).items():
            self._add(
                Quota(
                    str(lot_quota_id(event.lot_id, unit)),
                    event.account_id,
                    ScopeKind.TRIAL_LOT,
                    event.lot_id,
                    unit,
                    Window.TOTAL,
                    limit,
                )
            )

    def has_lot(self, lot_id: str) -> bool:
        """Whether a lot has quotas of its own."""
        return any(quota.of_lot for quota in self.by_scope.get(lot_id, ()))

    def of(self, account_id: str, scopes: Iterable[str]) -> list[Quota]:
        """The quotas of an account that are set on these scopes, in the order of their ids."""
        found = [q for scope in set(scopes) for q in self.by_scope.get(scope, ())]
        return sorted(
            (q for q in found if q.account_id == account_id and not q.removed),
            key=lambda q: q.quota_id,
        )

    def lot_lacks(self, lot_id: str, claim: Claim) -> Quota | None:
        """The first of a lot's quotas that has no room for a call, if any."""
        found = (q for q in self.by_scope.get(lot_id, ()) if q.of_lot)
        ordered = sorted(found, key=lambda q: q.quota_id)
        return next((q for q in ordered if q.lacks(TOTAL_BEGINS, claim.of(q.unit))), None)

    def parts(self, bound_by: Mapping[str, str], claim: Claim) -> list[QuotaPart]:
        """What a hold reserves on each; raises InvalidTransitionError for a quota that is none."""
        return [
            {"quota_id": each, "begins": begins, "held": claim.of(self._known(each).unit)}
            for each, begins in bound_by.items()
        ]

    def reserve(self, parts: Sequence[QuotaPart], claim: Claim) -> None:
        """A hold lies on quotas; raises InvalidTransitionError for what they do not allow.

        Of tokens a hold may reserve more than its first offer's bound, which the event names.
        """
        for part in parts:
            quota, amount = self._known(part["quota_id"]), part["held"]
            least = claim.of(quota.unit)
            if amount < least or (amount > least and quota.unit != Unit.TOKENS):
                message = f"quota {quota.quota_id}: {amount} is held, {least} was asked for"
                raise InvalidTransitionError(message)
            if quota.lacks(part["begins"], amount):
                message = f"quota {quota.quota_id}: {amount} more goes beyond its limit"
                raise InvalidTransitionError(message)
            quota.move(part["begins"], held=amount)

    def resolve(
        self,
        held: Sequence[QuotaPart],
        uses: Sequence[QuotaUse],
        claim: Claim,
        lots: Collection[str],
    ) -> None:
        """A hold ends; raises InvalidTransitionError where its quotas say otherwise.

        They need not be named where nothing is overrun.
        """
        found = self.uses(held, claim, lots)
        if uses != found and (uses or any(use["overrun"] for use in found)):
            message = "a hold's quotas are not what its use comes to"
            raise InvalidTransitionError(message)
        for use in found:
            quota = self._known(use["quota_id"])
            quota.move(use["begins"], used=use["used"] + use["overrun"], held=-use["held"])

    def uses(
        self, held: Sequence[QuotaPart], claim: Claim, lots: Collection[str]
    ) -> list[QuotaUse]:
        """What a hold on these parts, and on these lots, used of each quota.

        Where other lots pay too, what a call uses beyond its hold on a lot's quota is theirs.
        """
        found: list[QuotaUse] = []
        for part in held:
            quota = self._known(part["quota_id"])
            used = claim.of(quota.unit)
            if quota.of_lot and any(lot != quota.scope_id for lot in lots):
                used = min(used, part["held"])
            overrun = quota.overrun_of(part["begins"], used, part["held"])
            found.append({**part, "used": used - overrun, "overrun": overrun})
        return found

    def named_uses(
        self, held: Sequence[QuotaPart], claim: Claim, lots: Collection[str]
    ) -> list[QuotaUse]:
        """What the event of a hold's end says of its quotas: nothing where none is overrun."""
        found = self.uses(held, claim, lots)
        return found if any(use["overrun"] for use in found) else []

    def _add(self, quota: Quota) -> None:
        self.quotas[quota.quota_id] = quota
        self.by_scope.setdefault(quota.scope_id, []).append(quota)

    def _known(self, quota_id: str) -> Quota:
        try:
            return self.quotas[quota_id]
        except KeyError:
            message = f"there is no quota {quota_id}"
            raise InvalidTransitionError(message) from None
