"""The secret behind every key: made once, whole, and the same for all who share its file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from command_api.identity.vault import load_secret

if TYPE_CHECKING:
    from pathlib import Path


def test_gateways_that_start_together_share_one_secret(tmp_path: Path) -> None:
    """Many at once, in a new folder: one secret, readable by its owner only (rule: access)."""
    file = tmp_path / "shared" / "key"
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: load_secret(tmp_path / str(n), None, file), range(64)))
    assert len(set(found)) == 1
    assert len(found[0]) > 32
    assert file.stat().st_mode & 0o077 == 0
    assert [each.name for each in file.parent.iterdir()] == ["key"]


def test_a_home_has_a_secret_of_its_own(tmp_path: Path) -> None:
    """Made on first use and kept; a configured one wins, and must be long enough (rule: access)."""
    made = load_secret(tmp_path / "a", None)
    assert load_secret(tmp_path / "a", None) == made
    assert load_secret(tmp_path / "b", None) != made
    assert load_secret(tmp_path / "a", "x" * 16) == b"x" * 16
    with pytest.raises(ValueError, match="at least 16 bytes"):
        load_secret(tmp_path, "short")
