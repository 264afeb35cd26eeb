"""Forms that come slowly, by halves, or never: nothing is held, and nothing stays on the disk."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.command_api.operations.audio.test_transcriptions import PATH, wav
from tests.support.harness import ScriptedUpstream, eventually, running_gateway

if TYPE_CHECKING:
    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
TAIL = (
    b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsimulator/listen\r\n--b--\r\n'
)


def begun(gateway: RunningGateway, user: NewUser, size: int) -> socket.socket:
    """A caller who has said that a form of so many bytes follows."""
    host, _, port = gateway.url.rpartition("//")[2].partition(":")
    caller = socket.create_connection((host, int(port)), timeout=20)
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {user.api_key}\r\n"
        f"content-type: multipart/form-data; boundary=b\r\ncontent-length: {size}\r\n\r\n"
    )
    caller.sendall(head.encode())
    return caller


def files_in(folder: Path) -> int:
    """Files of this process in a folder, also those that have no name any more."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        try:
            found += str(each.readlink()).startswith(str(folder))
        except OSError:
            continue
    return found


def test_a_form_that_comes_too_slowly_is_refused(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then keeps no room for ever: 408, and the file is gone (rule: bounded)."""
    (folder := tmp_path / "files").mkdir()
    monkeypatch.setenv("GATEWAYZ_UPLOAD_TIMEOUT_S", "1")
    monkeypatch.setenv("GATEWAYZ_UPLOAD_DIR", str(folder))
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        body = HEAD + wav(1) + TAIL
        with begun(gateway, gateway.user(), len(body)) as caller:
            caller.sendall(body[:20_000])
            eventually(lambda: files_in(folder) == 1)
            begin = time.monotonic()
            answer = caller.recv(65_536)
            assert time.monotonic() - begin < 10
        assert answer.startswith(b"HTTP/1.1 408 ")
        eventually(lambda: files_in(folder) == 0)
        assert gateway.open_holds() == 0
        gateway.verified()


@pytest.mark.parametrize("share", [0, 1, 50, 99])
def test_a_caller_who_leaves_in_the_middle_leaves_nothing(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    share: int,
) -> None:
    """No hold, no file, and its room is free for the next form (rule: bounded, P2)."""
    (folder := tmp_path / "files").mkdir()
    body = HEAD + wav(4) + TAIL
    monkeypatch.setenv("GATEWAYZ_AUDIO_FILE_BYTES_MAX", str(len(wav(4))))
    monkeypatch.setenv("GATEWAYZ_UPLOADS_BYTES_MAX", str(len(wav(4))))
    monkeypatch.setenv("GATEWAYZ_UPLOAD_DIR", str(folder))
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        user = gateway.user()
        for _ in range(3):
            with begun(gateway, user, len(body)) as caller:
                caller.sendall(body[: len(body) * share // 100])
                if share > 1:
                    eventually(lambda: files_in(folder) == 1)
            eventually(lambda: files_in(folder) == 0)
        with begun(gateway, user, len(body)) as caller:
            caller.sendall(body)
            assert caller.recv(65_536).startswith(b"HTTP/1.1 200 ")
        eventually(lambda: files_in(folder) == 0)
        assert gateway.open_holds() == 0
        gateway.verified()
