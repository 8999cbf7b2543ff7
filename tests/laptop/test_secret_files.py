import stat

from laptop import secret_files


def test_ensure_makes_every_secret_readable_by_its_owner_alone(tmp_path):
    folder = tmp_path / "secrets"

    secret_files.ensure(folder)

    made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(made) == set(secret_files.GENERATORS)
    assert set(made.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_ensure_never_changes_a_secret_that_is_there(tmp_path):
    secret_files.ensure(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "pseudonym.key").unlink()

    secret_files.ensure(tmp_path)

    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"pseudonym.key"}


def test_two_machines_get_different_secrets(tmp_path):
    for name in ("one", "two"):
        secret_files.ensure(tmp_path / name)

    for name in secret_files.GENERATORS:
        one, two = (tmp_path / folder / name for folder in ("one", "two"))
        assert one.read_text() != two.read_text()
