"""Reads GATEWAYZ_GUARDRAILS_FILE: which guards there are, and whose calls they look at (TOML)."""

from __future__ import annotations

import hashlib
import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import msgspec

from command_api.guardrails.blocking import BlockedTerms
from command_api.guardrails.moderating import Moderation, ModerationRules
from command_api.guardrails.redacting import Redaction
from domain.errors import DomainError
from domain.guardrails.patterns import compiled
from domain.guardrails.personal import Kind
from domain.guardrails.placeholders import KIND
from domain.guardrails.terms import Terms
from domain.guardrails.verdicts import checked_thresholds

if TYPE_CHECKING:
    from pathlib import Path

    from command_api.guardrails.port import Guard
    from domain.guardrails.personal import Finder
    from edge.caller import Caller

GUARDS_MAX = 20
PATTERNS_MAX = 20
OWNERS_MAX = 10_000
FILE_BYTES_MAX = 2**20
OPEN, PASS = "open", "pass"
TIMEOUT_S, TIMEOUT_S_MAX = 10, 60
"""How long one look of a moderation may take in all, seconds."""
CHARACTERS, CHARACTERS_MIN, CHARACTERS_MAX = 8_000, 100, 100_000
"""Most characters of one input of a moderation call."""
CALLS, CALLS_MAX = 100, 1_000
"""Most moderation calls of one guard for one call."""
MODEL_CHARACTERS_MAX = 200

Owners = Annotated[list[str], msgspec.Meta(max_length=OWNERS_MAX)]


class GuardrailsFileError(ValueError):
    """The guardrails file is wrong; the message names the place and the cure."""


