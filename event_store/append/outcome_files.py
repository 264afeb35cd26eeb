"""The files of the spool: which bear an outcome's name, and whether they hold one."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import msgspec

from domain.quotas.terms import ENTRY_TOKENS_MAX
from event_store.append.entries import Entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger("gatewayz.spool")

OUTCOME_BYTES_MAX = 4 * 2**20
"""Largest file that is read as an outcome, bytes."""
QUARANTINE = "quarantine"
ASIDE = "."
"""Stands before the name of an outcome that is not wholly on the disk yet."""
UUID_BYTES = 16
AMOUNT_MAX = 2**63 - 1
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_FINISHED = re.compile(rf"(?:(?P<owner>{_UUID})\.)?(?P<call>{_UUID})-(?P<kind>[34])\.json")
"""An outcome: a settlement or a void. In the reserve the owner's id stands before it."""


class NotAnOutcomeError(ValueError):
    """A file with an outcome's name does not hold one."""


class Spooled(NamedTuple):
    """A file that bears an outcome's name."""

    call: UUID
    kind: int
    file: Path


def is_owner(name: str) -> bool:
    """Whether a folder bears an owner's id."""
    return re.fullmatch(_UUID, name) is not None


def quarantined(home: Path) -> list[Path]:
    """Files of a home's spool that were put aside, for a person to look at."""
    return sorted((home / "spool").glob(f"*/{QUARANTINE}/*"))


def finished(folder: Path) -> list[tuple[UUID | None, Spooled]]:
    """What bears an outcome's name in a folder; names of unfinished files begin with a dot."""
    return _named(folder, "")


def unfinished(folder: Path) -> list[tuple[UUID | None, Spooled]]:
    """What was written aside and not renamed: its writer is at work on it, or died."""
    return _named(folder, ASIDE)


def _named(folder: Path, before: str) -> list[tuple[UUID | None, Spooled]]:
    try:
        names = [each.name for each in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        logger.warning("the spool's folder %s cannot be read: %s", folder, error)
        return []
    return [
        (
            UUID(name["owner"]) if name["owner"] else None,
            Spooled(UUID(name["call"]), int(name["kind"]), folder / f"{before}{name[0]}"),
        )
        for each in names
        if each.startswith(before) and (name := _FINISHED.fullmatch(each, len(before)))
    ]


def outcomes_of(
    owner_id: UUID,
    root: Path,
    reserve: Path,
    look: Callable[[Path], list[tuple[UUID | None, Spooled]]],
) -> list[Spooled]:
    """What a look finds of one owner, in its folder and in the reserve, oldest call first."""
    found = [each for owner, each in look(root / str(owner_id)) if owner is None]
    found += [each for owner, each in look(reserve) if owner == owner_id]
    return sorted(found)


def without_reply(entry: Entry) -> bytes:
    """The outcome alone: its key answers 409 from then on, and names the call."""
    if entry.reply:
        call = UUID(bytes=entry.stream)
        logger.warning("the reply of call %s is not kept for its key: it takes room", call)
    return msgspec.json.encode(msgspec.structs.replace(entry, reply=b""))


def read_outcome(spooled: Spooled) -> Entry:
    """The outcome in a file; raises OSError, NotAnOutcomeError."""
    with spooled.file.open("rb") as file:
        content = file.read(OUTCOME_BYTES_MAX + 1)
    if len(content) > OUTCOME_BYTES_MAX:
        message = f"it is larger than {OUTCOME_BYTES_MAX} bytes"
        raise NotAnOutcomeError(message)
    try:
        entry = msgspec.json.decode(content, type=Entry)
        # The database writes the event as it is here: broken JSON would stand in the log for ever.
        fact = msgspec.json.decode(entry.state + b"}", type=dict)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotAnOutcomeError(str(error)) from None
    if (
        (entry.stream, entry.kind) != (spooled.call.bytes, spooled.kind)
        or len(entry.account) != UUID_BYTES
        or fact.get("account_id") != str(UUID(bytes=entry.account))
        or str(fact.get("id")).encode() != entry.event_id
        or not 0 <= entry.amount <= AMOUNT_MAX
        or not 0 <= entry.aux <= AMOUNT_MAX
        or not 0 <= entry.tokens <= ENTRY_TOKENS_MAX
    ):
        message = "what it holds is not the outcome that its name says"
        raise NotAnOutcomeError(message)
    return entry
