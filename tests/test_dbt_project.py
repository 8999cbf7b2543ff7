"""What must be true of every model as it is written, read from dbt's own manifest."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

from ingestion import tables
from ingestion.reasons import Reason, Stage

PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"

# layer: the layers it may read; only staging reads the source
MAY_READ = {
    "staging": {"source", "staging"},
    "intermediate": {"staging", "intermediate"},
    "marts": {"staging", "intermediate", "marts"},
    "metrics": {"staging", "intermediate", "marts", "metrics"},
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("dbt")
    folders = ["--project-dir", PROJECT, "--profiles-dir", PROJECT, "--target-path", target]
    folders += ["--log-path", target]
    result = dbtRunner().invoke(["parse", "--quiet", *map(str, folders)])
    assert result.success, result.exception
    manifest: dict[str, Any] = json.loads((target / "manifest.json").read_text())
    return manifest


def of_type(manifest: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == kind]


def columns_selected(model: dict[str, Any]) -> list[str]:
    """Return the columns of the last select with a list; its CTE is the one returned at the end."""
    last = re.findall(r"\n    select\n(.*?)\n\n    from", model["raw_code"], re.DOTALL)[-1]
    last = re.sub(r"\{#.*?#\}|--[^\n]*|'[^']*'", "", last, flags=re.DOTALL)
    depth, expression, expressions = 0, "", []
    for character in last.replace("distinct", "", 1):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            expressions.append(expression)
            expression = ""
        else:
            expression += character
    return [re.split(r"[\s.]+", text.strip())[-1] for text in [*expressions, expression]]


def test_every_model_says_its_grain_key_and_owner_and_what_each_column_means(manifest):
    wrong = []
    for model in of_type(manifest, "model"):
        if not model["description"].startswith("One row per"):
            wrong.append(f"{model['name']}: begin its description with 'One row per …'")
        wrong += [
            f"{model['name']}: say its {name} under config.meta"
            for name in ("owner", "grain", "key")
            if not model["config"]["meta"].get(name)
        ]
        wrong += [
            f"{model['name']}.{column['name']}: describe it"
            for column in model["columns"].values()
            if len(column["description"]) < 5
        ]

    assert of_type(manifest, "model")
    assert not wrong, wrong


def test_every_column_of_a_model_is_described_and_no_other(manifest):
    models = {model["name"]: model for model in of_type(manifest, "model")}
    for name, model in models.items():
        described = set(model["columns"])
        table = models[name.removesuffix("_final")]  # such a view has all columns of its table
        selected = set(columns_selected(table))

        assert described == selected, f"{name}: {described ^ selected}"


def test_every_metrics_row_says_what_it_is_worth(manifest):
    trust = ["is_final", "completeness_pct", "as_of_batch_seq", "as_of"]
    # A list of ranges, a bill, and what views and tests compute metrics from.
    are_no_metrics = {"metrics_missing_ids", "metrics_query_cost_daily"}
    metrics = [
        model
        for model in of_type(manifest, "model")
        if model["name"].startswith("metrics_") and model["name"] not in are_no_metrics
    ]

    assert len(metrics) > 10
    for model in metrics:
        assert list(model["columns"])[-4:] == trust, model["name"]


def test_a_final_view_is_its_table_without_what_may_still_move(manifest):
    models = {model["name"]: model for model in of_type(manifest, "model")}
    finals = [name for name in models if name.endswith("_final")]

    assert finals
    for name in finals:
        table = name.removesuffix("_final")
        sql = " ".join(models[name]["raw_code"].split())

        assert sql == f"select * from {{{{ ref('{table}') }}}} where is_final", name
        assert models[name]["columns"] == models[table]["columns"], name


def test_every_model_has_a_tested_key(manifest):
    tested = {
        test["attached_node"]
        for test in of_type(manifest, "test")
        if test.get("test_metadata", {}).get("name") == "is_key"
    }

    without = {model["name"] for model in of_type(manifest, "model")} - {
        unique_id.split(".")[-1] for unique_id in tested if unique_id
    }
    assert not without, f"Add an is_key test to {without}"


def test_marts_and_metrics_enforce_a_contract_with_a_type_for_each_column(manifest):
    for model in of_type(manifest, "model"):
        if model["fqn"][1] in ("marts", "metrics"):
            untyped = [c["name"] for c in model["columns"].values() if not c["data_type"]]

            assert model["config"]["contract"]["enforced"], model["name"]
            assert not untyped, f"{model['name']}: give {untyped} a data_type"


def test_every_layer_reads_only_the_layers_below_it(manifest):
    layers = {model["unique_id"]: model["fqn"][1] for model in of_type(manifest, "model")}
    wrong = [
        f"{model['name']} reads {upstream}"
        for model in of_type(manifest, "model")
        for upstream in model["depends_on"]["nodes"]
        if layers.get(upstream, "source") not in MAY_READ[layers[model["unique_id"]]]
    ]

    assert not wrong, f"Read it through a model of a lower layer: {wrong}"


def test_incremental_models_merge_so_that_a_retry_or_a_race_changes_nothing(manifest):
    for model in of_type(manifest, "model"):
        config = model["config"]
        if config["materialized"] == "incremental":
            assert config["incremental_strategy"] == "merge", model["name"]
            assert config["table_type"] == "iceberg", model["name"]
            assert config["unique_tmp_table_suffix"] is True, model["name"]
            # What may not be rebuilt has no other way to a new column.
            is_rebuilt = config["full_refresh"] is not False
            on_change = "fail" if is_rebuilt else "append_new_columns"
            assert config["on_schema_change"] == on_change, model["name"]
            assert "as_of_batch_seq" in model["columns"], model["name"]
        if config["materialized"] == "table":
            assert config["ha"] is True, f"{model['name']}: a rebuild would hide it from readers"


def test_sources_are_the_tables_that_ingestion_declares(manifest):
    declared = {
        table.name: {*table.schema.names, *([table.partition] if table.partition else [])}
        for table in tables.TABLES
    }

    described = {source["name"]: set(source["columns"]) for source in manifest["sources"].values()}

    assert described == declared, "Change ingestion/tables.py and its dbt source together"


def test_known_reasons_and_stages_are_those_of_ingestion(manifest):
    accepted = {
        test["name"]: set(test["test_metadata"]["kwargs"]["values"])
        for test in of_type(manifest, "test")
        if test.get("test_metadata", {}).get("name") == "accepted_values"
    }

    assert accepted["stg_access_logs__quarantined_records_reasons_are_known"] == set(Reason)
    assert accepted["stg_access_logs__quarantined_records_stages_are_known"] == set(Stage)
