"""Moves production to a commit, forward or back, and says what has to move with it.

Production is a branch. Airflow takes its DAGs from there (`deploy/bundle.py`), so most commits are
deployed by moving the branch alone: no part is started again, and no run notices.
"""

import subprocess

BRANCH = "production"

INSTALLED = (
    "requirements.lock",
    "Dockerfile",
    "docker-compose.yaml",
    "deploy",
    "safety",
    "ingestion/kernel.c",
)
"""What only an image brings, or a start of the parts."""


def plan(commit: str, remote: str = "origin") -> tuple[str, bool]:
    """Return the full name of a commit of the main branch, and whether it needs its image.

    Raises:
        SystemExit: if it was never merged.
    """
    _git("fetch", "--quiet", remote)
    full = _git("rev-parse", "--verify", f"{commit}^{{commit}}")
    if not _is_true("merge-base", "--is-ancestor", full, f"{remote}/main"):
        raise SystemExit(f"error: {commit} is not on {remote}/main. Merge it first.")
    now = f"{remote}/{BRANCH}"
    is_first = not _is_true("rev-parse", "--verify", "--quiet", now)
    return full, is_first or not _is_true("diff", "--quiet", now, full, "--", *INSTALLED)


def release(commit: str, remote: str = "origin") -> str:
    """Let production be ``commit``, unless somebody else has moved it meanwhile; return it."""
    full, _ = plan(commit, remote)
    known = f"{remote}/{BRANCH}"
    before = _git("rev-parse", known) if _is_true("rev-parse", "--verify", "-q", known) else ""
    lease = f"--force-with-lease={BRANCH}:{before}"
    _git("push", "--quiet", lease, remote, f"{full}:refs/heads/{BRANCH}")
    return full


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def _is_true(*words: str) -> bool:
    return subprocess.run(["git", *words], capture_output=True).returncode == 0
