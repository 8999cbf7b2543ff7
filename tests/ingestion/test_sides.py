"""Publications in every order, stopped after every call: what a reader's query means, each time."""

import random
import re

import pytest

from ingestion import sides
from ingestion.athena_views import body_of, columns_of, packed, sql_of

NAMES = sides.Names("w")


class Glue:
    """Tables by schema and name, each with the version that Glue counts."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict]] = {
            schema: {} for schema in ("w", "w_build", "w_a", "w_b")
        }
        self.version = 0

    def put(self, schema: str, table: dict) -> None:
        self.version += 1
        self.tables[schema][table["Name"]] = table | {"VersionId": str(self.version)}

    def found(self) -> sides.Catalogue:
        both = {side: dict(self.tables[f"w_{side}"]) for side in sides.SIDES}
        return sides.Catalogue(dict(self.tables["w_build"]), both, dict(self.tables["w"]))

    def make(self, call: sides.Call) -> None:
        there = self.tables[call.database].get(call.name)
        if call.kind == "delete":
            del self.tables[call.database][call.name]
            return
        assert (there is None) == (call.kind == "create"), f"{call.kind} {call.name}"
        assert call.version in (None, there and there["VersionId"]), "it was changed meanwhile"
        self.put(call.database, call.definition)


def table(name: str, publication: int, *columns: str) -> dict:
    """Return an Iceberg table whose rows are those of one publication."""
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"table_type": "ICEBERG", "metadata_location": f"s3://x/{publication}"},
        "StorageDescriptor": {
            "Location": f"s3://x/{name}",
            "Columns": [{"Name": c, "Type": "bigint"} for c in columns],
        },
    }


def view(name: str, over: str, *columns: str) -> dict:
    body = {
        "originalSql": f'select * from "awsdatacatalog"."w_build"."{over}"',
        "schema": "w_build",
        "columns": [{"name": c, "type": "bigint"} for c in columns],
    }
    return {
        "Name": name,
        "TableType": "VIRTUAL_VIEW",
        "Parameters": {"presto_view": "true"},
        "ViewOriginalText": packed(body),
        "StorageDescriptor": {"Location": "", "Columns": []},
    }


def seen(glue: Glue, name: str) -> set[str]:
    """Return whose rows a reader sees; as Trino, look at both sides, also where nobody reads."""
    live = glue.found().live
    shown: set[str] = set()
    for branch in sql_of(glue.tables["w"][name]).split(" union all "):
        items, schema, over, side = re.fullmatch(
            r"select (.*) from \"(\w+)\".\"(\w+)\" where .* = '(\w)'", branch
        ).groups()
        there = glue.tables[schema][over]
        for item in items.split(", "):
            is_named = item.startswith('"')
            assert not is_named or item.strip('"') in columns_of(there), f"{name}: {item} is gone"
        if side == live:
            body = body_of(there)
            if body:
                below = re.search(r'"(\w+)"\."(\w+)"$', body["originalSql"])
                assert below[1] == schema, "a view looks at its own side"
                there = glue.tables[schema][below[2]]
            shown.add(sides.pointer(there))
    return shown


def publish(glue: Glue, models: set[str], stop_after: int | None = None) -> int:
    plan = sides.plan(NAMES, glue.found(), models, "2026-01-01T00:00:00Z", "run")
    for call in plan.calls[:stop_after]:
        glue.make(call)
        consistent(glue)
    return len(plan.calls)


def consistent(glue: Glue) -> None:
    """Every query means something, and all of them the rows of one publication."""
    live = glue.found().live
    if live is None:
        return
    names = [name for name, found in glue.tables["w"].items() if name != "published"]
    ours = [n for n in names if glue.tables["w"][n].get("Parameters", {}).get("daylight")]
    shown = {pointer for name in ours for pointer in seen(glue, name)}
    assert len(shown) <= 1, f"readers see a mix of {shown}"


def build(glue: Glue, publication: int, tables: dict[str, list[str]]) -> set[str]:
    """dbt builds these tables with these columns, and a view over each."""
    models = set()
    for name, columns in tables.items():
        glue.put("w_build", table(name, publication, *columns))
        glue.put("w_build", view(f"{name}_final", name, *columns))
        models |= {name, f"{name}_final"}
    return models


def test_every_kill_in_every_publication_leaves_one_moment_and_the_next_one_heals():
    dice = random.Random(7)
    glue, stops = Glue(), 0
    for publication in range(1, 120):
        kept = [name for name in ("t", "u", "v") if dice.random() < 0.8] or ["t"]
        shapes = {n: [c for c in "xyz" if dice.random() < 0.8] or ["x"] for n in kept}
        models = build(glue, publication, shapes)
        while dice.random() < 0.5:
            stops += 1
            publish(glue, models, dice.randrange(30))
        publish(glue, models)

        assert set(glue.tables["w"]) == models | {"published"}
        for name, columns in shapes.items():
            assert seen(glue, name) == {f"s3://x/{publication}"}
            assert set(columns_of(glue.tables["w"][name])) >= set(columns)
        again = sides.plan(NAMES, glue.found(), models, "2026-01-02T00:00:00Z", "again")
        assert again.switch is None
        assert again.before == [], "nothing is left to do"
    assert stops > 60


def test_a_column_that_is_new_or_gone_is_null_for_one_publication_at_most():
    glue = Glue()
    publish(glue, build(glue, 1, {"t": ["x", "old"]}))
    publish(glue, build(glue, 2, {"t": ["x", "old"]}))

    publish(glue, build(glue, 3, {"t": ["x", "new"]}))
    between = columns_of(glue.tables["w"]["t"])
    publish(glue, build(glue, 4, {"t": ["x", "new"]}))

    assert list(between) == ["x", "new", "old"]
    assert list(columns_of(glue.tables["w"]["t"])) == ["x", "new"]


def test_a_table_of_an_earlier_release_is_replaced_behind_the_switch_and_a_strangers_stays():
    glue = Glue()
    glue.put("w", table("t", 0, "x"))
    glue.put("w", table("of_somebody", 0, "x"))
    models = build(glue, 1, {"t": ["x"]})

    plan = sides.plan(NAMES, glue.found(), models, "2026-01-01T00:00:00Z", "run")
    for call in plan.calls:
        glue.make(call)

    assert [c.name for c in plan.before] == ["t", "t_final"], "the sides only"
    assert sql_of(glue.tables["w"]["t"])
    assert "of_somebody" in glue.tables["w"]


def test_whoever_was_overtaken_changes_no_side_and_switches_nothing():
    glue = Glue()
    for publication in (1, 2):
        models = build(glue, publication, {"t": ["x"]})
        publish(glue, models)
    build(glue, 3, {"t": ["x"]})
    slow = sides.plan(NAMES, glue.found(), models, "2026-01-01T00:00:00Z", "slow")
    publish(glue, models)

    for call in slow.calls:
        with pytest.raises(AssertionError, match="changed meanwhile"):
            glue.make(call)


@pytest.mark.parametrize(
    ("hive", "trino"),
    [
        ("string", "varchar"),
        ("timestamp", "timestamp(6)"),
        ("decimal(10,2)", "decimal(10,2)"),
        (
            "array<struct<low_id:bigint,at:timestamp>>",
            "array(row(low_id bigint, at timestamp(6)))",
        ),
        ("map<string,array<int>>", "map(varchar, array(integer))"),
    ],
)
def test_types_are_spelt_as_trino_spells_them_and_back(hive: str, trino: str):
    there = table("t", 1)
    there["StorageDescriptor"]["Columns"] = [{"Name": "c", "Type": hive}]

    shown = sides.readers_view(NAMES, "t", {"a": columns_of(there)})

    assert columns_of(there) == {"c": trino}
    assert shown["StorageDescriptor"]["Columns"] == [{"Name": "c", "Type": hive}]


@pytest.mark.parametrize(
    ("name", "is_temporary"),
    [
        ("fct_sessions__dbt_tmp", True),
        ("fct_sessions__dbt_tmp_0a1b2c3d_0a1b_4c3d_8e5f_0123456789ab", True),
        ("dim_users__ha", True),
        ("dim_users__bkp", True),
        ("dim_users", False),
        ("stg_access_logs__batches", False),
    ],
)
def test_what_dbt_makes_for_the_time_of_a_run_is_never_published(name: str, is_temporary: bool):
    assert sides.is_temporary(name) == is_temporary
