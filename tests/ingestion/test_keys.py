from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ingestion import ConfigError
from ingestion.keys import KeyRing, is_well_formed
from tests.ingestion.envelopes import seal

A, B, C = (Fernet.generate_key().decode() for _ in range(3))


def test_open_says_what_when_and_by_which_key():
    ring = KeyRing([A, B])
    stamp = datetime(2026, 1, 2, tzinfo=UTC)

    for key, mark in zip((A, B, A), (*ring.fingerprints, ring.fingerprints[0]), strict=True):
        opened = ring.open(seal(key, "hello", stamp))

        assert opened is not None
        assert opened.plaintext == b"hello"
        assert opened.stamped_at == stamp.timestamp()
        assert opened.key_fingerprint == mark
    assert ring.open(seal(C, "hello")) is None


def test_fingerprints_differ_and_are_short_hex():
    marks = KeyRing([A, B]).fingerprints

    assert len(set(marks)) == 2
    assert all(len(mark) == 16 and int(mark, 16) >= 0 for mark in marks)


def test_is_well_formed_tells_a_token_of_a_stranger_from_junk():
    token = seal(C, "hello")

    assert is_well_formed(token)
    for junk in ("", "abc", token[:-8], "x" + token[1:], "\u00e9" * 200):
        assert not is_well_formed(junk)


def test_from_file_reads_keys_and_leaves_out_comments(tmp_path: Path):
    path = tmp_path / "ring"
    path.write_text(f"# newest first\n{A}  # since May\n\n  {B}\n")

    assert KeyRing.from_file(path).fingerprints == KeyRing([A, B]).fingerprints


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"# nothing\n", "is empty"),
        (A[:-2].encode(), "Key 1 of the ring is no Fernet key"),
        (f"{A}\nsecret-canary\n".encode(), "Key 2 of the ring is no Fernet key"),
        (b"\xff\xfe", "not a text file"),
    ],
)
def test_from_file_names_the_problem_and_never_the_key(
    content: bytes, problem: str, tmp_path: Path
):
    (tmp_path / "ring").write_bytes(content)

    with pytest.raises(ConfigError, match=problem) as caught:
        KeyRing.from_file(tmp_path / "ring")

    assert "canary" not in str(caught.value)
    assert A[:10] not in str(caught.value)


def test_from_file_says_that_there_is_none(tmp_path: Path):
    with pytest.raises(ConfigError, match="Set FERNET_KEYS_FILE"):
        KeyRing.from_file(tmp_path / "absent")


def test_a_ring_shows_no_key():
    assert A not in repr(vars(KeyRing([A])))
