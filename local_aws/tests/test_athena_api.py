"""The Athena API as its clients use it: states, results, work groups, history, restarts."""

import os
import signal
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from local_aws.tests.athena import Athena

SLOW = (
    "select count(*) from unnest(sequence(1, 10000)) as a (x) "
    "cross join unnest(sequence(1, 10000)) as b (y) cross join unnest(sequence(1, 10000)) as c (z) "
    "where (x * y + z) % 7 = 3"
)


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


def test_execution_tells_what_ran_and_how(athena: Athena):
    execution = athena.run("select 1")

    assert execution["StatementType"] == "DML"
    assert execution["SubstatementType"] == "SELECT"
    assert execution["WorkGroup"] == "primary"
    assert execution["QueryExecutionContext"]["Database"] == athena.database
    assert execution["Status"]["CompletionDateTime"] >= execution["Status"]["SubmissionDateTime"]
    assert execution["Statistics"]["DataScannedInBytes"] == 0
    assert execution["EngineVersion"]["EffectiveEngineVersion"] == "Athena engine version 3"


def test_result_file_quotes_values_and_leaves_nulls_empty(athena: Athena, s3):
    execution = athena.run(
        "select * from (values ('a\"b', cast(null as varchar)), (U, '')) as t (x, y)".replace(
            "U", "'l1' || chr(10) || 'l2'"
        )
    )

    uri = execution["ResultConfiguration"]["OutputLocation"]
    key = uri.removeprefix(f"s3://{athena.bucket}/")
    text = s3.get_object(Bucket=athena.bucket, Key=key)["Body"].read().decode()
    assert uri == f"s3://{athena.bucket}/results/{execution['QueryExecutionId']}.csv"
    assert text == '"x","y"\n"a""b",\n"l1\nl2",""\n'
    assert s3.head_object(Bucket=athena.bucket, Key=key + ".metadata")


def test_results_come_in_pages_with_the_header_in_the_first(athena: Athena):
    query_id = athena.run("select x from unnest(sequence(1, 2500)) as t (x)")["QueryExecutionId"]

    pages = list(
        athena.client.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
    )

    values = [row["Data"][0]["VarCharValue"] for page in pages for row in page["ResultSet"]["Rows"]]
    assert [len(page["ResultSet"]["Rows"]) for page in pages] == [1000, 1000, 501]
    assert values == ["x", *map(str, range(1, 2501))]


def test_failure_has_reason_category_and_type(athena: Athena):
    execution = athena.wait(athena.start("select * from nowhere"))

    error = execution["Status"]["AthenaError"]
    assert execution["Status"]["State"] == "FAILED"
    assert error["ErrorMessage"] == execution["Status"]["StateChangeReason"]
    assert error["ErrorCategory"] == 2
    with pytest.raises(ClientError, match="Final query state: FAILED"):
        athena.results(execution["QueryExecutionId"])


def test_stop_stops_a_running_query(athena: Athena):
    query_id = athena.start(SLOW)
    while (
        athena.client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"][
            "State"
        ]
        == "QUEUED"
    ):
        time.sleep(0.01)
    time.sleep(0.2)

    athena.client.stop_query_execution(QueryExecutionId=query_id)
    began = time.monotonic()
    execution = athena.wait(query_id)

    assert execution["Status"]["State"] == "CANCELLED"
    assert time.monotonic() - began < 30  # and not the hours that it would take


def test_queries_beyond_the_workers_wait_and_can_be_stopped(athena: Athena):
    ids = [athena.start(SLOW) for _ in range(6)]
    time.sleep(0.3)
    found = athena.client.batch_get_query_execution(QueryExecutionIds=[*ids, "nonsense"])
    states = [q["Status"]["State"] for q in found["QueryExecutions"]]
    for query_id in ids:
        athena.client.stop_query_execution(QueryExecutionId=query_id)
    ends = [athena.wait(query_id)["Status"]["State"] for query_id in ids]

    assert "QUEUED" in states
    assert "RUNNING" in states
    assert ends == ["CANCELLED"] * 6
    assert [u["QueryExecutionId"] for u in found["UnprocessedQueryExecutionIds"]] == ["nonsense"]


def test_the_same_token_gives_the_same_execution(athena: Athena):
    token = uuid.uuid4().hex
    first = athena.start("select 1", ClientRequestToken=token)

    again = athena.start("select 1", ClientRequestToken=token)

    assert again == first
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        athena.start("select 2", ClientRequestToken=token)


