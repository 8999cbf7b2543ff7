"""Production moves forward and back, and never to what was not merged."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


def step(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "HOME": str(clone)}
    command = [sys.executable, "-m", "deploy", *words]
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Commits 1, 2 (a DAG is changed), 3 (a library is), and one that was never merged."""
    git(tmp_path, "init", "-q", "-b", "main", "--bare", "origin.git")
    git(tmp_path, "clone", "-q", "origin.git", "clone")
    clone = tmp_path / "clone"
    for number, name in enumerate(("requirements.lock", "a_dag.py", "requirements.lock"), start=1):
        (clone / name).write_text(f"{number}\n")
        git(clone, "add", "-A")
        git(clone, "commit", "-qm", str(number))
        git(clone, "tag", f"v{number}")
    git(clone, "push", "-q", "origin", "HEAD:main")
    git(clone, "commit", "-q", "--allow-empty", "-m", "not merged")
    git(clone, "tag", "unmerged")
    return clone


def test_production_moves_forward_and_back_and_says_when_an_image_is_needed(clone: Path):
    bare = clone.parent / "origin.git"
    needs, at = [], []
    for tag in ("v1", "v2", "v3", "v2", "v1"):
        needs.append("needs_image=true" in step(clone, "plan", tag).stdout)
        done = step(clone, "release", tag)
        assert done.returncode == 0, done.stderr
        at.append(git(bare, "rev-parse", "production") == git(clone, "rev-parse", tag))

    assert needs == [True, False, True, True, False]
    assert all(at)


def test_what_was_not_merged_is_not_released(clone: Path):
    done = step(clone, "release", "unmerged")

    assert done.returncode == 1
    assert "is not on origin/main" in done.stderr
    assert "production" not in git(clone.parent / "origin.git", "branch")
