"""The simulator's records as pages of the API, and pages of which some tokens are bad."""

from __future__ import annotations

import base64
import gzip
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

PAGE = 1_000
START = "2024-01-01"
ROOT = Path(__file__).resolve().parent.parent

_STRANGER = Fernet(base64.urlsafe_b64encode(bytes(32)))


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of dumps, as the simulator writes them."""

    folder: Path
    key: str

    @property
    def dumps(self) -> list[Path]:
        """The files, one per day."""
        return sorted(self.folder.glob("access_logs-*.ndjson.gz"))

    def pages(self) -> Iterator[bytes]:
        """Yield JSON arrays of a thousand envelopes; the last, shorter one of a day is left out."""
        for dump in self.dumps:
            with gzip.open(dump) as file:
                lines = [line.rstrip(b"\n") for line in file]
            for start in range(0, len(lines) - PAGE + 1, PAGE):
                yield b"[" + b", ".join(lines[start : start + PAGE]) + b"]"


def start(home: Path, plaintext: str, users: int, days: int) -> subprocess.Popen[bytes] | None:
    """Begin to write dumps, unless an earlier run left them there whole."""
    folder = _folder(home, plaintext, users, days)
    if (folder / "whole").exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    keys = home / "keys.txt"
    if not keys.exists():
        keys.touch(0o600)
        keys.write_bytes(Fernet.generate_key() + b"\n")
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "simulator", "--keys-file", str(keys)),
            *("--plaintext", plaintext, "--users", str(users), "--start", START),
            *("--history", str(days), "--out", str(folder)),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )


def finish(home: Path, plaintext: str, users: int, days: int) -> Source:
    """Return what ``start`` began, once its process has ended."""
    folder = _folder(home, plaintext, users, days)
    (folder / "whole").touch()
    return Source(folder, (home / "keys.txt").read_text().strip())


def _folder(home: Path, plaintext: str, users: int, days: int) -> Path:
    return home / "data" / f"{plaintext}-{users}-{days}"


def with_bad_tokens(
    pages: Sequence[bytes], key: str, share: float, seed: int
) -> tuple[list[bytes], int]:
    """Return the pages with a share of their tokens spoiled at random, and how many those are."""
    dice = random.Random(seed)
    ours = Fernet(key)
    spoiled, count = [], 0
    for page in pages:
        envelopes = json.loads(page)
        for envelope in envelopes:
            if dice.random() < share:
                envelope["data"] = _spoiled(envelope["data"], ours, dice)
                count += 1
        spoiled.append(json.dumps(envelopes).encode())
    return spoiled, count


def _spoiled(token: str, ours: Fernet, dice: random.Random) -> str:
    kind = dice.randrange(6)
    place = dice.randrange(20, len(token) - 4)
    if kind == 0:  # one character of the ciphertext or the MAC is another
        return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    if kind == 1:
        return token[:place]
    if kind == 2:
        return _STRANGER.encrypt(ours.decrypt(token)).decode()
    if kind == 3:
        return "no token " + token[9:]
    if kind == 4:
        return "B" + token[1:]
    return ours.encrypt(b"certainly no record").decode()
