"""Tells people in Slack and Teams what is wrong, once per incident. Knows Airflow, but no DAG.

A run that ends wakes a notifier (``notifiers``), which compares it with the open incident of its
DAG (``incidents``), writes what is to be said (``messages``), and leaves it in the outbox
(``outbox``), from which it is sent (``webhooks``) now and, if that fails, again later.
"""

from alerts.notifiers import TellFailure, TellLateness, TellSuccess, remember_good_day
from alerts.outbox import deliver_again, standing

__all__ = [
    "TellFailure",
    "TellLateness",
    "TellSuccess",
    "deliver_again",
    "remember_good_day",
    "standing",
]
