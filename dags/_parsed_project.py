"""The dbt project, parsed once in the process that tasks are forked from, not once in each task.

A dbt task spends most of its time on reading the same project again. Whoever forks tasks may call
`parse`; a task of the same project, unchanged, then begins where parsing ended. A task that was not
forked from there, or finds another file than was parsed, parses for itself: slower, not different.
"""

import hashlib
from pathlib import Path
from typing import Any

DBT_PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"

WRITTEN = {"target", "logs"}
"""The folders that dbt writes."""


def parse() -> None:
    """Parse the project as the scheduler's target sees it, and keep it for tasks forked later."""
    from cosmos.dbt.runner import get_runner
    from dbt_common.clients.jinja import template_cache

    files = _files(DBT_PROJECT)
    folders = ["--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)]
    runner: Any = get_runner()  # Cosmos has one per process: what is kept with it is inherited
    # The static parser may hang in a process forked behind its first use, as Cosmos found.
    # Two workers parse at once, and others read the manifest that lies there.
    words = ["parse", "--quiet", "--no-static-parser", "--no-write-json", "--target", "prod"]
    manifest = runner.invoke([*words, *folders]).result
    if manifest is not None:  # a broken project: the tasks will say so, not the scheduler
        # Cosmos has laid the same manifest where dbt would write it: a quarter of a task's time.
        manifest.write = lambda path: None
        for macro in manifest.macros.values():
            template_cache.get_node_template(macro)  # or each task compiles the forty that it calls
        runner.parsed = (manifest, files)


def begin_where_parsing_ended(context: Any, operator: Any) -> None:
    """Give dbt the project as it was parsed, if it still is that project (a Cosmos interceptor)."""
    is_parsed = dbt(Path(operator.project_dir)).manifest is not None
    # What dbt would begin with if it had to parse; half a megabyte to copy for nothing.
    operator.partial_parse = operator.partial_parse and not is_parsed
    # Nobody listens to its lineage; for it, every task would ask AWS who we are.
    operator.calculate_openlineage_events_completes = lambda *_: False


def dbt(project: Path = DBT_PROJECT) -> Any:
    """Return Cosmos's dbt runner, which starts from the parsed project if that is unchanged."""
    from cosmos.dbt.runner import get_runner

    runner: Any = get_runner()
    manifest, files = getattr(runner, "parsed", (None, None))
    runner.manifest = manifest if manifest is not None and files == _files(project) else None
    return runner


def _files(project: Path) -> dict[str, bytes]:
    """Return what tells a changed project: every file that dbt reads, its place and its content.

    Not where the project is, nor when it was written: a run from Git has a folder of its own.
    """
    ours = (path for path in project.rglob("*") if path.suffix in {".sql", ".yml", ".csv", ".py"})
    names = {str(path.relative_to(project)): path for path in ours}
    read = {name: path for name, path in names.items() if name.split("/")[0] not in WRITTEN}
    return {
        name: hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
        for name, path in read.items()
    }
