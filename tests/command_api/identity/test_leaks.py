"""Leaked keys are found in any file, offline, and never printed."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from command_api.cli.main import app
from command_api.identity import leaks as module
from command_api.identity.leaks import Leak, leaks_in
from command_api.identity.vault import new_api_key
from domain.identity.key_format import Environment, mask_key

if TYPE_CHECKING:
    from pathlib import Path

KEY, OTHER = new_api_key(), new_api_key(Environment.STAGING)
OLD = "gw_live_" + "a" * 43


def scan(*paths: object, text: str | None = None) -> tuple[int, str]:
    """Exit status and output of the verb; no key may stand in it."""
    done = CliRunner().invoke(app, ["key", "scan", *map(str, paths)], input=text)
    assert KEY not in done.output
    assert OTHER not in done.output
    return done.exit_code, done.output


noise = st.lists(
    st.one_of(
        st.sampled_from([KEY.encode(), OTHER.encode(), OLD.encode(), KEY[:-1].encode()]),
        st.sampled_from([b"\n", b" ", b'"', b"gw_live_", b"-", b"\xff\x00", b"=" * 40]),
    ),
    max_size=12,
)


@given(noise, st.integers(1, 130))
def test_what_is_found_does_not_hang_on_the_pieces_that_are_read(
    parts: list[bytes], chunk: int
) -> None:
    """Lines without end included (rule: bounded)."""
    text = b"".join(parts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "CHUNK_BYTES", chunk)
        in_pieces = list(leaks_in(io.BytesIO(text)))
    expected = [
        Leak(
            text.count(b"\n", 0, found.start()) + 1,
            mask_key(found.group().decode()),
            found.group().decode() in (KEY, OTHER),
        )
        for found in module._IN_TEXT.finditer(text)
    ]
    assert in_pieces == expected


def test_files_folders_and_input_are_looked_through(tmp_path: Path) -> None:
    """File and line are named, whatever else stands there (rule: access)."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "app.env").write_bytes(b"X=1\n\xff\xfeKEY=" + KEY.encode())
    (tmp_path / "a" / "other").write_text(f'"{OTHER}"')
    (tmp_path / "a" / "clean").write_text(f"x{KEY} {OLD} gw_live_")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "a" / "pipe")
    status, said = scan(tmp_path / "a")
    assert status == 1
    assert said.splitlines() == [
        f"{tmp_path}/a/b/app.env:2: {mask_key(KEY)}",
        f"{tmp_path}/a/other:1: {mask_key(OTHER)}",
    ]
    assert scan("-", text=f"\n\n{KEY}") == (1, f"-:3: {mask_key(KEY)}\n")
    assert scan(tmp_path / "a" / "clean") == (0, "")
    assert scan(tmp_path / "a" / "clean", "--unchecked") == (
        1,
        f"{tmp_path}/a/clean:1: gw_live_...aaaa (its checksum is wrong)\n",
    )


def test_what_cannot_be_read_is_told_and_the_rest_is_looked_through(tmp_path: Path) -> None:
    """A check that did not look is no clean one (rule: refuse clearly)."""
    file = tmp_path / "file"
    file.write_text(KEY)
    status, said = scan(tmp_path / "none", file)
    assert status == 3
    assert f"gatewayz: {tmp_path}/none cannot be read" in said
    assert f"{file}:1: {mask_key(KEY)}" in said
