"""Airflow imports a module of this name at its start, and does not start if it refuses."""

from safety import mysql, open_mode

__all__: list[str] = []  # else Airflow would take every name here for a setting

open_mode.refuse()
mysql.mend()
