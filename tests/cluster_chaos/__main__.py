"""Kills parts of the cluster in the middle of runs: ``python -m tests.cluster_chaos``.

Days of a small world are loaded and built, one after another, on the processes of `make cluster`;
meanwhile a part at a time is killed with everything below it, and started again by the cluster
itself. A red run is mended with the one click that the runbook names: clear what failed. At the end
every record is counted by plain Python, and every table is held to an undisturbed build.
"""

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from cluster.run import RunningCluster
from laptop.environment import Laptop
from laptop.stand_ins import Options
from tests.cluster_chaos.rounds import Rounds
from tests.cluster_chaos.site import DAYS, UNTIL, USERS, ImpatientCluster, copy_dags
from tests.servers import free_ports


def main() -> int:
    """Kill, mend, count and compare; return 0 only if nothing was lost, doubled or untrue."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster_chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--database", choices=("postgresql", "mysql"), default="postgresql")
    parser.add_argument("--seed", type=int, default=7, help="of what is killed, and when")
    parser.add_argument(
        "--small", action="store_true", help="a third of the models, for machines that are busy"
    )
    parser.add_argument("--home", type=Path, help="a folder to keep; otherwise a temporary one")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    with tempfile.TemporaryDirectory() as temporary:
        # What PostgreSQL's own user has to reach.
        Path(temporary).chmod(0o755)
        ports = free_ports(6)
        laptop = Laptop((words.home or Path(temporary) / "home").resolve(), *ports[:3])
        dags = copy_dags(Path(temporary))
        cluster = ImpatientCluster(laptop, words.database, *ports[3:], dags=dags)
        with RunningCluster(cluster, Options(True, DAYS, 7, USERS, UNTIL)) as running:
            rounds = Rounds(running, words.kills, random.Random(words.seed), words.small)
            # Parts live as long as the thread that started them: this one tends them.
            work = threading.Thread(target=rounds.run, daemon=True)
            work.start()
            while work.is_alive():
                running.processes.tend()
                time.sleep(0.3)
    sys.stdout.write(f"{rounds.line()}\n")
    return rounds.code()


if __name__ == "__main__":
    sys.exit(main())
