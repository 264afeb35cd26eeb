"""Settings: every variable is read, bounded, and named when its value cannot be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from annotated_types import MaxLen, MinLen
from pydantic import ValidationError

from command_api.settings import Settings
from command_api.settings.all import GROUPS, VARIABLES
from command_api.settings.group import PREFIX
from tests.command_api.settings.variables import OTHERS, PLACES, keyword
from tests.support.packages import ROOT, SOURCES

READERS = (
    "command_api/settings/all.py",
    "stream_processors/config.py",  # A program of its own, told by `gatewayz worker`.
    "event_store/postgres/",  # The embedded server's own user, where root may not serve.
)
"""Who may read the environment of the process, by the beginning of its path."""

BOUNDED = [
    (str(field.alias), bound)
    for cls in GROUPS.values()
    for field in cls.model_fields.values()
    for bound in field.metadata
    if not isinstance(bound, MinLen)  # A variable that is empty is one that is not set.
]


def values_of(settings: Settings) -> dict[str, Any]:
    """The value of each variable."""
    return {
        variable: getattr(getattr(settings, group), name)
        for variable, (group, name) in PLACES.items()
    }


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any of our variables."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("variable", sorted(VARIABLES))
def test_each_variable_sets_its_field_and_no_other(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator can change each setting by its own variable alone (rule: bounded)."""
    before = values_of(Settings())
    monkeypatch.setenv(variable, str(OTHERS[variable]))
    assert values_of(Settings()) == {**before, variable: OTHERS[variable]}


def test_what_is_given_by_keyword_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command line has the last word; small letters name a variable too (rule: contract)."""
    monkeypatch.setenv("gatewayz_port", "9000")
    monkeypatch.setenv("GATEWAYZ_WORKERS", "3")
    asked = Settings(port=9001).server
    assert (asked.port, asked.workers) == (9001, 3)
    assert Settings().server.port == 9000


def beyond_of(bound: Any) -> Any:
    """The value next to a bound that is not within it."""
    if isinstance(bound, MaxLen):
        return "x" * (bound.max_length + 1)
    return {"Ge": -1, "Gt": 0, "Le": 1}[type(bound).__name__] + next(
        getattr(bound, name) for name in ("ge", "gt", "le") if hasattr(bound, name)
    )


@pytest.mark.parametrize(("variable", "bound"), BOUNDED, ids=str)
def test_a_value_beyond_its_bound_is_refused_by_the_variables_name(
    variable: str, bound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names what the operator wrote, whichever way it was given (rule: bounded)."""
    beyond = beyond_of(bound)
    monkeypatch.setenv(variable, str(beyond))
    with pytest.raises(ValidationError) as from_environment:
        Settings()
    assert from_environment.value.errors()[0]["loc"] == (variable,)
    monkeypatch.delenv(variable)
    with pytest.raises(ValidationError) as from_keyword:
        Settings(**{keyword(variable): beyond})
    assert from_keyword.value.errors()[0]["loc"] == (variable,)


def test_a_keyword_that_is_no_setting_is_refused() -> None:
    """A mistyped keyword is not passed over (rule: refuse clearly)."""
    with pytest.raises(TypeError, match="GATEWAYZ_PROT"):
        Settings(prot=8000)


def test_settings_never_change_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read stays, whatever is assigned or becomes of the environment (rule: contract)."""
    monkeypatch.setenv("XAI_API_KEY", "first")
    settings = Settings()
    for target, name in ((settings, "server"), (settings.server, "port")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(target, name, 1)
    monkeypatch.setenv("XAI_API_KEY", "second")
    assert settings.environment["XAI_API_KEY"] == "first"


def test_keys_of_providers_are_not_shown_with_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A printed Settings has nothing of the rest of the environment (rule: access)."""
    monkeypatch.setenv("XAI_API_KEY", "sk-hidden")
    assert "sk-hidden" not in repr(Settings())


def test_each_variable_stands_in_one_group() -> None:
    """No name is taken twice, and each has our prefix and a description (rule: bounded)."""
    fields = [field for cls in GROUPS.values() for field in cls.model_fields.values()]
    assert len(fields) == len(VARIABLES)
    for field in fields:
        assert str(field.alias).startswith(PREFIX)
        assert field.description
    assert set(GROUPS) == set(Settings.model_fields) - {"environment"}


def test_a_hold_outlives_its_call() -> None:
    """Its life is the call's deadline and the grace (money rule 11)."""
    assert Settings(call_deadline_s=30.5, hold_grace_s=7).hold_ttl_s == 37


def test_the_environment_is_read_at_one_place() -> None:
    """Everybody else is handed what was read at the start (rule: contract)."""
    reading = re.compile(r"\bos\.(environ|getenv)\b")
    found = [path for path in SOURCES if reading.search(path.read_text())]
    assert found
    for path in found:
        assert str(path.relative_to(ROOT)).startswith(READERS), path


def test_the_home_is_a_folder_of_the_working_directory_by_default() -> None:
    """Nothing is written elsewhere unless an operator says so (rule: contract)."""
    assert Settings().installation.home == Path(".gatewayz")
