"""Forks dbts that have everything imported: ``python -m tests.proof.zygote``.

A line of JSON in, a line of JSON out. Three seconds of imports are saved per run, and a run that is
killed takes nothing with it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

_DIE_WITH_PARENT = 1


def main() -> None:
    """Serve until the input ends."""
    _die_with_parent()
    import boto3
    import dbt.adapters.athena
    import dbt.cli.main
    import dbt.task.run

    from laptop import aws_descriptions

    assert dbt
    aws_descriptions.share()
    session = boto3.session.Session(region_name="us-east-1")
    for service in ("athena", "glue", "s3"):
        session.client(service, endpoint_url="http://127.0.0.1:9")
    gc.collect()
    gc.freeze()
    _tell({"ready": os.getpid()})
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_dbt(order)
        _, status = os.waitpid(pid, 0)
        _tell({"code": os.waitstatus_to_exitcode(status)})


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def _become_dbt(order: dict[str, Any]) -> None:
    """Run dbt as the command line does, and end; the result goes into ``order["result"]``."""
    code = 70
    try:
        _die_with_parent()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(order["variables"])
        code = _invoke(order)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _invoke(order: dict[str, Any]) -> int:
    from dbt.cli.main import dbtRunner

    done = 0

    def watch(event: Any) -> None:
        nonlocal done
        if event.info.name == "LogModelResult":
            done += 1
            if done == order["dies_after"]:
                os.kill(os.getpid(), signal.SIGKILL)

    result = dbtRunner(callbacks=[watch]).invoke(order["arguments"])
    nodes = getattr(result.result, "results", None) or []
    told = {
        "is_success": result.success,
        "error": str(result.exception or ""),
        "statuses": Counter(str(node.status) for node in nodes),
        "failures": {
            node.node.unique_id: node.message
            for node in nodes
            if node.status not in ("success", "pass", "skipped")
        },
        "seconds": {node.node.unique_id: node.execution_time for node in nodes},
    }
    Path(order["result"]).write_text(json.dumps(told))
    return 0 if result.success else 1


if __name__ == "__main__":
    main()
