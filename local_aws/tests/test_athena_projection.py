"""Partition projection, property by property, as its documentation describes it."""

import datetime

import pytest

from local_aws.engine.errors import QueryError
from local_aws.engine.projection import projection
from local_aws.tests.athena import Athena


def fits(value: str, **options: str) -> bool:
    """Whether ``value`` is projected; ``__`` stands for a dot in the names."""
    named = {f"projection.c.{key.replace('__', '.')}": text for key, text in options.items()}
    return projection(named, "c")(value)


@pytest.mark.parametrize(
    ("options", "yes", "no"),
    [
        ({"type": " Enum ", "values": "a, b,"}, ["a", " b", ""], ["b", "A", "c"]),
        ({"type": "integer", "range": "-2, 10"}, ["-2", "0", "10"], ["-3", "11", "01", "x", "1.0"]),
        ({"type": "integer", "range": "1,500", "digits": "3"}, ["001", "500"], ["1", "0001"]),
        ({"type": "integer", "range": "1,20", "interval": "5"}, ["1", "6", "16"], ["5", "20"]),
        ({"type": "integer", "range": "-5,5", "digits": "3"}, ["-05", "005"], ["-5", "-005"]),
        ({"type": "date", "format": "yyyy-MM-dd", "range": "2024-01-30,2024-03-01"},
         ["2024-01-30", "2024-02-29", "2024-03-01"],
         ["2024-01-29", "2024-02-30", "2024-03-02", "2024-2-3", "20240203"]),
        ({"type": "date", "format": "yyyy-MM-dd", "range": "2024-01-01,2024-12-31",
          "interval": "7", "interval__unit": "DAYS"},
         ["2024-01-01", "2024-01-08", "2024-12-30"], ["2024-01-02", "2024-12-31"]),
        ({"type": "date", "format": "yyyy-MM-dd", "range": "2024-01-01,2024-12-31",
          "interval__unit": "WEEK"}, ["2024-01-08"], ["2024-01-09"]),
        ({"type": "date", "format": "yyyy-MM-dd", "range": "2024-01-31,2024-12-31",
          "interval__unit": "months"},
         ["2024-01-31", "2024-02-29", "2024-04-30"], ["2024-02-28", "2024-03-30"]),
        ({"type": "date", "format": "yyyyMM", "range": "202311,202402"},
         ["202311", "202312", "202402"], ["202310", "202313", "2024-01"]),
        ({"type": "date", "format": "yyyy", "range": "2020,2024", "interval": "2",
          "interval__unit": "YEARS"}, ["2020", "2024"], ["2021", "2026"]),
        ({"type": "date", "format": "yyyy/MM/dd/HH", "range": "2024/01/01/00,2024/01/02/00",
          "interval": "6", "interval__unit": "HOURS"},
         ["2024/01/01/00", "2024/01/01/18", "2024/01/02/00"], ["2024/01/01/05", "2024/01/02/06"]),
        ({"type": "date", "format": "yyyy-M-d'T'HH:mm", "range": "2024-1-1T00:00,2024-1-1T12:00",
          "interval": "90", "interval__unit": "minutes"},
         ["2024-1-1T01:30"], ["2024-01-01T01:30", "2024-1-1T02:00"]),
        ({"type": "injected"}, ["whatever"], []),
    ],
)  # fmt: skip
def test_values_of_each_type(options: dict, yes: list[str], no: list[str]):
    assert [value for value in yes if not fits(value, **options)] == []
    assert [value for value in no if fits(value, **options)] == []


@pytest.mark.parametrize("unit", ["DAYS", "WEEKS", "MONTHS", "YEARS"])
def test_ranges_may_be_relative_to_now(unit: str):
    today = datetime.datetime.now(datetime.UTC).date()
    shown = {"type": "date", "format": "yyyy-MM-dd", "range": f" NOW - 2 {unit} , NOW+1DAYS"}
    longest = {"DAYS": 2, "WEEKS": 14, "MONTHS": 62, "YEARS": 732}[unit]

    assert fits(str(today), **shown)
    assert fits(str(today + datetime.timedelta(days=1)), **shown)
    assert not fits(str(today + datetime.timedelta(days=3)), **shown)
    assert not fits(str(today - datetime.timedelta(days=longest + 1)), **shown)
    if unit in ("DAYS", "WEEKS"):
        assert fits(str(today - datetime.timedelta(days=longest)), **shown)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"type": "list"},
        {"type": "enum"},
        {"type": "integer"},
        {"type": "integer", "range": "1"},
        {"type": "integer", "range": "a,b"},
        {"type": "integer", "range": "1,9", "digits": "0"},
        {"type": "integer", "range": "1,9", "interval": "-1"},
        {"type": "date", "range": "2024-01-01,NOW"},
        {"type": "date", "format": "yyyy-MM-dd"},
        {"type": "date", "format": "yyyy-MM-dd", "range": "2024-01-01"},
        {"type": "date", "format": "yyyy-MM-dd", "range": "20240101,NOW"},
        {"type": "date", "format": "yyyy-MM-dd", "range": "2024-01-01,NOW+1"},
        {"type": "date", "format": "yyyy-MM-dd", "range": "2024-01-01,NOW", "interval__unit": "x"},
        {"type": "date", "format": "yyyy-MM-dd HH", "range": "2024-01-01 00,NOW"},
        {"type": "date", "format": "yyyy", "range": "2024,NOW"},
    ],
)
def test_properties_that_are_wrong(options: dict):
    with pytest.raises(QueryError, match=r"projection\.c\.") as error:
        fits("1", **options)

    assert error.value.name == "INVALID_TABLE_PROPERTY"


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


def test_several_columns_in_one_template(athena: Athena, s3):
    for place in ("eu/2024-01-01/07", "eu/2024-01-02/07", "us/2024-01-01/08", "cn/2024-01-01/07"):
        s3.put_object(Bucket=athena.bucket, Key=f"x/{place}/1.json", Body=b'{"n": 1}')
    athena.run(
        "create external table p (n int) partitioned by (dt string, region string, hour int) "
        "row format serde 'org.openx.data.jsonserde.JsonSerDe' "
        f"location 's3://{athena.bucket}/x/' tblproperties ('projection.enabled'='TRUE', "
        "'projection.dt.type'='date', 'projection.dt.format'='yyyy-MM-dd', "
        "'projection.dt.range'='2024-01-01,NOW', 'projection.region.type'='enum', "
        "'projection.region.values'='eu,us', 'projection.hour.type'='integer', "
        "'projection.hour.range'='0,23', 'projection.hour.digits'='2', "
        f"'storage.location.template'='s3://{athena.bucket}/x/${{region}}/${{dt}}/${{hour}}')"
    )

    rows = athena.rows("select region, dt, hour, n from p where hour < 8 order by 2")
    listed = athena.rows('select * from "p$partitions" order by 1, 2')

    assert rows == [("eu", "2024-01-01", "7", "1"), ("eu", "2024-01-02", "7", "1")]
    assert listed == [
        ("2024-01-01", "eu", "7"), ("2024-01-01", "us", "8"), ("2024-01-02", "eu", "7"),
    ]  # fmt: skip
    athena.run(
        f"alter table p set tblproperties ('storage.location.template'='s3://{athena.bucket}/x/')"
    )
    assert "template lacks ${dt}" in athena.failure("select * from p")