def test_a_query_needs_a_place_for_its_result(athena: Athena):
    with pytest.raises(ClientError, match="No output location provided"):
        athena.client.start_query_execution(QueryString="select 1")


def test_the_manifest_lists_the_files_that_a_statement_wrote(athena: Athena, s3):
    created = athena.run(
        f"create table m with (external_location='s3://{athena.bucket}/m/', "
        "partitioned_by=array['p']) as select 1 as a, x as p from unnest(sequence(1, 3)) as t (x)"
    )
    inserted = athena.run("insert into m values (5, 1)")

    def listed(execution: dict) -> list[str]:
        uri = execution["Statistics"]["DataManifestLocation"]
        assert uri.endswith(f"{execution['QueryExecutionId']}-manifest.csv")
        key = uri.removeprefix(f"s3://{athena.bucket}/")
        return s3.get_object(Bucket=athena.bucket, Key=key)["Body"].read().decode().splitlines()

    there = {f"s3://{athena.bucket}/{found['Key']}" for found in
             s3.list_objects_v2(Bucket=athena.bucket, Prefix="m/")["Contents"]}  # fmt: skip
    assert len(listed(created)) == 3
    assert {*listed(created), *listed(inserted)} == there
    assert "DataManifestLocation" not in athena.run("select 1")["Statistics"]


def test_runtime_statistics_count_what_went_in_and_came_out(athena: Athena):
    athena.run("create table r as select x from unnest(sequence(1, 1000)) as t (x)")
    execution = athena.run("select x from r where x > 990")

    statistics = athena.client.get_query_runtime_statistics(
        QueryExecutionId=execution["QueryExecutionId"]
    )["QueryRuntimeStatistics"]

    assert statistics["Rows"]["OutputRows"] == 10
    assert statistics["Rows"]["OutputBytes"] == len('"x"\n') + 9 * len('"991"\n') + len('"1000"\n')
    assert statistics["Rows"]["InputBytes"] == execution["Statistics"]["DataScannedInBytes"] > 0
    assert statistics["Timeline"]["TotalExecutionTimeInMillis"] >= 0


def test_managed_results_are_kept_for_a_day_and_not_with_a_location(athena: Athena):
    managed = {"ManagedQueryResultsConfiguration": {"Enabled": True}}
    place = {"ResultConfiguration": {"OutputLocation": f"s3://{athena.bucket}/x/"}}
    name = f"wg-{os.urandom(4).hex()}"
    athena.client.create_work_group(Name=name, Configuration=managed)

    query_id = athena.client.start_query_execution(QueryString="select 1 as a", WorkGroup=name)
    execution = athena.wait(query_id["QueryExecutionId"])

    assert execution["ManagedQueryResultsConfiguration"] == {"Enabled": True}
    assert "OutputLocation" not in execution.get("ResultConfiguration", {})
    assert athena.results(execution["QueryExecutionId"])["Rows"][1]["Data"] == [
        {"VarCharValue": "1"}
    ]
    with pytest.raises(ClientError, match="cannot have both"):
        athena.client.create_work_group(Name=f"{name}-b", Configuration={**managed, **place})


def test_a_work_group_can_enforce_its_result_location(athena: Athena):
    name = f"wg-{os.urandom(4).hex()}"
    place = f"s3://{athena.bucket}/group/"
    athena.client.create_work_group(
        Name=name,
        Configuration={
            "EnforceWorkGroupConfiguration": True,
            "ResultConfiguration": {"OutputLocation": place},
        },
    )

    execution = athena.run("select 1", WorkGroup=name)
    listed = athena.client.list_query_executions(WorkGroup=name)["QueryExecutionIds"]
    athena.client.delete_work_group(WorkGroup=name)

    assert execution["ResultConfiguration"]["OutputLocation"].startswith(place)
    assert listed == [execution["QueryExecutionId"]]
    with pytest.raises(ClientError, match="is not found"):
        athena.run("select 1", WorkGroup=name)


