"""`make run`: from an empty folder to daily metrics, then on schedule until Ctrl-C."""

from laptop import secret_files
from laptop.airflow_api import AirflowApi
from laptop.environment import EXECUTABLES, REPOSITORY, Laptop
from laptop.main_job import go_on, load_and_build, print_summary, report, wait_for_airflow
from laptop.processes import Processes, assert_ports_free, stop_leftovers
from laptop.stand_ins import (
    OnlyRun,
    Options,
    is_migrated,
    note_migration,
    parse_dbt,
    start_local_aws,
    start_world,
)


def run(laptop: Laptop, options: Options) -> None:
    """Start everything, load everything, build everything, and print what came out.

    Safe to run again: it goes on with the data that is there, also after a SIGKILL.

    Raises:
        StartError: if a part cannot be started or dies.
        AirflowError: if a DAG run fails.
    """
    with OnlyRun(laptop.home):
        if leftovers := stop_leftovers(laptop.home):
            report(f"stopped {leftovers} processes that an earlier run left behind")
        assert_ports_free(
            {
                "AWS_PORT": laptop.aws_port,
                "SIMULATOR_PORT": laptop.simulator_port,
                "AIRFLOW_PORT": laptop.airflow_port,
            }
        )
        secret_files.ensure(laptop.secrets)
        laptop.write_activate()
        processes = Processes(laptop.shell(), REPOSITORY, laptop.home / "logs")
        try:
            airflow = _start(laptop, options, processes)
            load_and_build(airflow)
            print_summary(laptop, {"Airflow": laptop.airflow_url})
            if not options.once:
                go_on(airflow, processes)
        finally:
            report("stopping")
            processes.stop()
            stop_leftovers(laptop.home)
            report("stopped; nothing is left running")


def _start(laptop: Laptop, options: Options, processes: Processes) -> AirflowApi:
    migration = None
    if not is_migrated(laptop.home):
        migrate = [EXECUTABLES / "airflow", "db", "migrate"]
        migration = processes.start("airflow-migrate", migrate, is_job=True)
    start_local_aws(laptop, processes)
    start_world(laptop, options, processes)
    parse_dbt(laptop, processes)
    if migration:
        processes.finish(migration)
        note_migration(laptop.home)
    # The scheduler and triggerer would serve task logs on all interfaces; here everybody reads
    # the same folder.
    parts = {
        "airflow-api-server": ["api-server"],
        "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
        "airflow-dag-processor": ["dag-processor"],
        "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
    }
    server, *_ = (
        processes.start(name, [EXECUTABLES / "airflow", *words]) for name, words in parts.items()
    )
    logs = laptop.home / "airflow" / "logs"
    airflow = AirflowApi(laptop.airflow_url, logs, meanwhile=processes.tend)
    wait_for_airflow(airflow, processes, server)
    return airflow
