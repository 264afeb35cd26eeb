"""The guardrails file: what it may say, and how it says what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from command_api.guardrails.file import FILE_BYTES_MAX, GuardrailsFileError, read_guardrails_file
from command_api.guardrails.running import guardrails_of
from command_api.identity.users import Users
from command_api.identity.vault import Vault
from command_api.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

GUARD = '[[guard]]\nname = "a"\nfail = "closed"\n'
REDACT = f'{GUARD}kind = "redact"\n'
TERMS = f'{GUARD}kind = "blocked_terms"\n'
MODERATION = '[[guard]]\nname = "m"\nkind = "moderation"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("guard = 1", "Expected `array`"),
        ("[[guard]]\nname = 'a'\nkind = 'redact'\ndetect = ['email']", "`fail`"),
        (f"{GUARD}kind = 'other'", "Invalid enum value 'other'"),
        (f"{REDACT}detect = ['passport']", "Invalid enum value 'passport'"),
        (REDACT, "it looks for nothing"),
        (f"{REDACT}terms = ['x']", "terms is of guards of the kind blocked_terms"),
        (f"{TERMS}terms = ['x']\ndetect = ['ip']", "detect is of guards of the kind redact"),
        (TERMS, "terms: there must be 1 to 500 terms"),
        (f"{TERMS}terms = ['x']\nstages = []", "length >= 1"),
        (f"{TERMS}terms = ['x']\nextra = 1", "unknown field `extra`"),
        (f"{REDACT}patterns = {{ badge = 'x' }}", "a name has 1 to 24 capital letters"),
        (f"{REDACT}patterns = {{ EMAIL = 'x' }}", "is none of EMAIL"),
        (f"{REDACT}patterns = {{ BADGE = '(a+)+$' }}", "BADGE: '(' at 0: groups are not taken"),
        (f"{TERMS}terms = ['x']\n{TERMS}terms = ['y']", "two guards are called 'a'"),
        (f"{TERMS}terms = ['x']\nkeys = ['gw_live_x']", "keys: 'gw_live_x' is no id"),
        (f"{TERMS}terms = ['x']\norganisations = ['{'A' * 32}']", "is no id"),
        (f"{TERMS}terms = ['x']\nmodel = 'm'", "model is of guards of the kind moderation"),
        (f"{TERMS}terms = ['x']\non_error = 'pass'", "on_error is of guards of the kind"),
        (MODERATION, "say which `model` is asked"),
        (f"{MODERATION}model = ''", "length >= 1"),
        (f"{MODERATION}model = 'm'\nfail = 'open'", "fail is of guards of the kind redact or"),
        (f"{MODERATION}model = 'm'\nthresholds = {{ a = 1.5 }}", "thresholds: a: 1.5 is not above"),
        (f"{MODERATION}model = 'm'\nthresholds = {{ a = nan }}", "thresholds: a: NaN is not"),
        (f"{MODERATION}model = 'm'\nthresholds = {{ a = true }}", "Expected `decimal`"),
        (f"{MODERATION}model = 'm'\ntimeout_s = 61", "<= 60"),
        (f"{MODERATION}model = 'm'\ncalls_max = 0", ">= 1"),
        (f"{MODERATION}model = 'm'\ncharacters_max = 9", ">= 100"),
        (f"{MODERATION}model = 'm'\nimages = 'maybe'", "Invalid enum value"),
        ("[[guard]]\nname = 'A b'", "regex"),
        ("\x00", "Invalid statement"),
        ("x" * (FILE_BYTES_MAX + 1), "larger than"),
        ("\udcff", "utf-8"),
        ("[[guard]]\n" * 21, "length <= 20"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """And the gateway does not start without the guards that it was meant to have
    (rule: refuse clearly, rule: bounded).
    """
    file = tmp_path / "guards.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(GuardrailsFileError) as refused:
        read_guardrails_file(file)
    assert str(file) in str(refused.value)
    assert said in str(refused.value)


def test_ids_of_nobody_are_told_at_the_start(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By guard and id, and the gateway starts: they may be made later (rule: observable)."""
    users = Users(database, Vault(b"the secret of this test, 32 bytes"), actor="test")
    user = users.create_user("known@example.com")
    users.close()
    nobody = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"]
    file = tmp_path / "guards.toml"
    keys, owners = [user.key_id, nobody[0]], [user.user_id, nobody[1]]
    file.write_text(f"{TERMS}terms = ['x']\nkeys = {keys}\norganisations = {owners}\n")
    guards = guardrails_of(Settings(guardrails_file=file))
    assert guards is not None
    with caplog.at_level("WARNING", "gatewayz.guardrails"):
        guards.tell_unknown(database)
    assert [each.getMessage() for each in caplog.records] == [
        f"the guard 'a' names the key {nobody[0]}, which is nobody's here",
        f"the guard 'a' names the organisation {nobody[1]}, which is nobody's here",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the setting that names it (rule: refuse clearly)."""
    with pytest.raises(
        GuardrailsFileError, match=r"GATEWAYZ_GUARDRAILS_FILE names .*cannot be read"
    ):
        read_guardrails_file(tmp_path / "none.toml")


def test_without_a_guard_there_is_nothing(tmp_path: Path) -> None:
    """Calls find no guardrails at all (rule: calls first)."""
    file = tmp_path / "guards.toml"
    file.write_text("")
    assert guardrails_of(Settings()) is None
    assert guardrails_of(Settings(guardrails_file=file)) is None
    file.write_text(f"{REDACT}detect = ['ip']")
    assert guardrails_of(Settings(guardrails_file=file)) is not None
