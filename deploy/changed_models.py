"""Builds what a branch changed, and what depends on it, beside production, and clears it away.

What is not changed is read where readers see it, so the build costs what was changed, and its tests
run over production's data.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PROJECT = HERE / "dbt_project"
DBT = Path(sys.executable).with_name("dbt")

SCRATCH = "daylight_scratch_"
"""How a schema begins that may be dropped (dbt_project/macros/drop_scratch_schema.sql)."""


def build(against: str, schema: str, env: Mapping[str, str]) -> int:
    """Build and test what differs from the commit ``against``; drop the schema, whatever happens.

    Returns dbt's exit code; if the schema could not be dropped, that of the dropping.
    """
    with _production(against, env) as state:
        select = ["--select", "state:modified+", "--state", state, "--defer"]
        try:
            code = _dbt(["build", *select], schema, env)
        finally:
            dropped = drop(schema, env)
    return code or dropped


def drop(schema: str, env: Mapping[str, str]) -> int:
    """Drop a scratch schema with all files of its tables; safe to run again."""
    return _dbt(["run-operation", "drop_scratch_schema"], schema, env)


@contextmanager
def _production(commit: str, env: Mapping[str, str]) -> Iterator[str]:
    """Yield a folder with the manifest of a commit, in which models are where readers see them."""
    with tempfile.TemporaryDirectory() as folder:
        tree, state = Path(folder) / "tree", Path(folder) / "state"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(tree), commit],
            cwd=HERE,
            check=True,
        )
        try:
            project = tree / "dbt_project"
            words = ["--target", "published", "--target-path", state, "--log-path", folder]
            subprocess.run(_command(["parse", "--quiet", *words], project), env=env, check=True)
            yield str(state)
        finally:
            subprocess.run(
                ["git", "worktree", "remove", "--force", str(tree)], cwd=HERE, check=True
            )


def _dbt(words: list[str], schema: str, env: Mapping[str, str]) -> int:
    if not schema.startswith(SCRATCH):
        raise SystemExit(f"error: {schema} is no scratch schema; its name begins with {SCRATCH}.")
    with tempfile.TemporaryDirectory() as folder:
        where = ["--target", "dev", "--target-path", folder, "--log-path", folder]
        command = _command([*words, *where], PROJECT)
        return subprocess.run(command, env=dict(env) | {"DBT_SCHEMA": schema}).returncode


def _command(words: list[object], project: Path) -> list[str]:
    folders = ["--project-dir", project, "--profiles-dir", project]
    return [str(word) for word in (DBT, *words, *folders)]
