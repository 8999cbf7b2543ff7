import re
import stat
from datetime import UTC, datetime
from pathlib import Path

from laptop import cluster_env

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_file_is_private_and_a_second_call_changes_nothing(tmp_path, capsys):
    path = tmp_path / ".env"
    cluster_env.main(path)
    first = path.read_text()

    cluster_env.main(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == first
    assert not [line for line in capsys.readouterr().out.split("\n") if "SECRET" in line]


def test_it_has_every_variable_that_the_compose_file_demands():
    compose = (REPOSITORY / "docker-compose.yaml").read_text()
    demanded = set(re.findall(r"\$\{(\w+):\?", compose))

    written = cluster_env.variables(datetime(2026, 3, 1, 16, tzinfo=UTC))

    assert len(demanded) >= 8
    assert demanded <= set(written)
    assert written["SIMULATOR_START"] == "2026-01-26"  # in Seoul it is 2 March already
