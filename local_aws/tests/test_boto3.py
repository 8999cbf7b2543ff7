"""boto3's own paginators and waiters over every service."""

import threading

import pytest
from botocore.exceptions import ClientError, WaiterError

from local_aws.tests.athena import Athena


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


def everything(client, operation: str, size: int, key: str, **arguments) -> list:
    """All items of all pages, which must hold no more than asked."""
    pages = list(
        client.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": size})
    )
    assert max(len(page.get(key, [])) for page in pages) <= size
    assert len(pages) > 1
    return [item for page in pages for item in page.get(key, [])]


def test_paginators_of_s3(s3, bucket):
    keys = [f"folder/{number:03d}" for number in range(25)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    place = {"Bucket": bucket}
    upload = s3.create_multipart_upload(**place, Key="parts")["UploadId"]
    for number in range(1, 8):
        s3.upload_part(**place, Key="parts", UploadId=upload, PartNumber=number, Body=b"x")
    for number in range(5):
        s3.create_multipart_upload(**place, Key=f"open/{number}")

    listed = everything(s3, "list_objects_v2", 10, "Contents", **place)
    older = everything(s3, "list_objects", 10, "Contents", **place)
    parts = everything(s3, "list_parts", 3, "Parts", **place, Key="parts", UploadId=upload)
    uploads = everything(s3, "list_multipart_uploads", 2, "Uploads", **place)

    assert [found["Key"] for found in listed] == keys == [found["Key"] for found in older]
    assert [part["PartNumber"] for part in parts] == list(range(1, 8))
    assert len(uploads) == 6


def test_waiters_of_s3(s3, bucket):
    place, quick = {"Bucket": bucket, "Key": "late"}, {"Delay": 0.1, "MaxAttempts": 50}
    late = threading.Timer(0.3, lambda: s3.put_object(**place, Body=b"x"))
    late.start()

    s3.get_waiter("object_exists").wait(**place, WaiterConfig=quick)
    s3.get_waiter("bucket_exists").wait(Bucket=bucket, WaiterConfig=quick)
    threading.Timer(0.3, lambda: s3.delete_object(**place)).start()
    s3.get_waiter("object_not_exists").wait(**place, WaiterConfig=quick)
    s3.delete_bucket(Bucket=bucket)
    s3.get_waiter("bucket_not_exists").wait(Bucket=bucket, WaiterConfig=quick)

    with pytest.raises(WaiterError):
        s3.get_waiter("bucket_exists").wait(
            Bucket=bucket, WaiterConfig={"Delay": 0.01, "MaxAttempts": 2}
        )


def test_paginators_of_glue(glue, database):
    where = {"DatabaseName": database}
    for number in range(12):
        keys = [{"Name": "p", "Type": "int"}]
        glue.create_table(**where, TableInput={"Name": f"t{number:02d}", "PartitionKeys": keys})
    for number in range(6):
        glue.update_table(**where, TableInput={"Name": "t00", "Description": f"{number}"})
        glue.create_database(DatabaseInput={"Name": f"{database}_{number}"})
    values = [{"Values": [str(number)]} for number in range(9)]
    glue.batch_create_partition(**where, TableName="t01", PartitionInputList=values)

    tables = everything(glue, "get_tables", 5, "TableList", **where)
    versions = everything(glue, "get_table_versions", 3, "TableVersions", **where, TableName="t00")
    found = everything(glue, "get_partitions", 4, "Partitions", **where, TableName="t01",
                       Expression="p >= 3")  # fmt: skip
    databases = everything(glue, "get_databases", 2, "DatabaseList")

    assert [table["Name"] for table in tables] == [f"t{number:02d}" for number in range(12)]
    assert [int(version["VersionId"]) for version in versions] == list(range(6, -1, -1))
    assert sorted(each["Values"][0] for each in found) == ["3", "4", "5", "6", "7", "8"]
    assert {f"{database}_{n}" for n in range(6)} <= {each["Name"] for each in databases}


def test_paginators_of_athena(athena: Athena, glue, shared_server):
    where = {"CatalogName": "AwsDataCatalog", "DatabaseName": athena.database}
    group = athena.database.replace("_", "-")
    athena.client.create_work_group(Name=group)
    for number in range(5):
        glue.create_table(DatabaseName=athena.database, TableInput={"Name": f"t{number}"})
        glue.create_database(DatabaseInput={"Name": f"{athena.database}_{number}"})
        athena.client.create_prepared_statement(
            StatementName=f"p{number}", WorkGroup=group, QueryStatement="select 1"
        )
    ids = [athena.run(f"select {number}", WorkGroup=group)["QueryExecutionId"]
           for number in range(5)]  # fmt: skip
    rows = athena.run("select x from unnest(sequence(1, 25)) as t (x)")["QueryExecutionId"]
    client = athena.client

    listed = everything(client, "list_query_executions", 2, "QueryExecutionIds", WorkGroup=group)
    tables = everything(client, "list_table_metadata", 2, "TableMetadataList", **where)
    databases = everything(
        client, "list_databases", 2, "DatabaseList", CatalogName="AwsDataCatalog"
    )
    pages = client.get_paginator("get_query_results").paginate(
        QueryExecutionId=rows, PaginationConfig={"PageSize": 10}
    )

    assert listed == ids[::-1]
    assert [table["Name"] for table in tables] == [f"t{number}" for number in range(5)]
    assert len({each["Name"] for each in databases}) >= 6
    assert [len(page["ResultSet"]["Rows"]) for page in pages] == [10, 10, 6]
    # These two have no paginator in boto3; their tokens are followed by hand.
    for operation, key in (("list_work_groups", "WorkGroups"),
                           ("list_prepared_statements", "PreparedStatements")):  # fmt: skip
        arguments = {"WorkGroup": group} if "prepared" in operation else {}
        names, token = [], {}
        while True:
            page = getattr(client, operation)(MaxResults=2, **arguments, **token)
            assert len(page[key]) <= 2
            names += [each.get("Name") or each["StatementName"] for each in page[key]]
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        assert len(names) == len(set(names))
        assert group in names or names == [f"p{number}" for number in range(5)]


def test_a_paginator_of_secrets(shared_server, database):
    client = shared_server.client("secretsmanager")
    for number in range(5):
        client.create_secret(Name=f"{database}/{number}", SecretString="x")

    found = everything(
        client, "list_secrets", 2, "SecretList",
        Filters=[{"Key": "name", "Values": [database]}],
    )  # fmt: skip

    assert {each["Name"] for each in found} == {f"{database}/{number}" for number in range(5)}


def test_a_token_that_was_not_given_is_refused(athena: Athena, glue, s3):
    with pytest.raises(ClientError, match=r"NextToken|token"):
        athena.client.list_query_executions(NextToken="nonsense")
    with pytest.raises(ClientError, match=r"NextToken|token"):
        glue.get_databases(NextToken="nonsense")
    with pytest.raises(ClientError, match=r"token"):
        s3.list_objects_v2(Bucket=athena.bucket, ContinuationToken="nonsense")
