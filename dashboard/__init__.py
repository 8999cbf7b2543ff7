"""The static site that people open: numbers, answers, costs, runs, docs, one index.

It only reads, but for ``collect_lineage``, which shortens Airflow's events to what the site shows.
"""

from dashboard.builder import build, last_good_day
from dashboard.lineage import collect as collect_lineage
from dashboard.publication import read as read_publication

__all__ = ["build", "collect_lineage", "last_good_day", "read_publication"]
