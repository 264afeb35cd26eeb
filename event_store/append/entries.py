"""Entries of the append, and how a batch of them is packed for one prepared statement.

An entry is all-or-nothing and independent of its neighbours. Its state is the event's JSON
without the closing brace: what the append decides under the lock (lots, figures) is written
behind it by the database, so that the stored event says everything.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

import msgspec

from domain.events import ledger as ev
from event_store.ids import new_uuid7, now_iso


class EntryKind(IntEnum):
    """What an entry does; up to a grant the number indexes TOPICS, from 1."""

    HOLD = 1
    EXTEND = 2
    SETTLE = 3
    VOID = 4
    EXPIRE = 5
    GRANT = 6
    DEBIT = 7
    TRANSFER = 8
    CORRECT = 9
    CLOSE = 10


TOPICS: tuple[str, ...] = (
    ev.HoldPlaced.TOPIC,
    ev.HoldExtended.TOPIC,
    ev.HoldSettled.TOPIC,
    ev.HoldVoided.TOPIC,
    ev.HoldExpired.TOPIC,
    ev.CreditsGranted.TOPIC,
    ev.LotExpired.TOPIC,
    ev.HouseLossBooked.TOPIC,
    ev.HoldRefused.TOPIC,
    ev.CreditsDebited.TOPIC,
    ev.ReceivablePaid.TOPIC,
    ev.ChargeCorrected.TOPIC,
)
"""Event types in the order in which the SQL functions name them by index."""


class AppendCode(IntEnum):
    """The answer to an entry."""

    OK = 0
    INSUFFICIENT_CREDITS = 1
    DUPLICATE = 2
    ALREADY_RESOLVED = 3
    CALL_EXISTS = 4
    IDEMPOTENCY_KEY_REUSED = 5
    IDEMPOTENCY_IN_PROGRESS = 6
    IDEMPOTENCY_SETTLED = 7
    IDEMPOTENCY_REFUSED = 8
    UNKNOWN_CALL = 9
    OWNER_ALIVE = 10
    AMOUNT_OUT_OF_RANGE = 11
    ACCOUNT_FULL = 12
    QUOTA_EXCEEDED = 13


class AppendAnswer(NamedTuple):
    """Code and figure: what is available to the account, after or at the refusal, nano-USD.

    Of a hold what of that could pay for it: not what lies on lots that their own quotas bar. Of a
    settlement that left a house loss it is minus the loss, of a hold that a quota refuses the
    number of the quota. Of a hold of an account that owes it is minus what it owes; of a debit what
    was taken, of a transfer that is refused what could be moved, of a correction what it charges.
    """

    code: int
    figure: int

    @property
    def loss(self) -> int:
        """What nobody paid of a settlement, nano-USD."""
        return max(-self.figure, 0)

    @property
    def applied(self) -> bool:
        """Whether the entry stands in the log, by this append or an earlier try of it."""
        return self.code in (AppendCode.OK, AppendCode.DUPLICATE)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry. `stream` is the UUID of the call, the lot or the debit, `amount` nano-USD.

    `aux` is the estimated provider cost of a hold; `key` is an idempotency key's hash followed
    by the digest of the input, 32 bytes each, or empty. `follows` is the id of the event that it
    follows, which its state has as `causation_id`: of an extension or an outcome the hold, of a
    hold that is placed again the void or expiry before. It is empty for a call's first hold, and
    for outcomes that older releases spooled: those are of whatever hold is open. `reply` is what a
    settlement keeps for its call's idempotency key, sealed: it stands or falls with it. `tokens`
    is what quotas count: of a hold its bound, input and output, of an extension what is added, of a
    settlement what was used. The ids of its scopes, 16 bytes each or empty, say whose quotas bind a
    hold beside its account's.
    """

    kind: int
    stream: bytes
    account: bytes
    amount: int
    state: bytes
    aux: int = 0
    key: bytes = b""
    follows: bytes = b""
    reply: bytes = b""
    tokens: int = 0
    key_id: bytes = b""
    user_id: bytes = b""
    project_id: bytes = b""
    organisation_id: bytes = b""
    plan: bytes = b""
    """The ids of the scopes of the plan in force, one behind the other."""

    @property
    def event_id(self) -> bytes:
        """The id of the event, which stands first in its state."""
        return self.state[7:43]


def trial_entry() -> Entry:
    """What a ledger takes that takes anything: a grant to nobody. It is always rolled back."""
    lot, account = new_uuid7(), new_uuid7()
    state = {
        "id": str(new_uuid7()),
        "effective_at": now_iso(),
        "actor": "system:probe",
        "correlation_id": str(lot),
        "account_id": str(account),
        "lot_id": str(lot),
        "kind": "bonus",
        "priority": 0,
        "amount_nano_usd": 1,
        "expires_at": None,
    }
    return Entry(EntryKind.GRANT, lot.bytes, account.bytes, 1, msgspec.json.encode(state)[:-1])


class UnpackableEntryError(ValueError):
    """An entry of the batch is not of the shape that the append's parameters have."""


