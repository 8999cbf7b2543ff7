"""Comes back after four days, and backfills thirty: ``python -m tests.catching_up``.

Through a real scheduler, over real servers; what is in the lake at the end is counted by plain
Python against what the source has. Ends in one line, and with 1 if a drill went wrong.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from laptop.environment import REPOSITORY, Laptop
from tests.catching_up.drills import DRILLS
from tests.catching_up.site import prepare, say
from tests.cluster_chaos.site import only_few
from tests.servers import free_ports

SMALL = """from airflow.sdk import DAG

from _assets import RAW_ACCESS_LOGS
from _choosing import PARAMS
from _defaults import TELLING, TRANSFORM_ARGS
from _warehouse import warehouse

defaults = dict(default_args=TRANSFORM_ARGS, schedule=[RAW_ACCESS_LOGS], **TELLING)
with DAG("transform_warehouse", params=PARAMS, max_active_runs=1, catchup=False, **defaults):
    warehouse()
"""
"""transform_warehouse with a third of its models, and nothing behind them."""


def main() -> int:
    """Run the drills, each in an Airflow of its own, and return 1 if one went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.catching_up", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(DRILLS), default=list(DRILLS))
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of the records; below 1 a third of the models"
    )
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        dags = Path(temporary) / "dags"
        shutil.copytree(REPOSITORY / "dags", dags)
        (dags.parent / "dbt_project").symlink_to(REPOSITORY / "dbt_project")
        defaults = dags / "_defaults.py"
        text = defaults.read_text()
        assert "seconds=20" in text
        defaults.write_text(text.replace("seconds=20", "seconds=1"))  # nobody waits for retries
        if words.scale < 1:
            (dags / "transform_warehouse.py").write_text(SMALL)
            few = only_few((dags / "_warehouse.py").read_text())
            (dags / "_warehouse.py").write_text(few)
        for name in words.only:
            say(f"{name}: {DRILLS[name].__doc__}")
            laptop = Laptop(Path(temporary) / name, *free_ports(3))
            prepare(laptop)
            problems = DRILLS[name](laptop, dags, words.scale)
            wrong += bool(problems)
            say(f"{name}: {'; '.join(problems) or 'as it should be'}")
    say(f"catching_up: drills={len(words.only)} wrong={wrong}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
