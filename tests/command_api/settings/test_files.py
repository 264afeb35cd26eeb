"""How many connections the files of a process leave room for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from command_api.settings.files import CONNECTIONS_MIN, FILES_OF_A_CALL, OWN_FILES

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import logging, resource
from command_api.settings.files import connections_with, upstream_connections
logging.basicConfig()
print(connections_with(4096), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
print(upstream_connections(4096), upstream_connections(10))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "expected", "warned"),
    [
        (256, 256, (256 - OWN_FILES) // FILES_OF_A_CALL, True),
        (256, 10_000, 4_096, False),
        (64, 64, CONNECTIONS_MIN, True),
    ],
)
def test_the_hard_limit_decides(
    tmp_path: Path, soft: int, hard: int, expected: int, warned: bool
) -> None:
    """The soft one is raised to it, and what there is no room for is said (rule: bounded)."""
    command = f"ulimit -Sn {soft} && ulimit -Hn {hard} && exec {sys.executable} -c '{PROGRAM}'"
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
    )
    clients, files, *providers = (int(each) for each in done.stdout.split())
    assert (clients, files) == (expected, hard)
    room = [hard - OWN_FILES - each for each in (expected, min(expected, 10))]
    assert providers == [max(each, CONNECTIONS_MIN) for each in room]
    assert ("raise the hard limit" in done.stderr) is warned