class FileGuard(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """One `[[guard]]`.

    `fail` is its rule where it cannot look, `on_error` that of a `moderation`. `keys` and
    `organisations` are ids whose calls it looks at; without either it looks at all. The others are
    of the kinds in `OWN`.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    kind: Literal["redact", "blocked_terms", "moderation"]
    fail: Literal["closed", "open"] | None = None
    keys: Owners = []
    organisations: Owners = []
    detect: list[Literal["email", "phone", "card", "iban", "ip"]] | None = None
    patterns: Annotated[dict[str, str], msgspec.Meta(max_length=PATTERNS_MAX)] | None = None
    terms: list[str] | None = None
    stages: Annotated[list[Literal["input", "output"]], msgspec.Meta(min_length=1)] | None = None
    on_error: Literal["refuse", "pass"] | None = None
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MODEL_CHARACTERS_MAX)] | None = None
    thresholds: dict[str, Decimal] | None = None
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=TIMEOUT_S_MAX)] | None = None
    characters_max: Annotated[int, msgspec.Meta(ge=CHARACTERS_MIN, le=CHARACTERS_MAX)] | None = None
    calls_max: Annotated[int, msgspec.Meta(ge=1, le=CALLS_MAX)] | None = None
    images: Literal["send", "pass"] | None = None


MODERATION = ("on_error", "model", "thresholds", "timeout_s", "characters_max", "calls_max")
OWN = {
    "fail": ("redact", "blocked_terms"),
    "detect": ("redact",),
    "patterns": ("redact",),
    "terms": ("blocked_terms",),
    "stages": ("blocked_terms", "moderation"),
    **dict.fromkeys((*MODERATION, "images"), ("moderation",)),
}
"""Members, and the kinds of guards that have them."""


class GuardrailsFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    guard: Annotated[list[FileGuard], msgspec.Meta(max_length=GUARDS_MAX)] = []


class BoundGuard:
    """A guard, and whose calls it looks at."""

    __slots__ = ("guard", "keys", "organisations", "policy")

    def __init__(self, guard: Guard, entry: FileGuard) -> None:
        """As the file says."""
        self.guard = guard
        self.keys, self.organisations = frozenset(entry.keys), frozenset(entry.organisations)
        self.policy = hashlib.sha256(msgspec.json.encode(entry)).digest()
        """Another for each way in which the guard could be set."""

    def looks_at(self, caller: Caller) -> bool:
        """Whether it looks at the caller's calls."""
        if not (self.keys or self.organisations):
            return True
        return caller.key_id in self.keys or caller.owner_id in self.organisations


def read_guardrails_file(path: Path) -> tuple[BoundGuard, ...]:
    """The guards of the file, in its order; raises GuardrailsFileError."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            message = f"{path}: the file is larger than {FILE_BYTES_MAX} bytes"
            raise GuardrailsFileError(message)
        parsed = msgspec.convert(tomllib.loads(raw.decode(), parse_float=Decimal), GuardrailsFile)
    except OSError as error:
        message = f"GATEWAYZ_GUARDRAILS_FILE names {path}, which cannot be read: {error.strerror}"
        raise GuardrailsFileError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        message = f"{path}: {error}"
        raise GuardrailsFileError(message) from None
    names = [each.name for each in parsed.guard]
    for name in names:
        if names.count(name) > 1:
            message = f"{path}: two guards are called {name!r}"
            raise GuardrailsFileError(message)
    return tuple(BoundGuard(_guard(path, each), each) for each in parsed.guard)


def _guard(path: Path, entry: FileGuard) -> Guard:
    where = f"{path}: guard {entry.name!r}"
    for member, kinds in OWN.items():
        if entry.kind not in kinds and getattr(entry, member) is not None:
            message = f"{where}: {member} is of guards of the kind {' or '.join(kinds)}"
            raise GuardrailsFileError(message)
    _check_ids(where, entry)
    stages = entry.stages or ["input", "output"]
    if entry.kind == "moderation":
        return _moderation(where, entry, stages)
    if entry.fail is None:
        message = f"{where}: say `fail`: closed or open, for what it cannot look at"
        raise GuardrailsFileError(message)
    fail_open = entry.fail == OPEN
    if entry.kind == "redact":
        found = {Kind(each.upper()) for each in entry.detect or ()}
        if not (found or entry.patterns):
            message = f"{where}: it looks for nothing: name kinds in detect, or write patterns"
            raise GuardrailsFileError(message)
        finders = tuple(_finder(where, *each) for each in (entry.patterns or {}).items())
        return Redaction(entry.name, fail_open=fail_open, kinds=found, patterns=finders)
    try:
        terms = Terms(entry.terms or ())
    except DomainError as error:
        message = f"{where}: terms: {error}"
        raise GuardrailsFileError(message) from None
    return BlockedTerms(
        entry.name,
        fail_open=fail_open,
        terms=terms,
        prompts="input" in stages,
        answers="output" in stages,
    )


def _check_ids(where: str, entry: FileGuard) -> None:
    """Ids are written as they are shown: another form would be nobody's."""
    for member, ids in (("keys", entry.keys), ("organisations", entry.organisations)):
        for each in ids:
            try:
                right = str(UUID(each)) == each
            except ValueError:
                right = False
            if not right:
                message = f"{where}: {member}: {each[:MODEL_CHARACTERS_MAX]!r} is no id"
                raise GuardrailsFileError(message)


def _moderation(where: str, entry: FileGuard, stages: list[Literal["input", "output"]]) -> Guard:
    if entry.model is None:
        message = f"{where}: say which `model` is asked, as callers of /v1/moderations would"
        raise GuardrailsFileError(message)
    try:
        thresholds = checked_thresholds(entry.thresholds or {})
    except DomainError as error:
        message = f"{where}: thresholds: {error}"
        raise GuardrailsFileError(message) from None
    rules = ModerationRules(
        model=entry.model,
        thresholds=thresholds,
        timeout_s=entry.timeout_s or TIMEOUT_S,
        characters=entry.characters_max or CHARACTERS,
        calls_max=entry.calls_max or CALLS,
        pictures=None if entry.images is None else entry.images == "send",
    )
    return Moderation(
        entry.name,
        fail_open=entry.on_error == PASS,
        rules=rules,
        prompts="input" in stages,
        answers="output" in stages,
    )


def _finder(where: str, name: str, pattern: str) -> Finder:
    if KIND.fullmatch(name) is None or name in Kind.__members__:
        message = (
            f"{where}: patterns: {name!r}: a name has 1 to 24 capital letters and _, "
            f"and is none of {', '.join(Kind)}"
        )
        raise GuardrailsFileError(message)
    try:
        return name, compiled(pattern)
    except DomainError as error:
        message = f"{where}: patterns: {name}: {error}"
        raise GuardrailsFileError(message) from None
