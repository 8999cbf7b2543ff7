"""The command behind `make cluster`."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from cluster.memory import Meter
from cluster.run import RunningCluster
from cluster.settings import Cluster
from laptop.airflow_api import AirflowError
from laptop.environment import REPOSITORY, Laptop
from laptop.main_job import go_on, load_and_build, print_summary
from laptop.processes import StartError
from laptop.stand_ins import Options

IDLE_SECONDS = 10
"""How long Airflow is left alone before the main job, to see what its parts take then."""


def main() -> int:
    """Run everything; return 0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the first full cycle")
    parser.add_argument("--database", choices=("postgresql", "mysql"), default="postgresql")
    parser.add_argument("--aws-port", type=int, default=4566)
    parser.add_argument("--simulator-port", type=int, default=4567)
    parser.add_argument("--airflow-port", type=int, default=8080)
    parser.add_argument("--flower-port", type=int, default=5555)
    # Not the servers' own: one that the system runs is left alone.
    parser.add_argument("--database-port", type=int, default=15432)
    parser.add_argument("--redis-port", type=int, default=16379)
    parser.add_argument("--days", type=int, default=35, help="history to begin with")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--users", type=int, help="size of the simulated population")
    parser.add_argument("--until", help="freeze the simulated clock at this ISO instant")
    words = parser.parse_args()

    env = os.environ  # noqa: TID251  the edge
    home = Path(env.get("DAYLIGHT_HOME", REPOSITORY / ".daylight" / f"cluster-{words.database}"))
    laptop = Laptop(home.resolve(), words.aws_port, words.simulator_port, words.airflow_port)
    cluster = Cluster(
        laptop,
        words.database,
        words.database_port,
        words.redis_port,
        words.flower_port,
        env.get("DAGS_REPOSITORY", ""),
        env.get("DAGS_REF", "production"),
    )
    options = Options(words.once, words.days, words.seed, words.users, words.until)
    signal.signal(signal.SIGTERM, _stop)
    try:
        with RunningCluster(cluster, options) as running:
            airflow = running.api()
            meter = Meter(running.processes.parts)
            meter.start()
            time.sleep(IDLE_SECONDS)
            meter.idle_is_over()
            load_and_build(airflow)
            meter.stop()
            links = {
                "Airflow": f"{laptop.airflow_url}  (admin, op, viewer)",
                "Flower": f"http://127.0.0.1:{cluster.flower_port}  (admin)",
                "Passwords": str(laptop.secrets),
            }
            print_summary(laptop, links)
            print(meter.table(), flush=True)
            if not options.once:
                go_on(airflow, running.processes)
    except (StartError, AirflowError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _stop(signum: int, frame: object) -> None:
    sys.exit(128 + signum)


sys.exit(main())
