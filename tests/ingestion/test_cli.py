import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import ingestion.__main__ as cli
from ingestion import Settings, approve
from tests.ingestion.envelopes import envelope, plaintext
from tests.ingestion.lakes import MemoryLake, write
from tests.ingestion.sources import body, page, serving


@pytest.fixture
def run(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setattr(cli, "Lake", memory_lake)

    made = make_settings()
    base = {
        "SOURCE_URL": made.source_url,
        "FERNET_KEYS_FILE": str(made.fernet_keys_file),
        "PSEUDONYM_KEY_FILE": str(made.pseudonym_key_file),
    }

    def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        for name, value in {**base, **variables}.items():
            monkeypatch.setenv(name, value)
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_land_publish_and_status(
    run: Callable, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    dump = tmp_path / "dump"
    dump.write_text("".join(json.dumps(envelope(fernet_key, n)) + "\n" for n in (1, 2, 4)))

    code, manifests, _ = run("land", str(dump))
    assert code == 0
    assert manifests.startswith("s3://memory/staging/access_logs/000000000001/")
    assert run("publish")[0] == 1  # nobody has checked it
    approve(settings, manifests.strip())
    assert json.loads(run("publish", "--json")[1])["good"] == 3
    assert run("publish", *manifests.split())[1].split()[:4] == ["batches", "1", "offered", "3"]
    stands = json.loads(run("status", "--json")[1])
    assert stands["head"] == stands["published"] == 1
    assert stands["unpublished"] == []
    assert (stands["lowest_id"], stands["highest_id"]) == (1, 4)
    assert (stands["missing_ids"], stands["missing_ranges"]) == (1, [[3, 3]])
    assert (stands["offered"], stands["good"], stands["quarantined_now"]) == (3, 3, 0)
    assert list(stands["keys"].values()) == [3]
    assert run("land", str(dump))[1] == "nothing to publish\n"


def test_land_api_takes_the_window(run: Callable, fernet_key: str):
    with serving(page([envelope(fernet_key, 1)])) as (url, _):
        code, out, _ = run("land", "--json", SOURCE_URL=url)

    assert code == 0
    assert len(json.loads(out)["manifests"]) == 1


def test_what_a_retry_may_cure_is_one_line_and_exit_75(run: Callable):
    with serving(body(b"<html>", Content_Type="text/html")) as (url, _):
        code, out, err = run("land", SOURCE_URL=url)

    assert (code, out) == (75, "")
    assert err.splitlines()[-1].startswith("error: ")


def test_what_it_may_not_is_one_line_and_exit_1(run: Callable, tmp_path: Path):
    for arguments in (
        ("land", str(tmp_path / "absent")),
        ("publish", "s3://elsewhere/manifest.json"),
        ("publish", "s3://memory/raw/manifest.json"),
        ("publish", "manifest.json"),
    ):
        code, _, err = run(*arguments)

        assert code == 1
        assert err.splitlines()[-1].startswith("error: ")


def test_missing_variables_are_named(run: Callable):
    code, _, err = run("status", SOURCE_URL="", FERNET_KEYS_FILE="")

    assert code == 1
    assert "SOURCE_URL, FERNET_KEYS_FILE" in err


@pytest.fixture
def refused(run: Callable, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path):
    """Two good records, one under a key that is late, one that is no record; all published."""
    late = Fernet.generate_key().decode()
    items = [envelope(fernet_key, 1), envelope(fernet_key, 2), envelope(late, 3)]
    items.append(envelope(fernet_key, 4, "secret-canary"))
    (manifest,) = run("land", write(tmp_path / "dump", items))[1].split()
    approve(make_settings(), manifest)
    assert run("publish")[0] == 0
    return late


def test_quarantine_lists_what_was_refused_and_never_what_it_holds(run: Callable, refused: str):
    code, table, _ = run("quarantine")
    listed = json.loads(run("quarantine", "--json")[1])
    (chosen,) = json.loads(run("quarantine", "--json", "--reason", "PLAINTEXT_SYNTAX")[1])

    assert code == 0
    assert [line.split()[2] for line in table.splitlines()] == [
        "reason",
        "TOKEN_UNKNOWN_KEY",
        "PLAINTEXT_SYNTAX",
    ]
    assert [row["record_id"] for row in listed] == [3, 4]
    assert chosen["record_id"] == 4
    assert len(json.loads(run("quarantine", "--json", "--limit", "1")[1])) == 1
    assert "gAAAA" not in table + json.dumps(listed)
    assert "secret-canary" not in table + json.dumps(listed)


def test_a_key_that_came_late_is_seen_used_after_replay(
    run: Callable, refused: str, make_settings: Callable[..., Settings]
):
    settings = make_settings()
    assert settings.fernet_keys_file is not None
    text = settings.fernet_keys_file.read_text()
    settings.fernet_keys_file.write_text(f"{refused}\n{text}")

    (manifest,) = run("replay", "--reason", "TOKEN_UNKNOWN_KEY")[1].split()
    approve(settings, manifest)
    run("publish")
    shown = json.loads(run("keys", "--json")[1])

    assert [(key["state"], key["records"], key["batches_ago"]) for key in shown] == [
        ("primary", 1, 0),
        ("decrypt-only", 3, 1),
    ]
    assert refused not in json.dumps(shown)
    assert run("replay")[1] == "nothing to publish\n"


def test_rederive_takes_ranges_and_says_what_it_cannot(run: Callable, refused: str):
    assert run("rederive", "1")[1].startswith("s3://memory/staging/access_logs/000000000002/")
    code, _, err = run("rederive", "5-6")

    assert code == 1
    assert "There is no batch 5" in err
    with pytest.raises(SystemExit, match="2"):
        run("rederive", "one")


def test_reconcile_exits_1_when_a_record_differs(run: Callable, refused: str, fernet_key: str):
    shown = [envelope(fernet_key, 1), envelope(fernet_key, 2, plaintext(2, activity="another"))]
    with serving(page(shown[:1]), page(shown)) as (url, _):
        clean = run("reconcile", "--json", SOURCE_URL=url)
        other = run("reconcile", "--json", SOURCE_URL=url)

    assert (clean[0], json.loads(clean[1])["equal"]) == (0, 1)
    assert (other[0], json.loads(other[1])["differing_ids"]) == (1, [2])


def test_compact_says_what_it_did(run: Callable):
    code, said, _ = run("compact", "--json")

    assert code == 0
    assert json.loads(said)["closed"] == json.loads(said)["rewritten"] == 0
    assert run("compact")[1].split()[:2] == ["rewritten", "0"]
