"""What Airflow 3.3 needs to run on MariaDB with a driver that installs everywhere."""

import re
import sys
from typing import Any

from airflow.configuration import conf
from sqlalchemy import event
from sqlalchemy.engine import Engine

DELETE_BEHIND_WITH = re.compile(r"\s*WITH (\w+) AS \n\((.*)\)\n (DELETE FROM .*)", re.DOTALL)


def mend() -> None:
    """Stand in for the driver in C, and rewrite what MariaDB cannot read; else do nothing."""
    if conf.get("database", "sql_alchemy_conn").startswith("mysql+pymysql:"):
        _stand_in_for_the_driver_in_c()
        event.listen(Engine, "before_cursor_execute", _rewritten, retval=True)


def _stand_in_for_the_driver_in_c() -> None:
    """Give Airflow PyMySQL under the name `MySQLdb`, which has no wheels and which it insists on.

    It imports that one for nothing but to say how a time is written, and then says the same of
    PyMySQL. Everything that is asked of the database goes through PyMySQL by its own name.
    """
    import pymysql.converters as converters

    converters.DateTime2literal = converters.escape_datetime
    sys.modules.setdefault("MySQLdb", sys.modules["pymysql"])
    sys.modules.setdefault("MySQLdb.converters", converters)


def _rewritten(
    connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    return without_with(statement), parameters


def without_with(statement: str) -> str:
    """Return ``with x as (…) delete … from x`` with the query where its name was.

    MariaDB reads WITH before SELECT only. The scheduler deletes so once a minute, and would die.
    """
    found = DELETE_BEHIND_WITH.fullmatch(statement)
    if found is None:
        return statement
    name, query, delete = found.groups()
    return re.sub(rf"\bFROM {name}\b", lambda _: f"FROM ({query}) AS {name}", delete)
