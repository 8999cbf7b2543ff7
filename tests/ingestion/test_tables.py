import pytest

from ingestion.tables import ACCESS_LOGS, PUBLISHED_BATCHES, QUERY_COSTS, TABLES, glue_input

CONTRACT = {
    "access_logs": (
        "record_id bigint, user_id binary, activity string, url string, method string, "
        "log_name string, level_name string, message string, occurred_at timestamp, "
        "occurred_at_text string, arrived_at timestamp, extra_fields string, "
        "key_fingerprint string, batch_seq bigint, landed_at timestamp"
    ),
    "quarantined_records": (
        "batch_seq bigint, record_id bigint, record_key string, reason string, stage string, "
        "envelope string, key_fingerprint string, arrived_date string, landed_at timestamp"
    ),
    "published_batches": (
        "seq bigint, source string, offered bigint, good bigint, quarantined bigint, "
        "duplicate bigint, landed_at string, published_at string, bytes bigint, files int, "
        "key_fingerprints array<string>, "
        "event_days array<struct<dt:string,rows:bigint,first_at:string,last_at:string>>, "
        "arrival_days array<struct<arrived_date:string,offered:bigint,good:bigint,"
        "quarantined:bigint,duplicate:bigint,conflict:bigint,replayed:bigint>>, "
        "conflict bigint, replayed bigint, supersedes array<bigint>, "
        "reasons array<struct<reason:string,quarantined:bigint,replayed:bigint>>, "
        "keys array<struct<fingerprint:string,records:bigint>>, "
        "missing array<struct<low:bigint,high:bigint>>, missing_ids bigint"
    ),
    "query_costs": (
        "query_id string, work_group string, target_schema string, node_id string, "
        "invocation_id string, statement_type string, state string, submitted_at timestamp, "
        "scanned_bytes bigint, execution_ms bigint, queue_ms bigint"
    ),
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_glue_columns_are_those_that_dbt_was_promised(table):
    columns = glue_input(table, "lake")["StorageDescriptor"]["Columns"]

    spelled = ", ".join(f"{column['Name']} {column['Type']}" for column in columns)
    assert spelled == CONTRACT[table.name], "Change ingestion/tables.py and its dbt source together"


def test_raw_days_are_projected():
    wanted = glue_input(ACCESS_LOGS, "lake")

    assert wanted["PartitionKeys"] == [{"Name": "dt", "Type": "string"}]
    assert wanted["StorageDescriptor"]["Location"] == "s3://lake/raw/access_logs/"
    assert wanted["Parameters"]["projection.dt.range"] == "2015-01-01,NOW+2DAYS"
    assert (
        wanted["Parameters"]["storage.location.template"] == "s3://lake/raw/access_logs/dt=${dt}/"
    )


def test_costs_are_projected_for_a_year_and_a_month():
    wanted = glue_input(QUERY_COSTS, "lake")

    assert wanted["Parameters"]["projection.dt.range"] == "NOW-400DAYS,NOW+2DAYS"


def test_markers_are_read_as_json():
    serde = glue_input(PUBLISHED_BATCHES, "lake")["StorageDescriptor"]["SerdeInfo"]

    assert serde["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"


def test_markers_of_earlier_versions_stay_readable():
    added = PUBLISHED_BATCHES.schema.names[13:]

    assert added[0] == "conflict"
    assert all(PUBLISHED_BATCHES.schema.field(name).nullable for name in added)


def test_personal_columns_exist():
    for table in TABLES:
        assert set(table.personal_columns) <= set(table.schema.names)
