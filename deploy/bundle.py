"""Where Airflow has its DAGs from: the folder beside this one, or the commits of a Git repository.

From a repository, a run keeps the commit that it began with, on every node. Each commit has a
folder of its own, which is complete before anybody reads it and never changes again: what is parsed
or running while a newer commit arrives goes on reading the files that it began with.
`dags/_checkout.py` sees to it that a DAG of such a folder imports our packages from there, too.
"""

import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion
from airflow.dag_processing.bundles.local import LocalDagBundle
from airflow.providers.git.bundles.git import GitDagBundle

HERE = Path(__file__).resolve().parent.parent
"""The installation: its libraries and its compiled kernel run every commit."""

KERNEL = Path("ingestion", "libkernel.so")
LOCK = "requirements.lock"


class Dags(BaseDagBundle):
    """What Airflow's setting names: the DAGs of ``repository`` as of ``ref``, or this folder's."""

    def __new__(cls, *, repository: str, ref: str, **words: Any) -> Any:
        """Return the one of the two that is asked for."""
        if repository:
            return Commits(repo_url=repository, tracking_ref=ref, subdir="dags", **words)
        return LocalDagBundle(path=str(HERE / "dags"), **words)


class Commits(GitDagBundle):
    """A repository's DAGs: one folder per commit, with what Git does not hold."""

    def _initialize(self) -> None:
        if self.version is None:
            self.refresh()
            return
        super()._initialize()
        with self.lock():
            complete(self.repo_path)

    def refresh(self) -> None:
        """Fetch, and turn to the newest commit once its folder is complete.

        Raises:
            RuntimeError: if that commit needs other libraries than are installed here; what was
                there before stays.
        """
        with self.lock(), self.hook.configure_hook_env() if self.hook else nullcontext():
            self._clone_bare_repo_if_required()  # fetches as well
            commit = self.bare_repo.commit(self.tracking_ref).hexsha
            lock = self.bare_repo.git.show(f"{commit}:{LOCK}")
            self.bare_repo.close()
        if lock.strip() != (HERE / LOCK).read_text().strip():
            raise RuntimeError(
                f"Commit {commit} needs other libraries than this installation has: its {LOCK} "
                "differs. Deploy its image first; until then the commit before it stays."
            )
        newest = type(self)(
            name=self.name,
            version=commit,
            repo_url=self.repo_url,
            tracking_ref=self.tracking_ref,
            subdir=self.subdir,
        )
        newest.initialize()
        self.repo_path = newest.repo_path

    def get_current_version(self) -> BundleVersion:
        """Return the commit whose folder is ``path``."""
        return BundleVersion(version=self.version or self.repo_path.name)


def complete(checkout: Path) -> None:
    """Add the manifest, which Cosmos draws the tasks from, and the compiled kernel, if it fits.

    Safe to run again, also after a kill: each comes whole or not at all.
    """
    kernel = checkout / KERNEL
    source = kernel.with_name("kernel.c")
    # Of another source it would be wrong; without one the same is computed, slower.
    fits = (
        source.exists()
        and source.read_bytes() == (HERE / source.relative_to(checkout)).read_bytes()
    )
    if fits and (HERE / KERNEL).exists() and not kernel.exists():
        draft = kernel.with_suffix(".new")
        shutil.copyfile(HERE / KERNEL, draft)
        draft.replace(kernel)
    project = checkout / "dbt_project"
    if not (project / "target").exists():
        with tempfile.TemporaryDirectory(dir=project, prefix="target-") as folder:
            target = Path(folder) / "target"
            _parse(project, target)
            target.replace(project / "target")


def _parse(project: Path, target: Path) -> None:
    folders = {"project-dir": project, "profiles-dir": project, "target-path": target}
    folders["log-path"] = target.parent
    command = [str(Path(sys.executable).with_name("dbt")), "parse", "--quiet", "--target", "prod"]
    command += [f"--{name}={folder}" for name, folder in folders.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"dbt cannot parse {project}:\n{done.stdout[-4000:]}")
