"""The assets that connect the DAGs: who publishes one, and who wakes up for it."""

from airflow.sdk import Asset

# Updated once per run that published at least one batch; never for a poll that found nothing new.
RAW_ACCESS_LOGS = Asset(name="raw_access_logs", uri="daylight://raw/access_logs", group="raw")
