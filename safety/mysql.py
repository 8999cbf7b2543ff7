"""Airflow's start insists on a driver in C (`MySQLdb`) that has no wheels; ours is pure Python."""

import sys

from airflow.configuration import conf


def stand_in_for_c_driver() -> None:
    """Give Airflow PyMySQL under the other's name, if its database is reached by PyMySQL.

    Airflow 3.3 imports it for nothing but to say how a time is written, and then says the same of
    PyMySQL. Everything that is asked of the database goes through PyMySQL by its own name.
    """
    if conf.get("database", "sql_alchemy_conn").startswith("mysql+pymysql:"):
        import pymysql.converters as converters

        converters.DateTime2literal = converters.escape_datetime
        sys.modules.setdefault("MySQLdb", sys.modules["pymysql"])
        sys.modules.setdefault("MySQLdb.converters", converters)
