import sqlite3

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from safety.mysql import without_with

ASSETS = sa.table("asset", sa.column("name"), sa.column("uses"))
ACTIVE = sa.table("active", sa.column("name"))


def orphans_deleted() -> sa.Delete:
    """The scheduler's statement, in small."""
    query = sa.select(ASSETS).group_by(ASSETS.c.name).having(sa.func.sum(ASSETS.c.uses) == 0).cte()
    return sa.delete(ACTIVE).where(sa.exists().where(ACTIVE.c.name == query.c.name))


def left_by(statement: str) -> list[tuple[str]]:
    with sqlite3.connect(":memory:") as database:
        database.execute("create table asset (name, uses)")
        database.execute("create table active (name)")
        database.executemany("insert into asset values (?, ?)", [("a", 0), ("b", 1), ("c", 0)])
        database.executemany("insert into active values (?)", [("a",), ("b",), ("d",)])
        database.execute(statement)
        return database.execute("select name from active order by 1").fetchall()


def test_a_delete_behind_a_with_deletes_the_same_without_it():
    options = {"literal_binds": True}
    before = str(orphans_deleted().compile(dialect=mysql.dialect(), compile_kwargs=options))
    assert before.lstrip().startswith("WITH")

    after = without_with(before)

    assert after.startswith("DELETE FROM active")
    assert left_by(after) == left_by(before) == [("b",), ("d",)]


def test_every_other_statement_stays_as_it_is():
    for text in ("SELECT 1", "WITH x AS \n(SELECT 1)\n SELECT * FROM x", "DELETE FROM active"):
        assert without_with(text) == text
