"""Children: what they are told, how they are replaced, how they end. With a toy as the program."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from command_api.processes import spawning
from command_api.processes.spawning import Children
from command_api.settings import Settings
from tests.support.harness import eventually
from tests.support.processes import alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOY = """
import json, os, pathlib, signal, sys, time
kind, *inherited = sys.argv[1:]
if kind == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
ours = {name: text for name, text in os.environ.items() if name.startswith("GATEWAYZ_")}
told = {"kind": kind, "open": [os.fstat(int(each)).st_ino for each in inherited], "ours": ours}
partial = pathlib.Path(os.environ["TOYS"], f"{os.getpid()}.partial")
partial.write_text(json.dumps(told))
partial.rename(partial.with_suffix(".json"))
time.sleep(60)
"""


class Toys:
    """The children of a test, and what each was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = Settings(home=folder, port=8123, shutdown_grace_s=0, host="127.0.0.2")
        self.children = Children(settings)

    def told(self, count: int) -> dict[int, Any]:
        """By process id, once so many have been told."""
        eventually(lambda: len(list(self.folder.glob("*.json"))) == count)
        return {int(file.stem): json.loads(file.read_text()) for file in self.folder.glob("*.json")}


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toys]:
    """Children that end with the test."""
    (tmp_path / "toy_child.py").write_text(TOY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TOYS", str(tmp_path))
    monkeypatch.setattr(spawning, "PROGRAM", "toy_child")
    monkeypatch.setattr(spawning, "RESTART_WAIT_S", 0.0)
    monkeypatch.setattr(spawning, "STOP_MARGIN_S", 1.0)
    made = Toys(tmp_path)
    try:
        yield made
    finally:
        made.children.stop()


def test_a_child_is_told_its_kind_its_descriptors_and_every_setting(toys: Toys) -> None:
    """What the command line said reaches it, and the sockets are open there (rule: contract)."""
    with (toys.folder / "shared").open("w") as shared:
        toys.children.start("worker", shared.fileno())
        inode = os.fstat(shared.fileno()).st_ino
        (told,) = toys.told(1).values()
    assert (told["kind"], told["open"]) == ("worker", [inode])
    assert told["ours"]["GATEWAYZ_PORT"] == "8123"
    assert told["ours"]["GATEWAYZ_HOST"] == "127.0.0.2"
    assert told["ours"]["GATEWAYZ_SHUTDOWN_GRACE_S"] == "0"
    assert told["ours"]["GATEWAYZ_HOME"] == str(toys.folder)


def test_a_child_that_dies_is_replaced_unless_we_are_stopping(toys: Toys) -> None:
    """Whatever dies, the sweep goes on; a stop does not start anything (P2)."""
    toys.children.start("background")
    (first,) = toys.told(1)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: toys.children.all_ended)
    toys.children.replace_ended(lambda: True)
    assert toys.children.all_ended
    toys.children.replace_ended(lambda: False)
    assert not toys.children.all_ended
    kinds = [told["kind"] for told in toys.told(2).values()]
    assert kinds == ["background", "background"]
    toys.children.replace_ended(lambda: False)
    assert len(toys.told(2)) == 2


def test_all_end_even_one_that_will_not(toys: Toys) -> None:
    """A stop takes the time for calls in flight and a margin, no longer (rule: bounded)."""
    toys.children.start("worker")
    toys.children.start("stubborn")
    pids = list(toys.told(2))
    toys.children.stop()
    assert toys.children.all_ended
    assert not any(alive(pid) for pid in pids)
