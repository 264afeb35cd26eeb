"""Reads GATEWAYZ_GUARDRAILS_FILE: which guards there are, and whose calls they look at (TOML)."""

from __future__ import annotations

import hashlib
import tomllib
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from command_api.guardrails.blocking import BlockedTerms
from command_api.guardrails.redacting import Redaction
from domain.errors import DomainError
from domain.guardrails.patterns import compiled
from domain.guardrails.personal import Kind
from domain.guardrails.placeholders import KIND
from domain.guardrails.terms import Terms

if TYPE_CHECKING:
    from pathlib import Path

    from command_api.guardrails.port import Guard
    from domain.guardrails.personal import Finder
    from edge.caller import Caller

GUARDS_MAX = 20
PATTERNS_MAX = 20
OWNERS_MAX = 10_000
FILE_BYTES_MAX = 2**20
OPEN = "open"

Owners = Annotated[list[str], msgspec.Meta(max_length=OWNERS_MAX)]


class GuardrailsFileError(ValueError):
    """The guardrails file is wrong; the message names the place and the cure."""


class FileGuard(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """One `[[guard]]`.

    `fail` is its rule where it cannot look. `keys` and `organisations` are ids whose calls it looks
    at; without either it looks at all. `detect` and `patterns` are of `redact`, `terms` and
    `stages` of `blocked_terms`.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    kind: Literal["redact", "blocked_terms"]
    fail: Literal["closed", "open"]
    keys: Owners = []
    organisations: Owners = []
    detect: list[Literal["email", "phone", "card", "iban", "ip"]] | None = None
    patterns: Annotated[dict[str, str], msgspec.Meta(max_length=PATTERNS_MAX)] | None = None
    terms: list[str] | None = None
    stages: Annotated[list[Literal["input", "output"]], msgspec.Meta(min_length=1)] | None = None


class GuardrailsFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    guard: Annotated[list[FileGuard], msgspec.Meta(max_length=GUARDS_MAX)] = []


class BoundGuard:
    """A guard, and whose calls it looks at."""

    __slots__ = ("_keys", "_organisations", "guard", "policy")

    def __init__(self, guard: Guard, entry: FileGuard) -> None:
        """As the file says."""
        self.guard = guard
        self._keys, self._organisations = frozenset(entry.keys), frozenset(entry.organisations)
        self.policy = hashlib.sha256(msgspec.json.encode(entry)).digest()
        """Another for each way in which the guard could be set."""

    def looks_at(self, caller: Caller) -> bool:
        """Whether it looks at the caller's calls."""
        if not (self._keys or self._organisations):
            return True
        return caller.key_id in self._keys or caller.owner_id in self._organisations


def read_guardrails_file(path: Path) -> tuple[BoundGuard, ...]:
    """The guards of the file, in its order; raises GuardrailsFileError."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            message = f"{path}: the file is larger than {FILE_BYTES_MAX} bytes"
            raise GuardrailsFileError(message)
        parsed = msgspec.convert(tomllib.loads(raw.decode()), GuardrailsFile)
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
    own = {"redact": ("detect", "patterns"), "blocked_terms": ("terms", "stages")}
    for kind, members in own.items():
        for member in members:
            if kind != entry.kind and getattr(entry, member) is not None:
                message = f"{where}: {member} is of guards of the kind {kind}"
                raise GuardrailsFileError(message)
    fail_open = entry.fail == OPEN
    if entry.kind == "redact":
        kinds = {Kind(each.upper()) for each in entry.detect or ()}
        if not (kinds or entry.patterns):
            message = f"{where}: it looks for nothing: name kinds in detect, or write patterns"
            raise GuardrailsFileError(message)
        finders = tuple(_finder(where, *each) for each in (entry.patterns or {}).items())
        return Redaction(entry.name, fail_open=fail_open, kinds=kinds, patterns=finders)
    stages = entry.stages or ["input", "output"]
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
