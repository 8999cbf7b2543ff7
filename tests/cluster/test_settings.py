import stat
from pathlib import Path

import pytest

from cluster import secret_files
from cluster.settings import Cluster
from laptop.environment import Laptop


@pytest.fixture(params=["postgresql", "mysql"])
def cluster(request, tmp_path: Path) -> Cluster:
    return Cluster(Laptop(tmp_path, 1, 2, 3), request.param, 4, 5, 6)


def test_every_secret_is_in_a_file_of_its_owner_alone(cluster: Cluster):
    secret_files.ensure(cluster)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files(cluster)}
    assert set(modes.values()) == {0o600}
    assert {"admin.password", "op.password", "viewer.password", "broker.url"} <= set(modes)


def test_no_part_has_a_secret_in_its_environment(cluster: Cluster):
    secret_files.ensure(cluster)
    environment = str(cluster.shell() | cluster.laptop.daylight())

    words = {path.read_text().strip() for path in files(cluster)} - {"{}"}
    assert not [word for word in words if word in environment]


def test_airflow_reads_the_addresses_to_the_byte(cluster: Cluster):
    passwords = secret_files.ensure(cluster)

    url = (cluster.laptop.secrets / "database.url").read_text()

    assert f"airflow:{passwords['database.password']}@127.0.0.1:4/airflow" in url
    assert url == url.strip()  # an end of line would belong to the database's name


def test_a_second_start_keeps_passwords_and_what_the_user_has_added(cluster: Cluster):
    before = secret_files.ensure(cluster)
    connections = cluster.laptop.secrets / "connections.json"
    connections.write_text('{"daylight_slack": {"conn_type": "generic", "password": "x"}}')

    assert secret_files.ensure(cluster) == before

    assert '"daylight_slack"' in connections.read_text()
    assert '"daylight_metadata"' in connections.read_text()


def files(cluster: Cluster) -> list[Path]:
    return [path for path in cluster.laptop.secrets.iterdir() if path.is_file()]
