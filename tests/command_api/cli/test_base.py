"""What all verbs share: output for people and programs, and errors in a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import typer

from command_api.cli.base import EXPECTED, settings_with, show, telling
from command_api.processes.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

VALUE = {"user_id": "u", "granted_nano_usd": 10**18 + 1, "name": 'a "name"'}


def test_a_result_for_programs_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Integers stay integers, whatever their size (P4)."""
    show(VALUE, as_json=True)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert json.loads(printed) == VALUE


def test_a_result_for_people_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each name, without its underscores (rule: contract)."""
    show(VALUE, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "user id           u",
        "granted nano usd  1000000000000000001",
        'name              a "name"',
    ]


def test_options_that_are_not_given_leave_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--port wins over GATEWAYZ_PORT; without it the variable counts (rule: contract)."""
    monkeypatch.setenv("GATEWAYZ_PORT", "9000")
    monkeypatch.setenv("GATEWAYZ_HOME", str(tmp_path))
    assert settings_with(None, port=None).server.port == 9000
    asked = settings_with(tmp_path / "other", port=0)
    assert asked.server.port == 0
    assert asked.installation.home == tmp_path / "other"


def test_a_setting_that_cannot_be_used_is_named_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The variable, what is wrong, and where to read on; exit 1 (rule: refuse clearly)."""
    monkeypatch.setenv("GATEWAYZ_CALL_DEADLINE_S", "soon")
    with pytest.raises(typer.Exit) as ended:
        settings_with(None)
    assert ended.value.exit_code == 1
    said = capsys.readouterr().err
    assert said.startswith("gatewayz: GATEWAYZ_CALL_DEADLINE_S: Input should be a valid number")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "error", [StartError("do this"), FileNotFoundError("do this"), ValueError("do this")]
)
def test_expected_errors_are_a_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """What people can mend is told them, without a traceback (rule: refuse clearly)."""
    with pytest.raises(typer.Exit) as ended, telling():
        raise error
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "gatewayz: do this\n"


@pytest.mark.parametrize("error", [BrokenPipeError(), KeyError("x"), AssertionError()])
def test_defects_and_a_closed_pipe_are_not_dressed_up(error: Exception) -> None:
    """A defect shows its traceback; a reader that has gone needs no message
    (rule: refuse clearly).
    """
    assert isinstance(error, OSError) or not isinstance(error, EXPECTED)
    with pytest.raises(type(error)), telling():
        raise error