def test_a_disabled_work_group_takes_no_query(athena: Athena):
    name = f"wg-{os.urandom(4).hex()}"
    athena.client.create_work_group(Name=name)
    athena.client.update_work_group(WorkGroup=name, State="DISABLED")

    with pytest.raises(ClientError, match="is disabled"):
        athena.start("select 1", WorkGroup=name)
    athena.client.update_work_group(WorkGroup=name, State="ENABLED")

    assert athena.value("select 1", WorkGroup=name) == "1"


def test_parameters_are_literals_not_text(athena: Athena):
    value = athena.rows(
        "select ? + 1, ?, ? is null", ExecutionParameters=["41", "'it''s; drop'", "null"]
    )

    assert value == [("42", "it's; drop", "true")]
    with pytest.raises(AssertionError, match="did not"):
        athena.failure("select ?", ExecutionParameters=["1"])
    assert athena.failure("select ?, ?", ExecutionParameters=["1"]).startswith("INVALID_PARAMETER")


def test_prepared_statements(athena: Athena):
    athena.run("prepare p1 from select x from (values 1, 2, 3) as t (x) where x >= ? order by x")

    rows = athena.rows("execute p1 using 2")
    athena.client.create_prepared_statement(
        StatementName="p2", WorkGroup="primary", QueryStatement="select ? || 'b'"
    )
    other = athena.value("execute p2 using 'a'")
    athena.run("deallocate prepare p1")

    assert rows == [("2",), ("3",)]
    assert other == "ab"
    assert athena.failure("execute p1 using 2") == "NOT_FOUND: Prepared statement not found: p1"


def test_ddl_results_are_text_without_a_header(athena: Athena, s3):
    athena.run("create table t as select 1 as a")
    execution = athena.run("show tables")

    found = athena.results(execution["QueryExecutionId"])
    assert execution["ResultConfiguration"]["OutputLocation"].endswith(".txt")
    assert execution["StatementType"] == "UTILITY"
    assert [row["Data"] for row in found["Rows"]] == [[{"VarCharValue": "t"}]]


def test_metadata_calls_describe_catalogue_database_and_tables(athena: Athena):
    athena.run(
        f"create external table e (a int comment 'first') partitioned by (dt string) "
        f"stored as parquet location 's3://{athena.bucket}/e/'"
    )
    where = {"CatalogName": "AwsDataCatalog", "DatabaseName": athena.database}

    table = athena.client.get_table_metadata(**where, TableName="e")["TableMetadata"]
    tables = athena.client.list_table_metadata(**where)["TableMetadataList"]
    catalog = athena.client.get_data_catalog(Name="AwsDataCatalog")["DataCatalog"]

    assert table["Columns"] == [{"Name": "a", "Type": "int", "Comment": "first"}]
    assert table["PartitionKeys"] == [{"Name": "dt", "Type": "string"}]
    assert [t["Name"] for t in tables] == ["e"]
    assert catalog["Type"] == "GLUE"
    assert athena.client.get_database(**where)["Database"]["Name"] == athena.database
    with pytest.raises(ClientError, match="not found") as error:
        athena.client.get_table_metadata(**where, TableName="nope")
    assert error.value.response["Error"]["Code"] == "MetadataException"


def test_history_and_results_survive_a_kill(start_server):
    server = start_server("data")
    server.client("s3").create_bucket(Bucket="kill")
    server.client("glue").create_database(DatabaseInput={"Name": "d"})
    athena = Athena(server, "kill", "d")
    done = athena.run("select 'x' as a, cast(null as varchar) as b")["QueryExecutionId"]
    athena.run("create table t as select 5 as v")
    running = athena.start(SLOW)
    time.sleep(0.5)
    server.stop(signal.SIGKILL)

    athena = Athena(start_server("data"), "kill", "d")

    rows = [[c.get("VarCharValue") for c in r["Data"]] for r in athena.results(done)["Rows"]]
    assert rows == [["a", "b"], ["x", None]]
    assert athena.value("select v from t") == "5"
    assert athena.wait(running)["Status"]["State"] == "FAILED"
    assert done in athena.client.list_query_executions()["QueryExecutionIds"]


def test_a_clean_stop_does_not_wait_for_a_long_query(start_server):
    server = start_server("data")
    server.client("s3").create_bucket(Bucket="stop")
    athena = Athena(server, "stop", "default")
    athena.start(SLOW)
    time.sleep(0.3)

    code, _ = server.stop(signal.SIGTERM)  # which waits 20 seconds, and the query takes hours

    assert code == 0
