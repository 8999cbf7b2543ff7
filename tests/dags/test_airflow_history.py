"""What is deleted of Airflow's own past, and how its database's address travels."""

import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from ingestion import Settings
from ingestion.lake import Lake

ADDRESS = "postgresql://airflow:canary@db/airflow"


@pytest.fixture
def history(dags, monkeypatch):
    """The module, with an airflow command that writes down how it was called."""
    import _airflow_history

    return _airflow_history


@pytest.fixture
def command(history, monkeypatch, tmp_path) -> Path:
    """An airflow that says its arguments and the address, and ends with what is in `code`."""
    command = tmp_path / "airflow"
    command.write_text(
        "#!/bin/sh\n"
        f'echo "$@" > {tmp_path}/words; echo "$AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" > '
        f'{tmp_path}/address\necho "cannot reach $AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"\n'
        f"exit $(cat {tmp_path}/code)\n"
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "code").write_text("0")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(
        history, "Connection", SimpleNamespace(get=lambda _: SimpleNamespace(password=ADDRESS))
    )
    return command


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a line\n")
    at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))
    os.utime(path.parent, (at, at))
    return path


def test_old_logs_go_with_their_folders_and_what_is_being_written_stays(
    history, monkeypatch, tmp_path, make_settings
):
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    settings = make_settings()
    monkeypatch.setattr(Settings, "from_env", lambda: settings)
    old = aged(tmp_path / "dag_id=a" / "run_id=1" / "attempt=1.log", 31)
    new = aged(tmp_path / "dag_id=a" / "run_id=2" / "attempt=1.log", 29)
    outside = aged(tmp_path.parent / "elsewhere" / "kept.log", 400)
    (tmp_path / "latest").symlink_to(outside.parent)

    assert history.clear_logs(30) == 1

    assert not old.parent.exists()
    assert new.exists()
    assert outside.exists()
    assert history.clear_logs(30) == 0


def test_remote_logs_in_the_lakes_bucket_go_and_nothing_beside_them(
    history, monkeypatch, tmp_path, lake_settings
):
    bucket = lake_settings.lake_bucket
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER", f"s3://{bucket}/airflow-logs")
    monkeypatch.setattr(Settings, "from_env", lambda: lake_settings)
    lake = Lake(lake_settings)
    lake.ensure_bucket()
    for key in ("airflow-logs/a/1.log", "airflow-logs-of-others/1.log", "log/1.json"):
        lake.put(key, b"x")

    assert history.clear_logs(1) == 0
    assert history.clear_logs(-1) == 1  # as if it were two days later

    assert list(lake.keys("")) == ["airflow-logs-of-others/1.log", "log/1.json"]


def test_the_address_of_the_database_is_on_no_command_line_and_in_no_message(
    history, command, tmp_path
):
    assert history.clear_metadata(30)

    words = (tmp_path / "words").read_text()
    assert "canary" not in words
    assert "db clean --yes --skip-archive" in words
    assert "dag_run" in words
    assert (tmp_path / "address").read_text().strip() == ADDRESS

    (tmp_path / "code").write_text("1")
    with pytest.raises(AirflowFailException, match="cannot reach …") as caught:
        history.clear_metadata(30)
    assert "canary" not in str(caught.value)


def test_without_an_address_nothing_is_cleaned(history, command, monkeypatch, tmp_path):
    def nobody(conn_id: str) -> None:
        raise AirflowNotFoundException(conn_id)

    monkeypatch.setattr(history, "Connection", SimpleNamespace(get=nobody))

    assert not history.clear_metadata(30)
    assert not (tmp_path / "words").exists()
