"""A real web server's access log, through the encrypted API to the metrics; judged by awk."""

import re
import subprocess
from collections.abc import Iterator

import pytest

import expectations
import ingestion
from ingestion import Settings
from tests import real_log
from tests.warehouses import Warehouse, assert_same_rows, use_lake

LOG = real_log.LOG

pytestmark = pytest.mark.skipif(not LOG.exists(), reason="the real log is not part of the project")


@pytest.fixture(scope="module")
def replay_settings(local_aws, tmp_path_factory) -> Iterator[Settings]:
    with real_log.served(tmp_path_factory.mktemp("replay"), "replay", local_aws) as settings:
        yield settings


@pytest.fixture(scope="module")
def warehouse(replay_settings, tmp_path_factory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("dbt")
    url = replay_settings.aws_endpoint_url
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_lake(monkeypatch, url, "replay", folder, metric_zone="UTC", source_zone="UTC")
        yield Warehouse("replay", "replay")


@pytest.fixture(scope="module")
def loaded(replay_settings, warehouse) -> dict[str, int]:
    manifests = ingestion.land_api(replay_settings)
    for manifest in manifests:
        expectations.check_batch(replay_settings, manifest)
    sums = ingestion.publish(replay_settings, manifests)
    warehouse.dbt("build", "--exclude-resource-type", "unit_test")
    return sums


def awk(program: str, *then: list[str]) -> dict[str, int]:
    """Run a one-line awk over the log; its output is one `day count` per line."""
    lines = subprocess.run(["awk", program, LOG], capture_output=True, check=True).stdout
    for command in then:
        lines = subprocess.run(command, input=lines, capture_output=True, check=True).stdout
    counts = (line.split() for line in lines.decode().splitlines())
    return {re.sub(r"(..)/May/(....)", r"\2-05-\1", day): int(count) for day, count in counts}


@pytest.fixture(scope="module")
def query(loaded, warehouse):
    return warehouse.query


def test_every_line_of_the_log_is_published_once(loaded, query):
    rows = query("select count(*), count(distinct record_id) from replay_raw.access_logs")

    assert (loaded["offered"], loaded["good"], loaded["quarantined"]) == (10_000, 10_000, 0)
    assert rows == [(10_000, 10_000)]


def test_lines_per_day_are_those_that_awk_counts(query):
    rows = query("select dt, count(*) from replay_raw.access_logs group by dt")

    counted = awk("{ n[substr($4, 2, 11)]++ } END { for (d in n) print d, n[d] }")
    assert dict(rows) == counted
    assert sorted(counted.values()) == sorted([1_632, 2_893, 2_896, 2_579])


def test_users_are_the_distinct_client_addresses(query):
    rows = query("select count(distinct user_id) from replay_raw.access_logs")

    assert rows == [(1_753,)]


def test_dau_is_what_a_one_line_awk_counts(query):
    rows = query("select cast(metric_date as varchar), dau from replay.metrics_daily_active")

    counted = awk(
        "$9 < 500 { d = substr($4, 2, 11); if (!s[d, $1]++) n[d]++ } "
        "END { for (d in n) print d, n[d] }"
    )
    assert len(counted) == 4
    assert dict(rows) == counted


def test_requests_and_errors_per_hour_are_those_that_awk_counts(query):
    rows = query(
        "select cast(metric_date as varchar) || ':' || lpad(cast(hour as varchar), 2, '0'), "
        "sum(request_count), sum(error_count) from replay.metrics_endpoint_hourly group by 1"
    )

    requests = awk("{ n[substr($4, 2, 14)]++ } END { for (h in n) print h, n[h] }")
    errors = awk("$9 >= 500 { n[substr($4, 2, 14)]++ } END { for (h in n) print h, n[h] }")
    assert {hour: count for hour, count, _ in rows} == requests
    assert {hour: count for hour, _, count in rows if count} == errors
    assert len(requests) > 70
    assert errors


def test_sessions_are_the_pauses_of_more_than_30_minutes_that_awk_finds(query):
    rows = query(
        "select cast(metric_date as varchar), session_count + over_cap_count "
        "from replay.metrics_daily_active inner join ("
        "select session_date, count_if(is_over_cap) as over_cap_count "
        "from replay.fct_sessions group by 1) as capped on metric_date = session_date"
    )

    counted = awk(
        '{ split(substr($4, 2), t, "[/:]"); '
        "print $1, ((t[1] * 24 + t[4]) * 60 + t[5]) * 60 + t[6], substr($4, 2, 11) }",
        ["sort", "-k1,1", "-k2,2n"],
        [
            "awk",
            "$1 != user || $2 - last > 1800 { n[$3]++ } { user = $1; last = $2 } "
            "END { for (d in n) print d, n[d] }",
        ],
    )
    assert dict(rows) == counted
    assert sum(counted.values()) > 1_753


def test_who_came_back_the_next_day_is_who_awk_sees_on_both(query):
    rows = query(
        "select cast(period_end_date as varchar), retained_user_count "
        "from replay.metrics_growth_accounting where period = 'day' and retained_user_count > 0"
    )

    counted = awk(
        "$9 < 500 { d = substr($4, 2, 2) + 0; s[d, $1] = substr($4, 2, 11) } "
        "END { for (k in s) { split(k, p, SUBSEP); if ((p[1] - 1, p[2]) in s) n[s[k]]++ } "
        "for (d in n) print d, n[d] }"
    )
    assert dict(rows) == counted
    assert len(counted) == 3


def test_loading_and_building_it_again_changes_no_number(loaded, warehouse, replay_settings):
    tables = (
        "dim_users",
        "fct_sessions",
        "fct_user_daily",
        "metrics_daily_active",
        "metrics_endpoint_daily",
        "metrics_funnel_daily",
        "metrics_retention_cohort",
    )
    before = warehouse.tables(tables)

    manifests = ingestion.land_api(replay_settings)
    warehouse.dbt("run")

    assert manifests == []
    assert_same_rows(warehouse.tables(tables), before)
