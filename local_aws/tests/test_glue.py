import threading

import pytest
from botocore.exceptions import ClientError

from local_aws.glue import GlueError
from local_aws.glue_expression import compile_expression

KEYS = [
    {"Name": "dt", "Type": "date"},
    {"Name": "country", "Type": "string"},
    {"Name": "n", "Type": "int"},
]


def table_input(name: str, **more) -> dict:
    return {"Name": name, "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}]}, **more}


@pytest.fixture
def partitioned(glue, database) -> dict:
    keys = [{"Name": "dt", "Type": "string"}]
    glue.create_table(DatabaseName=database, TableInput=table_input("t", PartitionKeys=keys))
    return {"DatabaseName": database, "TableName": "t"}


def add_partitions(glue, table, values) -> list:
    given = [
        {"Values": [value], "StorageDescriptor": {"Location": f"s3://b/{value}"}}
        for value in values
    ]
    return glue.batch_create_partition(**table, PartitionInputList=given)["Errors"]


def test_a_database_is_created_updated_and_deleted_with_its_tables(glue):
    glue.create_database(DatabaseInput={"Name": "Mixed_Case", "Parameters": {"a": "1"}})
    glue.create_table(DatabaseName="mixed_case", TableInput=table_input("T"))
    glue.update_database(
        Name="mixed_case", DatabaseInput={"Name": "mixed_case", "Description": "new"}
    )

    database = glue.get_database(Name="MIXED_CASE")["Database"]

    assert (database["Name"], database["Description"]) == ("mixed_case", "new")
    assert "Parameters" not in database
    glue.delete_database(Name="mixed_case")
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_database(Name="mixed_case")
    glue.create_database(DatabaseInput={"Name": "mixed_case"})
    assert glue.get_tables(DatabaseName="mixed_case")["TableList"] == []


def test_what_exists_is_not_created_twice(glue, database):
    glue.create_table(DatabaseName=database, TableInput=table_input("t"))

    with pytest.raises(glue.exceptions.AlreadyExistsException):
        glue.create_database(DatabaseInput={"Name": database})
    with pytest.raises(glue.exceptions.AlreadyExistsException):
        glue.create_table(DatabaseName=database, TableInput=table_input("T"))


def test_what_does_not_exist_is_not_found(glue, database):
    missing = glue.exceptions.EntityNotFoundException

    with pytest.raises(missing):
        glue.get_table(DatabaseName=database, Name="no")
    with pytest.raises(missing):
        glue.get_tables(DatabaseName="no_such_database")
    with pytest.raises(missing):
        glue.create_table(DatabaseName="no_such_database", TableInput=table_input("t"))
    with pytest.raises(missing):
        glue.delete_table(DatabaseName=database, Name="no")
    with pytest.raises(missing):
        glue.update_table(DatabaseName=database, TableInput=table_input("no"))
    with pytest.raises(missing):
        glue.get_partitions(DatabaseName=database, TableName="no")


def test_update_table_goes_up_one_version_and_keeps_the_former(glue, database):
    glue.create_table(DatabaseName=database, TableInput=table_input("t", Description="first"))
    glue.update_table(DatabaseName=database, TableInput=table_input("t", Description="second"))
    glue.update_table(
        DatabaseName=database, TableInput=table_input("t", Description="third"), SkipArchive=True
    )

    versions = glue.get_table_versions(DatabaseName=database, TableName="t")["TableVersions"]

    assert [(v["VersionId"], v["Table"]["Description"]) for v in versions] == [
        ("2", "third"),
        ("0", "first"),
    ]


def test_a_former_version_can_be_deleted_and_the_present_one_cannot(glue, database):
    glue.create_table(DatabaseName=database, TableInput=table_input("t"))
    for _ in range(3):
        glue.update_table(DatabaseName=database, TableInput=table_input("t"))

    glue.delete_table_version(DatabaseName=database, TableName="t", VersionId="0")
    errors = glue.batch_delete_table_version(
        DatabaseName=database, TableName="t", VersionIds=["1", "3", "9"]
    )["Errors"]

    versions = glue.get_table_versions(DatabaseName=database, TableName="t")["TableVersions"]
    assert [version["VersionId"] for version in versions] == ["3", "2"]
    assert [(error["VersionId"], error["ErrorDetail"]["ErrorCode"]) for error in errors] == [
        ("3", "InvalidInputException"),
        ("9", "EntityNotFoundException"),
    ]


def test_of_sixteen_updates_of_one_version_one_succeeds(glue, database):
    glue.create_table(DatabaseName=database, TableInput=table_input("t"))
    version = glue.get_table(DatabaseName=database, Name="t")["Table"]["VersionId"]
    barrier, outcomes = threading.Barrier(16), []

    def update(number: int) -> None:
        barrier.wait()
        try:
            glue.update_table(
                DatabaseName=database,
                TableInput=table_input("t", Description=str(number)),
                VersionId=version,
            )
            outcomes.append(str(number))
        except glue.exceptions.ConcurrentModificationException:
            outcomes.append(None)

    threads = [threading.Thread(target=update, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winners = [outcome for outcome in outcomes if outcome is not None]
    assert (len(winners), len(outcomes)) == (1, 16)
    table = glue.get_table(DatabaseName=database, Name="t")["Table"]
    assert (table["Description"], table["VersionId"]) == (winners[0], "1")


def test_get_tables_pages_and_filters_by_expression(glue, database):
    names = sorted(f"{kind}_{number:03d}" for kind in ("fct", "dim") for number in range(120))
    for name in names:
        glue.create_table(DatabaseName=database, TableInput=table_input(name))
    pages = glue.get_paginator("get_tables")

    listed = [
        table["Name"]
        for page in pages.paginate(DatabaseName=database)
        for table in page["TableList"]
    ]

    assert listed == names
    for expression, expected in [("fct*", 120), ("fct_.*", 120), (".*_00[12]", 4), ("fct", 0)]:
        found = pages.paginate(DatabaseName=database, Expression=expression)
        assert sum(len(page["TableList"]) for page in found) == expected, expression


def test_batch_delete_table_reports_what_was_not_there(glue, database):
    glue.create_table(DatabaseName=database, TableInput=table_input("t"))

    errors = glue.batch_delete_table(DatabaseName=database, TablesToDelete=["t", "no"])["Errors"]

    assert [error["TableName"] for error in errors] == ["no"]
    assert glue.get_tables(DatabaseName=database)["TableList"] == []


def test_a_batch_of_partitions_reports_each_that_failed_and_makes_the_others(glue, partitioned):
    add_partitions(glue, partitioned, ["a"])

    errors = add_partitions(glue, partitioned, ["a", "b"])

    assert [(e["PartitionValues"], e["ErrorDetail"]["ErrorCode"]) for e in errors] == [
        (["a"], "AlreadyExistsException")
    ]
    assert [p["Values"] for p in glue.get_partitions(**partitioned)["Partitions"]] == [["a"], ["b"]]


def test_partitions_page_and_filter(glue, partitioned):
    values = [f"2026-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 29)]
    for start in range(0, len(values), 100):
        assert add_partitions(glue, partitioned, values[start : start + 100]) == []
    pages = glue.get_paginator("get_partitions")

    found = pages.paginate(
        **partitioned, Expression="dt > '2026-02-27'", PaginationConfig={"PageSize": 50}
    )

    listed = [partition["Values"][0] for page in found for partition in page["Partitions"]]
    assert listed == [value for value in values if value > "2026-02-27"]


def test_deleting_while_paging_misses_no_partition(glue, partitioned):
    values = [f"{number:03d}" for number in range(90)]
    add_partitions(glue, partitioned, values)
    pages = glue.get_paginator("get_partitions")

    deleted = []
    for page in pages.paginate(**partitioned, PaginationConfig={"PageSize": 20}):
        for partition in page["Partitions"]:
            glue.delete_partition(**partitioned, PartitionValues=partition["Values"])
            deleted += partition["Values"]

    assert deleted == values
    assert glue.get_partitions(**partitioned)["Partitions"] == []


def test_partitions_are_read_updated_and_deleted(glue, partitioned):
    add_partitions(glue, partitioned, ["a", "b", "c"])
    glue.update_partition(
        **partitioned,
        PartitionValueList=["a"],
        PartitionInput={"Values": ["z"], "StorageDescriptor": {"Location": "s3://b/z"}},
    )

    got = glue.batch_get_partition(
        **partitioned, PartitionsToGet=[{"Values": ["z"]}, {"Values": ["a"]}]
    )
    errors = glue.batch_delete_partition(
        **partitioned, PartitionsToDelete=[{"Values": ["b"]}, {"Values": ["no"]}]
    )["Errors"]

    assert [p["StorageDescriptor"]["Location"] for p in got["Partitions"]] == ["s3://b/z"]
    assert [error["PartitionValues"] for error in errors] == [["no"]]
    remaining = [p["Values"][0] for p in glue.get_partitions(**partitioned)["Partitions"]]
    assert remaining == ["c", "z"]
    with pytest.raises(glue.exceptions.AlreadyExistsException):
        glue.update_partition(
            **partitioned, PartitionValueList=["c"], PartitionInput={"Values": ["z"]}
        )


def test_segments_share_the_partitions_out_exactly_once(glue, partitioned):
    values = [f"{number:02d}" for number in range(50)]
    add_partitions(glue, partitioned, values)

    seen = []
    for number in range(4):
        segment = {"SegmentNumber": number, "TotalSegments": 4}
        page = glue.get_partitions(**partitioned, Segment=segment)
        seen += [partition["Values"][0] for partition in page["Partitions"]]

    assert sorted(seen) == values


def test_a_partition_with_the_wrong_number_of_values_is_refused(glue, partitioned):
    with pytest.raises(glue.exceptions.InvalidInputException, match="partition keys"):
        glue.create_partition(**partitioned, PartitionInput={"Values": ["a", "b"]})


def test_a_filter_that_is_not_understood_is_refused(glue, partitioned):
    add_partitions(glue, partitioned, ["a"])

    with pytest.raises(glue.exceptions.InvalidInputException):
        glue.get_partitions(**partitioned, Expression="lower(dt) = 'a'")


def test_an_action_that_is_missing_is_refused_by_name(glue):
    with pytest.raises(ClientError, match="local_aws does not implement Glue's GetCrawlers"):
        glue.get_crawlers()


def test_another_catalogue_is_not_answered_from_this_one(glue, database):
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_table(CatalogId="123456789012:s3tablescatalog/b", DatabaseName=database, Name="t")


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("dt = '2026-01-02'", ["b"]),
        ("dt=DATE'2026-01-02'", ["b"]),
        ("dt > '2026-01-01' and n < 10", ["b"]),
        ("n < 10", ["a", "b"]),
        ("n = 10 or n = 9", ["b", "c"]),
        ("10 > n", ["a", "b"]),
        ("country in ('kr', 'us')", ["a", "b"]),
        ("country not in ('kr')", ["b"]),
        ("not country = 'kr'", ["b"]),
        ("country is null", ["c"]),
        ("country is not null", ["a", "b"]),
        ("country <> 'kr'", ["b"]),
        ("country != 'kr'", ["b"]),
        ("country like 'k%'", ["a"]),
        ("country like '_s'", ["b"]),
        ("country not like 'k%'", ["b"]),
        ("dt between '2026-01-02' and '2026-01-03'", ["b", "c"]),
        ("n not between 5 and 9", ["a", "c"]),
        ("(n = 1 or n = 9) and (country = 'us')", ["b"]),
        ("n = 1 or n = 9 and country = 'kr'", ["a"]),
        ("((((n = 10))))", ["c"]),
        ("(dt=DATE'2026-01-01' and n=1) or (dt=DATE'2026-01-03' and n=10)", ["a", "c"]),
        ("N = '9'", ["b"]),
        ('`n` >= 9 AND "n" <= 9', ["b"]),
        ("country = 'o''neil'", []),
    ],
)
def test_an_expression_selects_as_sql_does(expression, selected):
    partitions = {
        "a": ["2026-01-01", "kr", "1"],
        "b": ["2026-01-02", "us", "9"],
        "c": ["2026-01-03", "__HIVE_DEFAULT_PARTITION__", "10"],
    }

    selects = compile_expression(expression, KEYS)

    assert [name for name, values in partitions.items() if selects(values)] == selected


@pytest.mark.parametrize(
    "expression",
    [
        "dt =",
        "= 'x'",
        "other = 'x'",
        "dt = '2026-01-01' and",
        "dt = '2026-01-01' dt = '2026-01-02'",
        "(n = 1",
        "n = 1)",
        "n = 'one'",
        "dt = 'yesterday'",
        "country = 1",
        "country like 1",
        "n in ()",
        "n in (1, 2",
        "country = n",
        "n + 1 = 2",
        "n not = 1",
        "country = 'x' || 'y'",
        "dt = timestamp '2026-01-01 00:00:00'",
        "1 = 1",
        "true",
        "n = 1; drop",
        "country = 'unterminated",
    ],
)
def test_an_expression_that_is_not_understood_is_refused(expression):
    with pytest.raises(GlueError) as refused:
        compile_expression(expression, KEYS)

    assert refused.value.code == "InvalidInputException"