INT64 = range(-(2**63), 2**63)
_HEADER = struct.Struct("!iiiii").pack
_HEADER_SIZE = 20
_LENGTH = struct.Struct("!i").pack
_UUID_LENGTH = b"\x00\x00\x00\x10"
_UUID_SIZE = 4 + 16
_NIL = bytes(16)
_HOLD = int(EntryKind.HOLD)
ID_BYTES = 16
_OID = {"int2": 21, "int4": 23, "int8": 20, "bytea": 17, "text": 25, "uuid": 2950}


def _array(oid: int, count: int) -> bytes:
    return _HEADER(1, 0, oid, count, 1)


def _integers(kind: str, code: str, size: int, values: list[int]) -> bytes:
    pairs = [size] * (2 * len(values))
    pairs[1::2] = values
    return _array(_OID[kind], len(values)) + struct.pack(f"!{('i' + code) * len(values)}", *pairs)


def _byte_strings(kind: str, values: list[bytes]) -> bytes:
    parts = [b""] * (2 * len(values))
    parts[::2] = map(_LENGTH, map(len, values))
    parts[1::2] = values
    return _array(_OID[kind], len(values)) + b"".join(parts)


def _uuids(values: list[bytes]) -> bytes:
    packed = _array(_OID["uuid"], len(values)) + _UUID_LENGTH + _UUID_LENGTH.join(values)
    if len(packed) != _HEADER_SIZE + _UUID_SIZE * len(values):
        message = "an id of an entry is not 16 bytes long"
        raise UnpackableEntryError(message)
    return packed


APPEND_PARAMETERS = 15
APPEND_SQL = (
    b"SELECT codes, figures FROM ledger_append($1::int2[], $2::uuid[], $3::int4[], $4::uuid[], "
    b"$5::int8[], $6::int8[], $7::bytea[], $8::bytea[], $9::uuid[], $10::text[], $11::uuid, "
    b"$12::int4, $13::int8[], $14::int4[], $15::bytea[])"
)
_NO_SCOPES = _integers("int4", "i", 4, [0]), _byte_strings("bytea", [])
_TOPICS_PACKED = _byte_strings("text", [topic.encode() for topic in TOPICS])


def fits(entry: Entry) -> bool:
    """Whether the amounts are numbers that a database has; most of those it refuses itself."""
    return entry.amount in INT64 and entry.aux in INT64 and entry.tokens in INT64


def pack(batch: list[Entry], owner: bytes, hold_ttl_s: int) -> list[bytes]:
    """The binary parameters of APPEND_SQL; raises UnpackableEntryError."""
    try:
        return _packed(batch, owner, hold_ttl_s)
    except struct.error as error:
        raise UnpackableEntryError(str(error)) from None


def _packed(batch: list[Entry], owner: bytes, hold_ttl_s: int) -> list[bytes]:
    accounts: dict[bytes, int] = {}
    indexes = [accounts.setdefault(entry.account, len(accounts) + 1) for entry in batch]
    return [
        _integers("int2", "h", 2, [entry.kind for entry in batch]),
        _uuids([entry.stream for entry in batch]),
        _integers("int4", "i", 4, indexes),
        _uuids(list(accounts)),
        _integers("int8", "q", 8, [entry.amount for entry in batch]),
        _integers("int8", "q", 8, [entry.aux for entry in batch]),
        _byte_strings("bytea", [entry.state for entry in batch]),
        _byte_strings("bytea", [entry.key or entry.reply for entry in batch]),
        _uuids([entry.follows or _NIL for entry in batch]),
        _TOPICS_PACKED,
        owner,
        hold_ttl_s.to_bytes(4, "big"),
        _integers("int8", "q", 8, [entry.tokens for entry in batch]),
        *_scopes(batch),
    ]


def _scopes(batch: list[Entry]) -> tuple[bytes, bytes]:
    """Which scopes each entry has, and what they are, their ids one behind the other.

    The same scopes stand there once for each account: by them the append finds what they share.
    """
    if len(batch) == 1 and batch[0].kind != _HOLD:
        return _NO_SCOPES  # Most often a settlement that comes alone.
    known: dict[tuple[bytes, ...], int] = {}
    places = [
        known.setdefault(
            (
                each.account,
                each.key_id,
                each.user_id,
                each.project_id,
                each.organisation_id,
                each.plan,
            ),
            len(known) + 1,
        )
        if each.kind == _HOLD
        else 0
        for each in batch
    ]
    scopes = [b"".join(ids[1:]) for ids in known]
    if {len(each) % ID_BYTES for each in scopes} - {0}:
        message = "an id of a scope is not 16 bytes long"
        raise UnpackableEntryError(message)
    return _integers("int4", "i", 4, places), _byte_strings("bytea", scopes)


def unpack(codes: bytes, figures: bytes, count: int) -> list[AppendAnswer]:
    """The two binary arrays of the result, as one answer an entry."""
    code_values = struct.unpack_from("!" + "xxxxh" * count, codes, _HEADER_SIZE)
    figure_values = struct.unpack_from("!" + "xxxxq" * count, figures, _HEADER_SIZE)
    return [
        AppendAnswer(code, figure) for code, figure in zip(code_values, figure_values, strict=True)
    ]
