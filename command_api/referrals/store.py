"""What the commands do to the database: all of it blocks, and runs on the lane of people.

Claims wait for each other under one lock: no two of them close a circle together, and the uses of a
code are counted by its stream in any case.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from eventsourcing.persistence import IntegrityError

from domain.events.identity import UserRegistered
from domain.identity.addresses import person_of
from domain.referrals.claiming import (
    NOT_FOUND,
    Claimant,
    ReferralRefusedError,
    Referrer,
    claim,
)
from domain.referrals.referral import make_code, replay, stream_of
from domain.referrals.terms import ALPHABET, CODE_CHARACTERS, code_of
from event_store.beside.referrals.reading import (
    chain_of,
    code_of_user,
    has_purchased,
    origins_of,
    owner_of_code,
    referral_of,
)
from event_store.ids import new_envelope
from event_store.locks import Lock
from event_store.log.aggregates import constraint_of

if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    import psycopg

    from command_api.identity.credentials import Known
    from command_api.identity.people import People
    from domain.events.offers.referrals import ReferralClaimed
    from domain.referrals.referral import ReferralCode
    from domain.referrals.terms import ReferralTerms

    Connection = psycopg.Connection[Any]

TRIES_MAX = 5
"""How often a code is drawn: that one of 36 to the power of 8 is taken is rare."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "::/64", ""})
"""Addresses that tell nobody apart: a proxy on this machine that is not declared."""


class Whose(NamedTuple):
    """Whose a code is, as others may see it."""

    username: str | None
    masked_address: str


class Store:
    """One for each process."""

    def __init__(self, people: People, terms: ReferralTerms) -> None:
        """Through the connections of people."""
        self._people, self._terms = people, terms

    def code_for(self, user_id: UUID, host: str, actor: str) -> tuple[str, bool]:
        """The user's code, made where there is none; and whether it was made now."""
        for _ in range(TRIES_MAX):
            with self._people.connect() as connection:
                known = code_of_user(connection, user_id)
            if known is not None:
                return known.code, False
            code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARACTERS))
            made = make_code(user_id, code, self.origin(host), new_envelope(actor))
            try:
                self._people.events.append([made])
            except IntegrityError:
                continue  # Another request of the user's made one, or another user has this one.
            return code, True
        message = "no code could be made at this moment"
        raise TimeoutError(message)

    def claim(self, text: str, user_id: UUID, host: str, actor: str) -> ReferralClaimed:
        """A user came by a code. Raises ReferralRefusedError."""
        with self._people.connect() as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [Lock.REFERRALS])
            state, claimed = self._decided(connection, text, user_id, host, actor)
            try:
                self._people.events.append([claimed])
            except IntegrityError as error:
                if constraint_of(error) == "referral_pkey":
                    message = "you came by a code already, and one counts"
                    raise ReferralRefusedError("ALREADY_REFERRED", message) from None
                message = f"the code {state.code} is used by others at this moment: try again"
                raise ReferralRefusedError("REFERRAL_BUSY", message) from None
        return claimed

    def check(self, text: str, user_id: UUID, host: str) -> Whose:
        """Whose a code is that the user may claim. Raises ReferralRefusedError."""
        with self._people.connect() as connection:
            state, _ = self._decided(connection, text, user_id, host, "system:referrals")
            owner = owner_of_code(connection, state.code)
            assert owner is not None
            return self.whose(connection, owner.user_id)

    def whose(self, connection: Connection, user_id: UUID) -> Whose:
        """A user's name, and the address so that only who knows it knows it."""
        known = self._people.credentials.by_id(connection, user_id)
        if known is None:
            return Whose(None, "")
        address = self._people.credentials.address_of(connection, known)
        return Whose(self._username(known), masked(address))

    def origin(self, host: str) -> str:
        """What stands for where a request comes from; empty where that tells nobody apart."""
        return "" if host in LOOPBACK else self._people.vault.origin(host)

    def person(self, connection: Connection, user_id: UUID) -> str:
        """What the addresses of a user's mailbox have in common; empty for who has left."""
        known = self._people.credentials.by_id(connection, user_id)
        if known is None:
            return ""
        return person_of(self._people.credentials.address_of(connection, known))

    def _decided(
        self, connection: Connection, text: str, user_id: UUID, host: str, actor: str
    ) -> tuple[ReferralCode, ReferralClaimed]:
        code = code_of(text)
        owner = None if code is None else owner_of_code(connection, code)
        state = None if owner is None else replay(self._people.events.events_of(owner.stream))
        if state is None or owner is None:
            raise ReferralRefusedError("REFERRAL_NOT_FOUND", NOT_FOUND)
        person = self.person(connection, owner.user_id)
        referrer = Referrer(
            person,
            self._origins(connection, owner.user_id),
            chain_of(connection, owner.user_id),
            gone=not person,
        )
        claimant = Claimant(
            str(user_id),
            self.person(connection, user_id),
            self.origin(host),
            self._origins(connection, user_id),
            referral_of(connection, user_id) is not None,
            has_purchased(connection, user_id),
        )
        return state, claim(state, referrer, claimant, self._terms, new_envelope(actor))

    def _origins(self, connection: Connection, user_id: UUID) -> frozenset[str]:
        nobodys = {self._people.vault.origin(each) for each in LOOPBACK}
        return origins_of(connection, user_id) - nobodys

    def _username(self, known: Known) -> str | None:
        """The name that was given at the registration."""
        for event in self._people.events.events_of(known.user_id):
            if isinstance(event, UserRegistered) and event.username_ciphertext:
                sealed = bytes.fromhex(event.username_ciphertext)
                return self._people.credentials.opened(known, sealed)
        return None


def masked(address: str) -> str:
    """An address of which the first letter and the host are left."""
    local, _, host = address.rpartition("@")
    return f"{local[:1]}***@{host}"


def stream_of_referrer(connection: Connection, referee: UUID) -> UUID | None:
    """The stream in which a user's referral stands."""
    found = referral_of(connection, referee)
    return None if found is None else stream_of(found.referrer)
