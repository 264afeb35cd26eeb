"""The tests run by `pytest` as by `python -m pytest`."""

from __future__ import annotations

from multiprocessing.spawn import get_preparation_data
from typing import TYPE_CHECKING

from tests.support.packages import ROOT

if TYPE_CHECKING:
    import pytest


def test_spawned_children_find_the_tests_however_pytest_was_begun(
    pytestconfig: pytest.Config,
) -> None:
    """The configuration names the folder, and children get what their parent looks through: those
    that did not find `tests` died, and a pool waited for them for ever (rule: two commands).
    """
    assert ROOT in pytestconfig.getini("pythonpath")
    assert str(ROOT) in get_preparation_data("child")["sys_path"]
