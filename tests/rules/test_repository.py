"""What surrounds the code: CI, templates, hooks, the changelog, and the making of a release."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
YAML_FILES = sorted(
    path
    for pattern in (".github/**/*.yml", "*.yml", ".pre-commit-config.yaml")
    for path in ROOT.glob(pattern)
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


def read_yaml(name: str) -> Any:
    """A file of the repository."""
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_files_can_be_read(path: Path) -> None:
    """A mapping with something in it (rule: tidy)."""
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_ci_runs_the_one_check_on_every_python() -> None:
    """From the least version that is promised on, and the image is built (rule: tidy)."""
    jobs = read_yaml(".github/workflows/ci.yml")["jobs"]
    versions = jobs["check"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert ".ci/run" in [step.get("run") for step in jobs["check"]["steps"]]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "docker build --tag gatewayz ." in [step.get("run") for step in jobs["image"]["steps"]]


def test_hooks_use_the_locked_tools() -> None:
    """Each is a program of .venv that the requirements bring (rule: tidy)."""
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    locked = (ROOT / "requirements/dev.txt").read_text()
    for hook in repository["hooks"]:
        folder, _, program = hook["entry"].split()[0].rpartition("/")
        assert folder == ".venv/bin"
        assert re.search(rf"^{program}==", locked, re.MULTILINE), program


@pytest.mark.parametrize("name", ["base", "dev"])
def test_the_locks_keep_extras(name: str) -> None:
    """Without them pip asks for the newest version, and has no hash for it (rule: two commands)."""
    locked = (ROOT / f"requirements/{name}.txt").read_text()
    assert "--no-strip-extras" in locked.splitlines()[1]
    assert re.search(r"^psycopg\[.+\]==", locked, re.MULTILINE)


def test_issue_forms_ask_for_something() -> None:
    """Each has a name, and questions with an id of their own (rule: tidy)."""
    forms = [path for path in YAML_FILES if path.parent.name == "ISSUE_TEMPLATE"]
    for path in forms:
        if path.name == "config.yml":
            continue
        form = read_yaml(str(path.relative_to(ROOT)))
        assert form["name"] and form["description"]
        ids = [item["id"] for item in form["body"] if item["type"] != "markdown"]
        assert ids and len(ids) == len(set(ids))


def test_the_changelog_has_this_version_and_links_for_each() -> None:
    """Unreleased first, then versions with their day (rule: tidy)."""
    heads = re.findall(r"^## \[([^\]]+)\](.*)$", CHANGELOG, re.MULTILINE)
    assert heads[0] == ("Unreleased", "")
    assert PROJECT["version"] in dict(heads)
    for name, rest in heads[1:]:
        assert re.fullmatch(r" - \d{4}-\d{2}-\d{2}", rest), name
    for name, _ in heads:
        assert re.search(rf"^\[{re.escape(name)}\]: \S+$", CHANGELOG, re.MULTILINE), name


class Project:
    """A small repository on which the release script is tried."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        shutil.copy(ROOT / ".ci/release", folder / ".ci/release")
        self.write("pyproject.toml", '[project]\nversion = "1.2.3"\n')
        self.write("CHANGELOG.md", "## [Unreleased]\n\n## [1.2.3] - 2026-01-31\n")
        self.write("Makefile", "lint:\n\t@test ! -e wrong.py\n")
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()

    def write(self, name: str, text: str) -> None:
        """A file."""
        (self.folder / name).write_text(text)

    def git(self, *arguments: str) -> str:
        """Run git, as nobody in particular."""
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def commit(self) -> None:
        """Everything as it is."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "x")

    def release(self) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        identity = {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.com"}
        return subprocess.run(
            [".ci/release"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **identity},
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One that can be released."""
    return Project(tmp_path)


def test_a_release_is_an_annotated_tag(project: Project) -> None:
    """Made once, locally; the same version cannot be made again (rule: tidy)."""
    done = project.release()
    assert done.returncode == 0, done.stderr
    assert "git push origin main v1.2.3" in done.stdout
    assert project.git("cat-file", "-t", "v1.2.3") == "tag"
    again = project.release()
    assert again.returncode == 1
    assert "v1.2.3 exists already" in again.stderr


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ("version", "names no version"),
        ("branch", "releases are made from main"),
        ("tree", "the tree is not clean"),
        ("changelog", "CHANGELOG.md has no section '## [1.2.3] - YYYY-MM-DD'"),
        ("lint", "lint"),
    ],
)
def test_what_is_not_ready_is_not_released(project: Project, spoilt: str, said: str) -> None:
    """Refused in a line that says what is missing, and no tag is left (rule: refuse clearly)."""
    if spoilt == "branch":
        project.git("switch", "--quiet", "--create", "other")
    elif spoilt == "tree":
        project.write("new.txt", "x")
    else:
        name, text = {
            "version": ("pyproject.toml", '[project]\nversion = "1.2.3.dev1"\n'),
            "changelog": ("CHANGELOG.md", "## [Unreleased]\n\n## [1.2.30] - 2026-01-31\n"),
            "lint": ("wrong.py", "x"),
        }[spoilt]
        project.write(name, text)
        project.commit()
    done = project.release()
    assert done.returncode != 0
    assert said in done.stderr
    assert project.git("tag") == ""
