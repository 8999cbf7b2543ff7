"""The key ring's two forms, its changes under a running server, and the bearer token."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken

from simulator.errors import SimulatorError
from simulator.key_ring import KeyRing, KeyRingFile
from simulator.records import Record
from simulator.tokens import Sealer
from tests.simulator.conftest import Start
from tests.simulator.wire import Log, ask, key_of, opened, serving

Run = Callable[..., "subprocess.CompletedProcess[str]"]

FROZEN = ("--start", "2026-01-05", "--until", "2026-01-07T12:00:00+09:00", "--users", "400")
A, B, C = (key_of(word) for word in "abc")


def document(*states: tuple[str, str], **more: str) -> str:
    return json.dumps({"keys": [{"key": key, "state": state, **more} for key, state in states]})


def replace(path: Path, text: str) -> None:
    """Write a file as a careful operator does: aside, then renamed."""
    draft = path.with_name("draft")
    draft.write_text(text)
    draft.replace(path)


@pytest.mark.parametrize(
    ("text", "ring"),
    [
        (f"# newest first\n{A}\n{B} # old\n\n{C}\n", KeyRing(A, (B, C))),
        (document((A, "primary")), KeyRing(A)),
        (
            document((B, "decrypt-only"), (C, "retired"), (A, "primary"), id="2026-a"),
            KeyRing(A, (B,), (C,)),
        ),
        (f"\n  {document((A, 'primary'), not_before='2026-01-31T00:00:00Z')}\n", KeyRing(A)),
    ],
)
def test_key_ring_reads_lines_and_documents(tmp_path: Path, text: str, ring: KeyRing) -> None:
    (tmp_path / "ring").write_text(text)

    assert KeyRingFile(tmp_path / "ring").current() == ring


BROKEN = {
    "": "holds no key",
    "# nothing\n": "holds no key",
    '{"keys": []}': "holds no key",
    f"{A}\n{B[:-4]}\n": "has 1 unusable line(s)",
    document((A[:-4], "primary")): "has 1 unusable line(s)",
    document((A, "primary"))[:-1]: "is no JSON document",
    document((A, "primary"), (B, "primary")): "has 2 primary keys",
    document((A, "decrypt-only")): "has 0 primary keys",
    document((A, "newest")): "is no key ring",
    f'["{A}"]': "is no key ring",
    '{"keys": [1]}': "is no key ring",
    "\ud800": "is no text",
}


@pytest.mark.parametrize("text", BROKEN)
def test_key_ring_that_is_broken_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    (tmp_path / "ring").write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(SimulatorError) as caught:
        KeyRingFile(tmp_path / "ring")

    assert f"ring {BROKEN[text]}" in str(caught.value)
    assert not any(key[:8] in str(caught.value) for key in (A, B))


def test_key_ring_never_shows_a_key() -> None:
    ring = KeyRing(A, (B,), (C,))

    assert not any(key[:8] in repr(ring) for key in (A, B, C))


def test_key_ring_is_read_again_when_its_file_changes_and_only_then(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    path.write_text(A)
    file = KeyRingFile(path)
    seen = [file.current()]

    replace(path, document((B, "primary"), (A, "decrypt-only")))
    seen.append(file.current())
    path.write_text(f"{C}\n")  # in place, as an editor may do
    os.utime(path, ns=(1, 1))
    seen.append(file.current())

    assert seen == [KeyRing(A), KeyRing(B, (A,)), KeyRing(C)]
    assert file.current() is seen[-1]


def test_key_ring_stays_as_it_was_while_its_file_is_broken_or_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ring"
    path.write_text(A)
    file = KeyRingFile(path)

    said: list[str] = []
    for text in (*BROKEN, None):
        if text is None:
            path.unlink()
        else:
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            os.utime(path, ns=(len(said), len(said)))
        assert [file.current() for _ in range(3)] == [KeyRing(A)] * 3
        said.append(capsys.readouterr().err)
    path.write_text(B)

    assert file.current() == KeyRing(B)
    for text, message in zip((*BROKEN.values(), "Cannot read"), said, strict=True):
        assert message.startswith("simulator: the key ring stays as it was: ")
        assert text in message
        assert message.count("\n") == 1
        assert not any(key[:8] in message for key in (A, B))


def test_key_ring_that_lacks_a_needed_state_is_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ring"
    path.write_text(f"{A}\n{B}\n")
    file = KeyRingFile(path, needed=["decrypt-only"])

    replace(path, C)

    assert file.current() == KeyRing(A, (B,))
    assert "holds no decrypt-only key" in capsys.readouterr().err


def test_server_encrypts_with_the_primary_key_of_the_moment(
    started: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ring"
    replace(path, document((A, "primary")))
    keys = []

    with started(*FROZEN, "--keys-file", str(path), "--window", "3") as client:
        for text in (
            document((A, "primary")),
            document((A, "primary"), (B, "decrypt-only")),
            document((A, "decrypt-only"), (B, "primary")),
            document((B, "primary"))[:-1],
            f"{C}\n",
        ):
            replace(path, text)
            keys.append({opener(envelope["data"]) for envelope in client.get()})

    assert keys == [{"a"}, {"a"}, {"b"}, {"b"}, {"c"}]
    said = capfd.readouterr().err
    assert said.count("stays as it was") == 1
    assert not any(key[:8] in said for key in (A, B, C))


def opener(token: str) -> str:
    found = []
    for name, key in (("a", A), ("b", B), ("c", C)):
        with contextlib.suppress(InvalidToken):
            assert Fernet(key).decrypt(token)
            found.append(name)
    (only,) = found
    return only


def test_page_is_under_one_key_while_the_ring_changes_unless_that_is_the_fault(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ring"
    path.write_text(f"{A}\n{B}\n")
    sealer = Sealer.from_file(path)
    taken = sealer.envelopes(change_at_the_second(path))

    assert [opener(envelope["data"]) for envelope in taken] == ["a", "a", "a"]


def change_at_the_second(path: Path) -> Iterator[Record]:
    for place, record in enumerate(Log().all[:3]):
        if place == 1:
            replace(path, C)
        yield record


def test_server_with_a_token_file_serves_only_who_shows_it(sealer: Sealer) -> None:
    with serving(sealer, None, token="s3cret") as address:
        answers = {
            shown: ask(address, Authorization=shown)
            for shown in ("Bearer s3cret", "Bearer s3cre", "s3cret", "Bearer ", "Bearer s3crét")
        }
        nothing = ask(address)
        health = ask(address, path="/health")

    assert [answer.status for answer in answers.values()] == [200, 401, 401, 401, 401]
    assert (nothing.status, health.status) == (401, 200)
    assert nothing.headers["www-authenticate"] == "Bearer"
    assert json.loads(nothing.body) == {"error": "Show the bearer token."}
    assert opened(json.loads(answers["Bearer s3cret"].body)[0]["data"], "")[0] == "primary"


def test_token_file_is_read_at_the_start_and_never_quoted(
    run: Run, started: Start, tmp_path: Path
) -> None:
    good, empty = tmp_path / "token", tmp_path / "empty"
    good.write_text("s3cret\n")
    empty.write_text("two\nlines-of-it\n")

    refused = run(*FROZEN, "--token-file", str(empty))
    missing = run(*FROZEN, "--token-file", str(tmp_path / "nothing"))
    with started(*FROZEN, "--token-file", str(good)) as client:
        host, port = client.url.split("/")[2].split(":")
        address = (host, int(port))
        statuses = [ask(address).status, ask(address, Authorization="Bearer s3cret").status]

    assert statuses == [401, 200]
    assert refused.returncode == missing.returncode == 1
    assert refused.stderr == f"error: The file {empty} must hold one line: the bearer token.\n"
    assert missing.stderr.startswith("error: Cannot read the bearer token's file")
