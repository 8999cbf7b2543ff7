"""
### Deliver alerts

Sends again what Slack or Teams could not be told at once. Skips itself when nothing waits.

| | |
| --- | --- |
| **Impact** | tier 2: people do not hear of what is wrong; no number depends on it |
| **If `deliver` fails** | its log names the channel and what it answered. A wrong address: put \
the right one into the connection `daylight_slack` or `daylight_teams`; the next run delivers. It \
gives a message up after 24 runs and goes on with the others; what was given up stays in Admin → \
Variables (`alert_unsent.…`) until somebody deletes it |
"""

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

import _checkout  # noqa: F401  before what it finds
import alerts
from _defaults import DEFAULT_ARGS, TELLING


@dag(
    schedule=CronTriggerTimetable("5,35 * * * *", timezone="Asia/Seoul"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["maintain"],
    **TELLING,  # the other channel hears that this one is broken
)
def deliver_alerts() -> None:
    """Empty the outbox."""

    @task(retries=0)  # the next run is the retry
    def deliver() -> int:
        sent, unsent = alerts.deliver_again()
        if unsent:
            problems = sorted({f"{letter.channel}: {letter.problem}" for letter in unsent})
            raise AirflowFailException(f"{len(unsent)} not delivered. {'; '.join(problems)}")
        if not sent:
            raise AirflowSkipException("Nothing waits.")
        return sent

    deliver()


deliver_alerts()
