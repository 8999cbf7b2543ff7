"""The DAG files, read once by the process that tasks are forked from, not once in each task.

Airflow reads a DAG's file again in every task: 0.11 s of CPU for one that draws the dbt project. A
task that was forked from here takes what was read, if no file of it has changed since; else it
forgets it and reads for itself: slower, not different.
"""

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airflow.dag_processing import dagbag

REPOSITORY = Path(__file__).resolve().parent.parent.parent

read_file: Any = dagbag.BundleDagBag
"""What Airflow reads a file with."""


def read(folder: Path) -> None:
    """Read the DAG files of ``folder``, and let the tasks that are forked later take them."""
    before = set(sys.modules)
    files = [file for file in folder.glob("*.py") if not file.name.startswith("_")]
    importlib.import_module("ingestion.lake")  # not needed by the files, but by every dbt task
    bags = {
        str(file): read_file(
            dag_folder=str(file),
            safe_mode=False,
            load_op_links=False,
            bundle_path=folder,
            bundle_name="dags-folder",
        )
        for file in files
    }
    ours = {name for name in set(sys.modules) - before if _is_ours(sys.modules[name], folder)}
    sources = {Path(str(sys.modules[name].__file__)) for name in ours} | set(files)
    sources.add(folder.parent / "dbt_project" / "target" / "manifest.json")  # Cosmos draws it
    known = _stats(sources)

    def inherited(*, dag_folder: str, bundle_path: Path, **words: Any) -> Any:
        bag = bags.get(str(dag_folder))
        if bag is None or not bag.dags or _stats(sources) != known:
            for name in ours:  # a module that was edited would still be the one that was read
                sys.modules.pop(name, None)
            return read_file(dag_folder=dag_folder, bundle_path=bundle_path, **words)
        # As read_file does it: tasks import our modules while they run.
        if str(bundle_path) not in sys.path:
            sys.path.append(str(bundle_path))
        return bag

    dagbag.BundleDagBag = inherited  # type: ignore[assignment,misc]


def _is_ours(module: Any, folder: Path) -> bool:
    file = Path(getattr(module, "__file__", None) or "/")
    places = (REPOSITORY, folder.parent)
    is_installed = "site-packages" in file.parts
    return not is_installed and any(place in file.parents for place in places)


def _stats(files: Iterable[Path]) -> dict[Path, tuple[int, int] | None]:
    """Return size and time of each file, or nothing for one that is gone."""
    return {file: _stat(file) for file in files}


def _stat(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns
