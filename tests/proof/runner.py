"""What one dbt does, as the command line does it; the result goes into ``job["result"]``."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

from laptop import aws_descriptions


def prepare() -> None:
    """Import what dbt needs on Athena: three seconds."""
    import dbt.adapters.athena
    import dbt.cli.main
    import dbt.task.run

    assert dbt
    aws_descriptions.share("athena", "glue", "s3")


def perform(job: dict[str, Any]) -> int:
    """Run dbt and return its exit code; or die after so many models."""
    from dbt.cli.main import dbtRunner

    os.environ.update(job["variables"])
    done = 0
    counting = threading.Lock()  # models end in several threads

    def watch(event: Any) -> None:
        nonlocal done
        if event.info.name == "LogModelResult":
            with counting:
                done += 1
                if done == job["dies_after"]:
                    os.kill(os.getpid(), signal.SIGKILL)

    result = dbtRunner(callbacks=[watch]).invoke(job["arguments"])
    nodes = getattr(result.result, "results", None) or []
    told = {
        "error": str(result.exception or ""),
        "failures": {
            node.node.unique_id: node.message
            for node in nodes
            if node.status not in ("success", "pass", "skipped")
        },
        "seconds": {node.node.unique_id: node.execution_time for node in nodes},
    }
    Path(job["result"]).write_text(json.dumps(told))
    return 0 if result.success else 1
